import { z } from "zod";
import { type Affine, applyAffine, invertAffine } from "../affine.js";
import type { InverseField, RowPieces } from "../core/inverse-field.js";
import { integer, type Range, range } from "../core/schemas.js";
import { draw, type FieldTransform } from "../core/transform.js";
import type { PixelRect } from "../kernels/span-table.js";

/** Nodes move by at most this share of a cell: below a quarter no triangle can turn over (worst determinant 1 - 4 * 0.24 of the cell). */
const MAX_SHIFT = 0.24;

interface Params {
  jitterFrac: Range;
  nbRows: number;
  nbCols: number;
}
interface Sampled {
  jitterFrac: number;
  nbRows: number;
  nbCols: number;
  key: number;
  readonly [key: string]: unknown;
}

interface Triangle {
  /** Output corners x0, y0, x1, y1, x2, y2. */
  readonly corners: readonly number[];
  readonly toSource: Affine;
  readonly toOutput: Affine;
}

/** The affine map that sends triangle a to triangle b. */
function triangleMap(a: readonly number[], b: readonly number[]): Affine {
  const [x0, y0, x1, y1, x2, y2] = a as [number, number, number, number, number, number];
  const determinant = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
  const row = (k: 0 | 1): [number, number, number] => {
    const v0 = b[k]!;
    const p = b[2 + k]! - v0;
    const q = b[4 + k]! - v0;
    const sx = (p * (y2 - y0) - q * (y1 - y0)) / determinant;
    const sy = (q * (x1 - x0) - p * (x2 - x0)) / determinant;
    return [sx, sy, v0 - sx * x0 - sy * y0];
  };
  return [...row(0), ...row(1)] as unknown as Affine;
}

/** A regular grid of source cells, each two triangles, and where their corners go. */
class MeshField implements InverseField {
  readonly #triangles: Triangle[] = [];
  readonly columns: number;
  readonly rows: number;
  readonly width: number;
  readonly height: number;
  /** @param fields.nodes - output x, y of every grid node, row by row */
  constructor({
    nodes,
    columns,
    rows,
    width,
    height,
  }: {
    nodes: Float64Array;
    columns: number;
    rows: number;
    width: number;
    height: number;
  }) {
    this.columns = columns;
    this.rows = rows;
    this.width = width;
    this.height = height;
    const cellWidth = width / (columns - 1);
    const cellHeight = height / (rows - 1);
    const node = (i: number, j: number) => [nodes[2 * (j * columns + i)]!, nodes[2 * (j * columns + i) + 1]!];
    const rest = (i: number, j: number) => [i * cellWidth, j * cellHeight];
    for (let j = 0; j + 1 < rows; j++) {
      for (let i = 0; i + 1 < columns; i++) {
        for (const [p, q] of [
          [i + 1, j],
          [i, j + 1],
        ] as const) {
          const corners = [...node(i, j), ...node(p, q), ...node(i + 1, j + 1)];
          const toSource = triangleMap(corners, [...rest(i, j), ...rest(p, q), ...rest(i + 1, j + 1)]);
          this.#triangles.push({ corners, toSource, toOutput: invertAffine(toSource) });
        }
      }
    }
  }

  eachRow(
    { top, bottom, left, right }: PixelRect,
    pieces: RowPieces,
    visit: (row: number, count: number) => void,
  ): void {
    for (const { corners, toSource } of this.#triangles) {
      const ys = [corners[1]!, corners[3]!, corners[5]!];
      const firstRow = Math.max(top, Math.ceil(Math.min(...ys) - 0.5));
      const endRow = Math.min(bottom, Math.ceil(Math.max(...ys) - 0.5));
      for (let row = firstRow; row < endRow; row++) {
        const y = row + 0.5;
        let low = Number.POSITIVE_INFINITY;
        let high = Number.NEGATIVE_INFINITY;
        for (let k = 0; k < 6; k += 2) {
          let [ax, ay, bx, by] = [corners[k]!, corners[k + 1]!, corners[(k + 2) % 6]!, corners[(k + 3) % 6]!];
          // One direction per edge: both triangles of an edge get the same crossing, so no pixel is left out or drawn twice.
          if (ay > by || (ay === by && ax > bx)) [ax, ay, bx, by] = [bx, by, ax, ay];
          if (!(ay <= y && y < by)) continue;
          const x = ax + ((y - ay) * (bx - ax)) / (by - ay);
          if (x < low) low = x;
          if (x > high) high = x;
        }
        const from = Math.max(left, Math.ceil(low - 0.5));
        const to = Math.min(right, Math.ceil(high - 0.5));
        if (!(to > from)) continue;
        const [a, b, c, d, e, f] = toSource;
        pieces.from[0] = from;
        pieces.to[0] = to;
        pieces.x0[0] = a * (from + 0.5) + b * y + c;
        pieces.y0[0] = d * (from + 0.5) + e * y + f;
        pieces.x1[0] = a * (to + 0.5) + b * y + c;
        pieces.y1[0] = d * (to + 0.5) + e * y + f;
        visit(row, 1);
      }
    }
  }

