import { z } from "zod";
import type { InverseField, RowPieces } from "../core/inverse-field.js";
import { number, type Range, range } from "../core/schemas.js";
import { draw, type FieldTransform } from "../core/transform.js";
import type { PixelRect } from "../kernels/span-table.js";
import type { CounterRandom } from "../philox.js";

/** Control spacing per sigma: a cubic B-spline of this spacing has the width of a Gaussian of sigma. */
const SPACING_PER_SIGMA = 1.67;
/** RMS of the spline per standard deviation of its coefficients (151/315, the mean square of the cubic B-spline, once per axis). */
const RMS_PER_COEFFICIENT = 0.478;
/** Largest rms / spacing without a realistic chance of folds. */
const FOLD_FREE = 0.16;
/** Largest spectral norm of the gradient; below 1 the map is one to one. */
const MAX_GRADIENT = 0.9;
/** Share of S next to the border in which the field fades. */
const TAPER = 0.02;

interface Params {
  rmsFrac: Range;
  sigmaFrac: number;
  taper: boolean;
}
interface Sampled {
  rmsFrac: number;
  sigmaFrac: number;
  taper: boolean;
  key: number;
  readonly [key: string]: unknown;
}

/** Weights of the four control points around t in [0, 1). */
function splineWeights(t: number): [number, number, number, number] {
  const s = 1 - t;
  return [(s * s * s) / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (3 * s * s * s - 6 * s * s + 4) / 6, (t * t * t) / 6];
}

/** Node positions along one axis: 0.5, 0.5 + step, ... past the end, so that nodes are pixel centres. */
const nodeCount = (side: number, step: number): number => Math.ceil(side / step) + 1;

/** One component of the displacement at the lattice nodes. */
function splineLattice(
  random: CounterRandom,
  { width, height, spacing, step, deviation }: Record<"width" | "height" | "spacing" | "step" | "deviation", number>,
): Float64Array {
  const controlColumns = Math.ceil((width + step) / spacing) + 4;
  const controlRows = Math.ceil((height + step) / spacing) + 4;
  const control = Float64Array.from({ length: controlColumns * controlRows }, () => random.normal(0, deviation));
  const columns = nodeCount(width, step);
  const rows = nodeCount(height, step);
  const across = new Float64Array(controlRows * columns);
  for (let i = 0; i < columns; i++) {
    const at = (0.5 + i * step) / spacing;
    const base = Math.floor(at);
    const w = splineWeights(at - base);
    for (let r = 0; r < controlRows; r++) {
      const c = r * controlColumns + base;
      across[r * columns + i] =
        w[0] * control[c]! + w[1] * control[c + 1]! + w[2] * control[c + 2]! + w[3] * control[c + 3]!;
    }
  }
  const out = new Float64Array(rows * columns);
  for (let j = 0; j < rows; j++) {
    const at = (0.5 + j * step) / spacing;
    const base = Math.floor(at);
    const w = splineWeights(at - base);
    for (let i = 0; i < columns; i++) {
      const c = base * columns + i;
      out[j * columns + i] =
        w[0] * across[c]! +
        w[1] * across[c + columns]! +
        w[2] * across[c + 2 * columns]! +
        w[3] * across[c + 3 * columns]!;
    }
  }
  return out;
}

/** A displacement given at the nodes of a lattice, bilinear in between: exactly what the picture, the points and the masks go through. */
class LatticeField implements InverseField {
  readonly dx: Float64Array;
  readonly dy: Float64Array;
  readonly columns: number;
  readonly rows: number;
  /** Pixels between two nodes; node (i, j) is the centre of pixel (i step, j step). */
  readonly step: number;
  constructor(fields: { dx: Float64Array; dy: Float64Array; columns: number; rows: number; step: number }) {
    this.dx = fields.dx;
    this.dy = fields.dy;
    this.columns = fields.columns;
    this.rows = fields.rows;
    this.step = fields.step;
  }

