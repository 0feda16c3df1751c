import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { MapSize } from "./image-levels.js";

/** Most values that are gathered at once, 64 MB: at 800 x 1066 px all corners of an encoder layer are 1.2 GB. */
const MAX_GATHERED = 2 ** 24;

/**
 * Multi-scale deformable sampling (Zhu et al., "Deformable DETR", 2021): the sum over levels and points of weight times the bilinear value of
 * that head's channels at a place; outside of a map is 0. Differentiable in value, places and weights.
 *
 * @param value - [B, S, heads d], the maps of all levels one after the other, row by row
 * @param x - [B, Q, heads, L P], columns in cells of the level: 0 is the centre of the first cell
 * @param y - like x, rows
 * @param weights - [B, Q, heads, L P]
 * @returns [B, Q, heads d]
 */
export function sampleLevels({
  value,
  levels,
  x,
  y,
  weights,
}: {
  value: tf.Tensor3D;
  levels: readonly MapSize[];
  x: tf.Tensor4D;
  y: tf.Tensor4D;
  weights: tf.Tensor4D;
}): tf.Tensor3D {
  const [batch, count, channels] = value.shape;
  const [, queries, heads, samples] = x.shape;
  const points = samples / levels.length;
  const perSample = (of: (size: MapSize, start: number) => number): Int32Array => {
    let start = 0;
    const values: number[] = [];
    for (const size of levels) {
      values.push(...new Array<number>(points).fill(of(size, start)));
      start += size.height * size.width;
    }
    return Int32Array.from(values);
  };
  const widths = perSample((size) => size.width);
  const lastColumn = tf.tensor1d(
    perSample((size) => size.width - 1),
    "int32",
  );
  const lastRow = tf.tensor1d(
    perSample((size) => size.height - 1),
    "int32",
  );
  const starts = perSample((_, start) => start);
  // Rows of the table are (image, cell, head).
  const firstRow = new Int32Array(batch * heads * samples);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let s = 0; s < samples; s++) firstRow[(b * heads + h) * samples + s] = (b * count + starts[s]!) * heads + h;
    }
  }
  const base = tf.tensor4d(firstRow, [batch, 1, heads, samples], "int32");
  const stride = tf.tensor1d(
    widths.map((width) => width * heads),
    "int32",
  );

  // Detached: the derivative of floor is 0, and no gradient may enter an integer index.
  const left = ops.stopGradient(tf.floor(x));
  const top = ops.stopGradient(tf.floor(y));
  const fx = tf.sub(x, left);
  const fy = tf.sub(y, top);
  const axis = (first: tf.Tensor, last: tf.Tensor1D) => {
    const lastFloat = tf.cast(last, "float32");
    return [0, 1].map((step) => {
      const cell = tf.add(first, step);
      const inside = tf.logicalAnd(tf.greaterEqual(cell, 0), tf.lessEqual(cell, lastFloat));
      // Clipped before the cast: far places would leave the range of int32.
      const index = tf.cast(tf.minimum(tf.maximum(cell, 0), lastFloat), "int32");
      return { index, inside: tf.cast(inside, "float32") };
    });
  };
  const columns = axis(left, lastColumn);
  const rows = axis(top, lastRow);
  const shareX = [tf.sub(1, fx), fx].map((share, i) => tf.mul(share, columns[i]!.inside));
  const shareY = [tf.sub(1, fy), fy].map((share, i) => tf.mul(tf.mul(share, rows[i]!.inside), weights));
  const indices: tf.Tensor[] = [];
  const shares: tf.Tensor[] = [];
  for (const j of [0, 1]) {
    const rowStart = tf.add(base, tf.mul(rows[j]!.index, stride));
    for (const i of [0, 1]) {
      indices.push(tf.add(rowStart, tf.mul(columns[i]!.index, tf.scalar(heads, "int32"))));
      shares.push(tf.mul(shareX[i]!, shareY[j]!));
    }
  }
  const depth = channels / heads;
  const table = tf.reshape(value, [batch * count * heads, depth]);
  const index = tf.concat(indices, 3);
  const share = tf.concat(shares, 3);
  const perQuery = batch * heads * 4 * samples * depth;
  const chunk = Math.max(1, Math.min(queries, Math.floor(MAX_GATHERED / perQuery)));
  const mixed: tf.Tensor3D[] = [];
  for (let start = 0; start < queries; start += chunk) {
    const size = Math.min(chunk, queries - start);
    const part = (x: tf.Tensor) =>
      size === queries ? x : tf.slice(x, [0, start, 0, 0], [batch, size, heads, 4 * samples]);
    const groups = batch * size * heads;
    const rowsOf = tf.reshape<tf.Rank.R1>(part(index), [groups * 4 * samples]);
    const corners = tf.reshape<tf.Rank.R3>(tf.gather(table, rowsOf), [groups, 4 * samples, depth]);
    const shared = tf.reshape<tf.Rank.R3>(part(share), [groups, 1, 4 * samples]);
    mixed.push(tf.reshape(tf.matMul(shared, corners), [batch, size, channels]));
  }
  return mixed.length === 1 ? mixed[0]! : tf.concat(mixed, 1);
}