  /** Beyond the border a point keeps its distance from the nearest border point. */
  #atBorder(x: number, y: number, inside: (x: number, y: number) => [number, number]): [number, number] {
    const cx = Math.min(this.width, Math.max(0, x));
    const cy = Math.min(this.height, Math.max(0, y));
    const [ox, oy] = inside(cx, cy);
    return [ox + x - cx, oy + y - cy];
  }

  forward(x: number, y: number): [number, number] {
    return this.#atBorder(x, y, (px, py) => {
      const gx = (px / this.width) * (this.columns - 1);
      const gy = (py / this.height) * (this.rows - 1);
      const i = Math.min(this.columns - 2, Math.floor(gx));
      const j = Math.min(this.rows - 2, Math.floor(gy));
      const upper = gx - i >= gy - j ? 0 : 1;
      return applyAffine(this.#triangles[2 * (j * (this.columns - 1) + i) + upper]!.toOutput, px, py);
    });
  }

  backward(x: number, y: number): [number, number] {
    return this.#atBorder(x, y, (px, py) => {
      let best = this.#triangles[0]!;
      let least = Number.NEGATIVE_INFINITY;
      for (const triangle of this.#triangles) {
        const depth = insideness(triangle.corners, px, py);
        if (depth > least) {
          least = depth;
          best = triangle;
        }
        if (depth >= 0) break;
      }
      return applyAffine(best.toSource, px, py);
    });
  }
}

/** Smallest of the three edge functions relative to the area: non-negative inside. */
function insideness(corners: readonly number[], x: number, y: number): number {
  const [x0, y0, x1, y1, x2, y2] = corners as [number, number, number, number, number, number];
  const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
  const a = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area;
  const b = ((x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)) / area;
  const c = ((x0 - x2) * (y - y2) - (x - x2) * (y0 - y2)) / area;
  return Math.min(a, b, c);
}

/**
 * Moves the nodes of a regular grid by N(0, jitterFrac * side), at most 0.24 of a cell; border nodes slide along the border, corners stay; in
 * between two triangles per cell. Never folds; no jitter is the identity.
 */
export const PiecewiseAffine: FieldTransform<Params, Sampled> = {
  type: "PiecewiseAffine",
  kind: "field",
  schema: z.strictObject({
    jitterFrac: range(0, 0.5).default([0.01, 0.02]),
    nbRows: integer(2, 64).default(4),
    nbCols: integer(2, 64).default(4),
  }),
  keys: ["jitterFrac", "nbRows", "nbCols"],
  sample: (random, { jitterFrac, nbRows, nbCols }) => ({
    jitterFrac: draw(random, jitterFrac),
    nbRows,
    nbCols,
    key: random.uint32(),
  }),
  field({ jitterFrac, nbRows, nbCols, key }, { width, height, random }) {
    const stream = random(key);
    const nodes = new Float64Array(nbRows * nbCols * 2);
    const shift = (side: number, cell: number) =>
      Math.max(-MAX_SHIFT * cell, Math.min(MAX_SHIFT * cell, stream.normal(0, jitterFrac * side)));
    const cellWidth = width / (nbCols - 1);
    const cellHeight = height / (nbRows - 1);
    for (let j = 0, k = 0; j < nbRows; j++) {
      for (let i = 0; i < nbCols; i++, k += 2) {
        const dx = shift(width, cellWidth);
        const dy = shift(height, cellHeight);
        nodes[k] = i * cellWidth + (i === 0 || i === nbCols - 1 ? 0 : dx);
        nodes[k + 1] = j * cellHeight + (j === 0 || j === nbRows - 1 ? 0 : dy);
      }
    }
    return new MeshField({ nodes, columns: nbCols, rows: nbRows, width, height });
  },
};