  eachRow(
    { left, right, top, bottom }: PixelRect,
    pieces: RowPieces,
    visit: (row: number, count: number) => void,
  ): void {
    const { columns, rows, step, dx, dy } = this;
    pieces.reserve(columns);
    const { from, to, x0, y0, x1, y1 } = pieces;
    const first = Math.floor(left / step);
    const last = Math.min(columns - 1, Math.ceil(right / step));
    for (let row = top; row < bottom; row++) {
      const j = Math.min(rows - 2, Math.floor(row / step));
      const w = row / step - j;
      const v = 1 - w;
      const a = j * columns;
      const b = a + columns;
      const y = row + 0.5;
      let lastX = first * step + 0.5 + dx[a + first]! * v + dx[b + first]! * w;
      let lastY = y + dy[a + first]! * v + dy[b + first]! * w;
      let n = 0;
      for (let i = first; i < last; i++, n++) {
        const start = i * step;
        const end = start + step;
        const nextX = end + 0.5 + dx[a + i + 1]! * v + dx[b + i + 1]! * w;
        const nextY = y + dy[a + i + 1]! * v + dy[b + i + 1]! * w;
        from[n] = start;
        x0[n] = lastX;
        y0[n] = lastY;
        const stop = end < right ? end : right;
        const t = (stop - start) / step;
        to[n] = stop;
        x1[n] = lastX + (nextX - lastX) * t;
        y1[n] = lastY + (nextY - lastY) * t;
        lastX = nextX;
        lastY = nextY;
      }
      visit(row, n);
    }
  }

  at(x: number, y: number): [number, number] {
    const { columns, rows, step, dx, dy } = this;
    const gx = Math.min(columns - 1, Math.max(0, (x - 0.5) / step));
    const gy = Math.min(rows - 1, Math.max(0, (y - 0.5) / step));
    const i = Math.min(columns - 2, Math.floor(gx));
    const j = Math.min(rows - 2, Math.floor(gy));
    const u = gx - i;
    const v = gy - j;
    const a = j * columns + i;
    const b = a + columns;
    const w00 = (1 - u) * (1 - v);
    const w01 = u * (1 - v);
    const w10 = (1 - u) * v;
    const w11 = u * v;
    return [
      dx[a]! * w00 + dx[a + 1]! * w01 + dx[b]! * w10 + dx[b + 1]! * w11,
      dy[a]! * w00 + dy[a + 1]! * w01 + dy[b]! * w10 + dy[b + 1]! * w11,
    ];
  }

  backward(x: number, y: number): [number, number] {
    const [dx, dy] = this.at(x, y);
    return [x + dx, y + dy];
  }

  /** q <- p - d(q), at most 8 times, to 0.01 px; where that is too slow, Newton steps. */
  forward(x: number, y: number): [number, number] {
    let qx = x;
    let qy = y;
    for (let iteration = 0; iteration < 8; iteration++) {
      const [dx, dy] = this.at(qx, qy);
      const ex = x - dx - qx;
      const ey = y - dy - qy;
      qx += ex;
      qy += ey;
      if (ex * ex + ey * ey < 1e-4) break;
    }
    for (let iteration = 0; iteration < 8; iteration++) {
      const [dx, dy] = this.at(qx, qy);
      const rx = qx + dx - x;
      const ry = qy + dy - y;
      if (rx * rx + ry * ry < 1e-4) break;
      const h = 1e-3;
      const [ax, ay] = this.at(qx + h, qy);
      const [bx, by] = this.at(qx, qy + h);
      const a = 1 + (ax - dx) / h;
      const b = (bx - dx) / h;
      const c = (ay - dy) / h;
      const d = 1 + (by - dy) / h;
      const determinant = a * d - b * c;
      qx -= (d * rx - b * ry) / determinant;
      qy -= (a * ry - c * rx) / determinant;
    }
    return [qx, qy];
  }

