import { type Homography, isAffine } from "../core/homography.js";
import { type InverseField, RowPieces } from "../core/inverse-field.js";

/** Int32 values per span: row, first column, end column, u, v, du, dv, isInterior. */
export const SPAN_STRIDE = 8;

/** Fixed-point coordinates are 16.16: beyond this many pixels they would overflow. */
const LIMIT = 32000;

/** Longest span of an affine map, columns. */
const LONGEST = 1024;

/** 16.16 */
const ONE = 65536;

/**
 * Valid until the next table is built. Where each output pixel reads the source, as straight spans. `u`, `v` are 16.16 source positions of the first pixel's centre minus half a
 * pixel (so that the integer part is the upper left tap), `du`, `dv` the step per column. Pixels that no span covers lie outside.
 */
export interface SpanTable {
  /** {@link SPAN_STRIDE} values per span. */
  readonly spans: Int32Array;
  readonly count: number;
}

/** Part of the output to fill, half-open pixels. */
export interface PixelRect {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

// One table is built at a time, synchronously: the buffer and the limits of the readable part are shared.
let buffer = new Int32Array(4096);
let used = 0;
const pieces = new RowPieces();
let lowU = 0;
let lowV = 0;
let highU = 0;
let highV = 0;

function push(row: number, from: number, to: number, u: number, v: number, du: number, dv: number): void {
  if (used + SPAN_STRIDE > buffer.length) {
    const grown = new Int32Array(buffer.length * 2);
    grown.set(buffer);
    buffer = grown;
  }
  const steps = to - from - 1;
  const endU = u + du * steps;
  const endV = v + dv * steps;
  // Half a weight step (1/256 px) is added when sampling; all four taps of every pixel must be inside.
  const margin = 1 / 128;
  const interior =
    Math.min(u, endU) >= lowU &&
    Math.min(v, endV) >= lowV &&
    Math.max(u, endU) + margin < highU &&
    Math.max(v, endV) + margin < highV;
  buffer[used] = row;
  buffer[used + 1] = from;
  buffer[used + 2] = to;
  buffer[used + 3] = Math.round(u * ONE);
  buffer[used + 4] = Math.round(v * ONE);
  buffer[used + 5] = Math.round(du * ONE);
  buffer[used + 6] = Math.round(dv * ONE);
  buffer[used + 7] = interior ? 1 : 0;
  used += SPAN_STRIDE;
}

/** Limits [from, to) to the columns where low <= start + step * (column + 0.5) < high. */
function columnRange(start: number, step: number, low: number, high: number, range: [number, number]): void {
  if (step === 0) {
    if (!(start >= low && start < high)) range[1] = range[0];
    return;
  }
  const a = (low - start) / step;
  const b = (high - start) / step;
  // A falling coordinate reaches `high` first; that end is open, so a centre exactly on it is left out.
  const from = step > 0 ? Math.ceil(a - 0.5) : Math.floor(b - 0.5) + 1;
  const to = step > 0 ? Math.ceil(b - 0.5) : Math.floor(a - 0.5) + 1;
  range[0] = Math.max(range[0], from);
  range[1] = Math.max(range[0], Math.min(range[1], to));
}

/**
 * Spans of a map given from the output to the source, optionally behind a field: source(q) = inverse(q + d(q)).
 *
 * @param options.inverse - output -> source
 * @param options.clip - source rectangle x1, y1, x2, y2 outside of which nothing is read; null reads everywhere (border modes)
 * @param options.rect - part of the output. @defaultValue the whole
 */
export function spanTable({
  inverse,
  field = null,
  sourceWidth,
  sourceHeight,
  rect,
  clip,
}: {
  inverse: Homography;
  field?: InverseField | null;
  sourceWidth: number;
  sourceHeight: number;
  rect: PixelRect;
  clip: readonly [number, number, number, number] | null;
}): SpanTable {
  used = 0;
  lowU = Math.max(0, (clip?.[0] ?? 0) - 0.5);
  lowV = Math.max(0, (clip?.[1] ?? 0) - 0.5);
  highU = Math.min(sourceWidth - 1, (clip?.[2] ?? sourceWidth) - 0.5);
  highV = Math.min(sourceHeight - 1, (clip?.[3] ?? sourceHeight) - 0.5);
  if (field === null && isAffine(inverse)) affineSpans(inverse, sourceWidth, sourceHeight, rect, clip);
  else if (field === null) projectiveSpans(inverse, rect, clip);
  else fieldSpans(inverse, field, rect, clip);
  return { spans: buffer.subarray(0, used), count: used / SPAN_STRIDE };
}

function affineSpans(
  [A, B, C, D, E, F]: Homography,
  width: number,
  height: number,
  rect: PixelRect,
  clip: readonly [number, number, number, number] | null,
): void {
  const range: [number, number] = [0, 0];
  const inner: [number, number] = [0, 0];
  const limits = clip ?? [-LIMIT, -LIMIT, LIMIT, LIMIT];
  for (let row = rect.top; row < rect.bottom; row++) {
    const u = B * (row + 0.5) + C;
    const v = E * (row + 0.5) + F;
    range[0] = rect.left;
    range[1] = rect.right;
    columnRange(u, A, limits[0], limits[2], range);
    columnRange(v, D, limits[1], limits[3], range);
    const [from, to] = range;
    if (to <= from) continue;
    // The middle, where no tap needs a border, apart from the two ends; one more column at each end absorbs rounding.
    inner[0] = from;
    inner[1] = to;
    columnRange(u, A, 0.5, width - 0.5 - 1 / 64, inner);
    columnRange(v, D, 0.5, height - 0.5 - 1 / 64, inner);
    const innerFrom = inner[0];
    const innerTo = inner[1];
    // A rounded step drifts by up to 2^-17 px a column: long rows start afresh, so that the drift stays below the margin.
    const at = (a: number, b: number) => {
      for (let x = a; x < b; x += LONGEST) {
        const end = Math.min(b, x + LONGEST);
        push(row, x, end, u + A * (x + 0.5) - 0.5, v + D * (x + 0.5) - 0.5, A, D);
      }
    };
    if (innerTo > innerFrom) {
      at(from, innerFrom);
      at(innerFrom, innerTo);
      at(innerTo, to);
    } else at(from, to);
  }
}

/** The pieces of one row, given as source positions minus half a pixel: cut to what can be read and written as spans. */
function emitRow(row: number, count: number, clip: readonly [number, number, number, number] | null): void {
  const { from, to, x0, y0, x1, y1 } = pieces;
  while (used + count * SPAN_STRIDE > buffer.length) {
    const grown = new Int32Array(buffer.length * 2);
    grown.set(buffer);
    buffer = grown;
  }
  const out = buffer;
  let o = used;
  // Half a pixel of centre offset and one of rounding.
  const minU = clip === null ? -LIMIT : clip[0] - 1;
  const minV = clip === null ? -LIMIT : clip[1] - 1;
  const maxU = clip === null ? LIMIT : clip[2] + 1;
  const maxV = clip === null ? LIMIT : clip[3] + 1;
  const isClipped = clip !== null;
  const margin = 1 / 128;
  const low = lowU;
  const lowRow = lowV;
  const high = highU - margin;
  const highRow = highV - margin;
  for (let k = 0; k < count; k++) {
    let ax = x0[k]!;
    let ay = y0[k]!;
    let bx = x1[k]!;
    let by = y1[k]!;
    // Behind the horizon: no source.
    if (Number.isNaN(ax) || Number.isNaN(bx)) continue;
    if (isClipped) {
      if ((ax < minU && bx < minU) || (ax > maxU && bx > maxU)) continue;
      if ((ay < minV && by < minV) || (ay > maxV && by > maxV)) continue;
    }
    if (ax < -LIMIT) ax = -LIMIT;
    else if (ax > LIMIT) ax = LIMIT;
    if (ay < -LIMIT) ay = -LIMIT;
    else if (ay > LIMIT) ay = LIMIT;
    if (bx < -LIMIT) bx = -LIMIT;
    else if (bx > LIMIT) bx = LIMIT;
    if (by < -LIMIT) by = -LIMIT;
    else if (by > LIMIT) by = LIMIT;
    const n = to[k]! - from[k]!;
    const du = (bx - ax) / n;
    const dv = (by - ay) / n;
    const interior =
      ax >= low && bx >= low && ay >= lowRow && by >= lowRow && ax < high && bx < high && ay < highRow && by < highRow;
    out[o] = row;
    out[o + 1] = from[k]!;
    out[o + 2] = to[k]!;
    out[o + 3] = Math.floor(ax * ONE + 0.5);
    out[o + 4] = Math.floor(ay * ONE + 0.5);
    out[o + 5] = Math.floor(du * ONE + 0.5);
    out[o + 6] = Math.floor(dv * ONE + 0.5);
    out[o + 7] = interior ? 1 : 0;
    o += SPAN_STRIDE;
  }
  used = o;
}

/** Columns per piece so that the straight walk stays within 0.004 px of the curve, n^2 |u''| / 8, over the whole output. */
function projectivePiece(m: Homography, rect: PixelRect): number {
  let largest = 0;
  for (const x of [rect.left, rect.right]) {
    for (const y of [rect.top, rect.bottom]) {
      const w = m[6] * x + m[7] * y + m[8];
      const u = (m[0] * x + m[1] * y + m[2]) / w;
      const v = (m[3] * x + m[4] * y + m[5]) / w;
      // u'' = -2 (m6 / w) u'
      const bend = (2 * Math.abs(m[6])) / Math.max(1e-9, Math.abs(w));
      largest = Math.max(
        largest,
        (bend * Math.max(Math.abs(m[0] - m[6] * u), Math.abs(m[3] - m[6] * v))) / Math.abs(w),
      );
    }
  }
  const fits = Math.floor(Math.sqrt((8 * 0.004) / Math.max(1e-9, largest)));
  return Math.max(2, Math.min(64, fits));
}

function projectiveSpans(m: Homography, rect: PixelRect, clip: readonly [number, number, number, number] | null): void {
  const columns = projectivePiece(m, rect);
  const count = Math.ceil((rect.right - rect.left) / columns);
  pieces.reserve(count);
  const { from, to, x0, y0, x1, y1 } = pieces;
  for (let k = 0; k < count; k++) {
    from[k] = rect.left + k * columns;
    to[k] = Math.min(rect.right, rect.left + (k + 1) * columns);
  }
  for (let row = rect.top; row < rect.bottom; row++) {
    const y = row + 0.5;
    const nx = m[1] * y + m[2];
    const ny = m[4] * y + m[5];
    const nw = m[7] * y + m[8];
    let u = Number.NaN;
    let v = Number.NaN;
    for (let k = -1; k < count; k++) {
      const x = (k < 0 ? rect.left : to[k]!) + 0.5;
      const w = m[6] * x + nw;
      const nextU = w > 1e-9 ? (m[0] * x + nx) / w - 0.5 : Number.NaN;
      const nextV = (m[3] * x + ny) / w - 0.5;
      if (k >= 0) {
        x0[k] = u;
        y0[k] = v;
        x1[k] = nextU;
        y1[k] = nextV;
      }
      u = nextU;
      v = nextV;
    }
    emitRow(row, count, clip);
  }
}

function fieldSpans(
  m: Homography,
  field: InverseField,
  rect: PixelRect,
  clip: readonly [number, number, number, number] | null,
): void {
  field.eachRow(rect, pieces, (row, count) => {
    const { x0, y0, x1, y1 } = pieces;
    for (let k = 0; k < count; k++) {
      const ax = x0[k]!;
      const ay = y0[k]!;
      const bx = x1[k]!;
      const by = y1[k]!;
      const wa = m[6] * ax + m[7] * ay + m[8];
      const wb = m[6] * bx + m[7] * by + m[8];
      // NaN: behind the horizon.
      x0[k] = wa > 1e-9 ? (m[0] * ax + m[1] * ay + m[2]) / wa - 0.5 : Number.NaN;
      y0[k] = (m[3] * ax + m[4] * ay + m[5]) / wa - 0.5;
      x1[k] = wb > 1e-9 ? (m[0] * bx + m[1] * by + m[2]) / wb - 0.5 : Number.NaN;
      y1[k] = (m[3] * bx + m[4] * by + m[5]) / wb - 0.5;
    }
    emitRow(row, count, clip);
  });
}
