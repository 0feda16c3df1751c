import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { sampleLevels } from "./sample-levels.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

/** One level, one head, one point. */
function sampleOne(map: number[][], x: number, y: number): number {
  const [height, width] = [map.length, map[0]!.length];
  return tf.tidy(() => {
    const at = (value: number) => tf.tensor4d([value], [1, 1, 1, 1]);
    const value = tf.tensor3d(map.flat(), [1, height * width, 1]);
    return sampleLevels({ value, levels: [{ height, width }], x: at(x), y: at(y), weights: at(1) }).dataSync()[0]!;
  });
}

describe("sampleLevels", () => {
  test.each([
    [0, 0, 1],
    [1, 1, 4],
    [0.5, 0, 1.5],
    [0.5, 0.5, 2.5],
    // Half a cell outside, half the border's value; a whole cell, none.
    [-0.5, 0, 0.5],
    [-1, 0, 0],
    [1.25, 1, 3],
    [1e9, -1e9, 0],
  ])("at (%f, %f) of [[1, 2], [3, 4]] is %f", (x, y, expected) => {
    expect(
      sampleOne(
        [
          [1, 2],
          [3, 4],
        ],
        x,
        y,
      ),
    ).toBeCloseTo(expected, 6);
  });

  test("many queries, which are gathered in parts, give what each part gives alone", () => {
    const [queries, heads, points, depth] = [1500, 8, 8, 32];
    const levels = [
      { height: 6, width: 9 },
      { height: 3, width: 5 },
    ];
    const samples = levels.length * points;
    const wave = (shape: number[], scale: number) =>
      tf.mul(tf.sin(tf.range(0, tf.util.sizeFromShape(shape)).mul(12.9898)), scale).reshape(shape);
    const value = wave([1, 69, heads * depth], 1) as tf.Tensor3D;
    const [x, y, weights] = [8, 5, 1].map((scale) => wave([1, queries, heads, samples], scale)) as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const run = (start: number, size: number) =>
      tf.tidy(() => {
        const [px, py, pw] = [x, y, weights].map((t) => tf.slice(t, [0, start, 0, 0], [1, size, -1, -1])) as [
          tf.Tensor4D,
          tf.Tensor4D,
          tf.Tensor4D,
        ];
        return sampleLevels({ value, levels, x: px, y: py, weights: pw }).dataSync();
      });
    const all = run(0, queries);
    const [head, tail] = [run(0, 700), run(700, 800)];
    const bytes = (values: Float32Array | Int32Array | Uint8Array) =>
      Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    expect(bytes(all).equals(Buffer.concat([bytes(head), bytes(tail)]))).toBe(true);
    tf.dispose([value, x, y, weights]);
  });
});