  /** Largest spectral norm of the gradient; in a bilinear cell it is largest at a corner. */
  steepest(): number {
    const { dx, dy, columns, rows, step } = this;
    let largest = 0;
    for (let j = 0; j + 1 < rows; j++) {
      for (let i = 0; i + 1 < columns; i++) {
        const k = j * columns + i;
        for (let corner = 0; corner < 4; corner++) {
          const top = k + (corner & 1) * columns;
          const left = k + (corner >> 1);
          const a = (dx[top + 1]! - dx[top]!) / step;
          const b = (dx[left + columns]! - dx[left]!) / step;
          const c = (dy[top + 1]! - dy[top]!) / step;
          const d = (dy[left + columns]! - dy[left]!) / step;
          // Largest singular value of [[a, b], [c, d]].
          const sum = a * a + b * b + c * c + d * d;
          const determinant = a * d - b * c;
          const norm = Math.sqrt((sum + Math.sqrt(Math.max(0, sum * sum - 4 * determinant * determinant))) / 2);
          if (norm > largest) largest = norm;
        }
      }
    }
    return largest;
  }
}

/**
 * Smooth random displacement: N(0, rms / 0.478) coefficients on a cubic B-spline grid of spacing 1.67 sigmaFrac S, one plane per axis; rms = drawn
 * rmsFrac * S. The field never folds: rms is at most 0.16 of the spacing, and where the gradient exceeds 0.9 the field is scaled down.
 */
export const ElasticTransform: FieldTransform<Params, Sampled> = {
  type: "ElasticTransform",
  kind: "field",
  schema: z
    .strictObject({
      rmsFrac: range(0, 1).default([0.0025, 0.005]),
      sigmaFrac: number(0.005, 0.5).default(0.04),
      taper: z.boolean().default(true),
    })
    .refine(({ rmsFrac, sigmaFrac }) => rmsFrac[1] <= FOLD_FREE * SPACING_PER_SIGMA * sigmaFrac, {
      error: `rmsFrac must be at most ${(FOLD_FREE * SPACING_PER_SIGMA).toFixed(4)} * sigmaFrac, or the field folds; lower rmsFrac or raise sigmaFrac`,
      path: ["rmsFrac"],
    }),
  keys: ["rmsFrac", "sigmaFrac", "taper"],
  sample: (random, { rmsFrac, sigmaFrac, taper }) => ({
    rmsFrac: draw(random, rmsFrac),
    sigmaFrac,
    taper,
    key: random.uint32(),
  }),
  field({ rmsFrac, sigmaFrac, taper, key }, { width, height, random }) {
    const size = Math.min(width, height);
    const spacing = SPACING_PER_SIGMA * sigmaFrac * size;
    // A fifth of the spacing follows the spline within a few percent of its rms.
    const step = Math.max(1, Math.min(8, Math.floor(spacing / 5)));
    const shape = { width, height, spacing, step, deviation: (rmsFrac * size) / RMS_PER_COEFFICIENT };
    const stream = random(key);
    const dx = splineLattice(stream, shape);
    const dy = splineLattice(stream, shape);
    const columns = nodeCount(width, step);
    const rows = nodeCount(height, step);
    if (taper) {
      const edge = TAPER * size;
      const fade = (at: number, side: number) => Math.max(0, Math.min(1, at / edge, (side - at) / edge));
      for (let j = 0; j < rows; j++) {
        for (let i = 0; i < columns; i++) {
          const factor = Math.min(fade(0.5 + i * step, width), fade(0.5 + j * step, height));
          dx[j * columns + i]! *= factor;
          dy[j * columns + i]! *= factor;
        }
      }
    }
    const field = new LatticeField({ dx, dy, columns, rows, step });
    const steepest = field.steepest();
    if (steepest > MAX_GRADIENT) {
      for (let k = 0; k < dx.length; k++) {
        dx[k]! *= MAX_GRADIENT / steepest;
        dy[k]! *= MAX_GRADIENT / steepest;
      }
    }
    return field;
  },
};
