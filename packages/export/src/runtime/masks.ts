import type { Rle } from "@seg/coco-dataset";
import { type LetterboxGeometry, roundHalfEven } from "./geometry.js";

/**
 * How prototypes become a mask of the original image. Every rule thresholds logits at > 0.
 * - `native`: strip the letterbox in prototype space (rounded), bilinear to the original size, crop by the box.
 * - `accurate`: bilinear to the network input, crop by the box there, strip the letterbox, bilinear to the original size.
 * - `fast`: crop in prototype cells, then one bilinear sample per original pixel.
 */
export type MaskMode = "native" | "accurate" | "fast";

/** One axis of the linear map from prototype cells to original pixels: row d has `TAPS` weights from cell `start[d]` on. */
interface AxisMap {
  /** First output pixel; the map covers [begin, begin + start.length). */
  begin: number;
  start: Int32Array;
  weights: Float64Array;
}

/** Two bilinear steps touch at most two neighbouring network pixels, hence at most three neighbouring cells. */
const TAPS = 3;

interface AxisInput {
  mode: MaskMode;
  /** Sizes along this axis. */
  orig: number;
  content: number;
  net: number;
  pad: number;
  proto: number;
  /** Box edges in network pixels and in original pixels. */
  netLow: number;
  netHigh: number;
  origLow: number;
  origHigh: number;
}

/** Position and share of the second of two neighbours: bilinear, half-pixel centres, clamped at the edges. */
function bilinear(source: number, size: number): [low: number, high: number, share: number] {
  const clamped = Math.max(0, source);
  const low = Math.min(Math.floor(clamped), size - 1);
  const high = Math.min(low + 1, size - 1);
  return [low, high, high === low ? 0 : clamped - low];
}

/** Crop rule of every mode: index c is inside when low <= c < high. */
const isInside = (index: number, low: number, high: number): boolean => index >= low && index < high;

function axisMap({ mode, orig, content, net, pad, proto, netLow, netHigh, origLow, origHigh }: AxisInput): AxisMap {
  // Cropping happens before the last interpolation in `accurate` and `fast`, so pixels up to one cell outside the box may be set.
  const cell = mode === "native" ? 0 : (net / proto) * (orig / content) + 1;
  const begin = Math.max(0, mode === "native" ? Math.ceil(origLow) : Math.floor(origLow - cell));
  const end = Math.min(orig, Math.ceil(origHigh + cell));
  const count = Math.max(0, end - begin);
  const start = new Int32Array(count);
  const weights = new Float64Array(count * TAPS);
  const perNet = proto / net;
  for (let d = 0; d < count; d++) {
    const pixel = begin + d;
    if (mode === "native") {
      if (!isInside(pixel, origLow, origHigh)) continue;
      const top = roundHalfEven(pad * perNet - 0.1);
      const size = proto - roundHalfEven((net - content - pad) * perNet + 0.1) - top;
      const [low, high, share] = bilinear(((pixel + 0.5) * size) / orig - 0.5, size);
      start[d] = top + low;
      weights[d * TAPS] = 1 - share;
      weights[d * TAPS + (high - low)]! += share;
    } else if (mode === "fast") {
      const source = (((pixel + 0.5) * content) / orig + pad) * perNet - 0.5;
      const [low, high, share] = bilinear(source, proto);
      start[d] = low;
      if (isInside(low, netLow * perNet, netHigh * perNet)) weights[d * TAPS] = 1 - share;
      if (isInside(high, netLow * perNet, netHigh * perNet)) weights[d * TAPS + (high - low)]! += share;
    } else {
      const [low, high, share] = bilinear(((pixel + 0.5) * content) / orig - 0.5, content);
      let first = -1;
      for (const [netPixel, weight] of [
        [pad + low, 1 - share],
        [pad + high, share],
      ] as const) {
        const [cellLow, cellHigh, cellShare] = bilinear((netPixel + 0.5) * perNet - 0.5, proto);
        if (first < 0) first = cellLow;
        if (weight === 0 || !isInside(netPixel, netLow, netHigh)) continue;
        weights[d * TAPS + (cellLow - first)]! += weight * (1 - cellShare);
        weights[d * TAPS + (cellHigh - first)]! += weight * cellShare;
      }
      start[d] = first;
    }
  }
  return { begin, start, weights };
}

/** Cells that a map reads: [low, high). */
function cellRange({ start, weights }: AxisMap): [low: number, high: number] {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (let d = 0; d < start.length; d++) {
    for (let tap = 0; tap < TAPS; tap++) {
      if (weights[d * TAPS + tap] === 0) continue;
      low = Math.min(low, start[d]! + tap);
      high = Math.max(high, start[d]! + tap + 1);
    }
  }
  return low < high ? [low, high] : [0, 0];
}

/** What {@link assembleMask} needs: one detection's coefficients and the image's prototypes. */
export interface MaskInput {
  /** Mask coefficients, [channels]. */
  coefficients: Float32Array;
  /** Prototypes, [channels, height, width]. */
  prototypes: Float32Array;
  protoW: number;
  protoH: number;
  /** xyxy in network pixels, not clipped. */
  netBox: readonly [number, number, number, number];
  /** xyxy in original pixels, clipped. */
  box: readonly [number, number, number, number];
  geometry: LetterboxGeometry;
  mode: MaskMode;
}

/**
 * Mask of one detection in the original image, run-length encoded without ever building the full bitmap.
 *
 * Both interpolations and the crop are separable, so each mode is two sparse axis maps around the cells under the box:
 * mask(y, x) = [ sum_j sum_i Y(y, j) X(x, i) (coefficients . prototypes)(j, i) > 0 ].
 */
export function assembleMask({
  coefficients,
  prototypes,
  protoW,
  protoH,
  netBox,
  box,
  geometry,
  mode,
}: MaskInput): Rle {
  const { origW, origH } = geometry;
  const columns = axisMap({
    mode,
    orig: origW,
    content: geometry.contentW,
    net: geometry.netW,
    pad: geometry.padL,
    proto: protoW,
    netLow: netBox[0],
    netHigh: netBox[2],
    origLow: box[0],
    origHigh: box[2],
  });
  const rows = axisMap({
    mode,
    orig: origH,
    content: geometry.contentH,
    net: geometry.netH,
    pad: geometry.padT,
    proto: protoH,
    netLow: netBox[1],
    netHigh: netBox[3],
    origLow: box[1],
    origHigh: box[3],
  });
  const [i0, i1] = cellRange(columns);
  const [j0, j1] = cellRange(rows);
  const width = i1 - i0;
  const height = j1 - j0;
  if (width === 0 || height === 0) return { size: [origH, origW], counts: Uint32Array.of(origH * origW) };

  const logits = new Float32Array(width * height);
  for (let channel = 0; channel < coefficients.length; channel++) {
    const weight = coefficients[channel]!;
    for (let j = 0; j < height; j++) {
      const source = (channel * protoH + j0 + j) * protoW + i0;
      const target = j * width;
      for (let i = 0; i < width; i++) logits[target + i]! += weight * prototypes[source + i]!;
    }
  }

  // Each run is closed by its end position in column-major order; lengths are their differences.
  const counts: number[] = [];
  let value = 0;
  let runStart = 0;
  const flip = (position: number): void => {
    counts.push(position - runStart);
    runStart = position;
    value = 1 - value;
  };
  const column = new Float64Array(height + TAPS);
  const rowCount = rows.start.length;
  for (let d = 0; d < columns.start.length; d++) {
    const first = columns.start[d]! - i0;
    const a = columns.weights[d * TAPS]!;
    const b = columns.weights[d * TAPS + 1]!;
    const c = columns.weights[d * TAPS + 2]!;
    const base = (columns.begin + d) * origH;
    if (a === 0 && b === 0 && c === 0) {
      if (value === 1) flip(base);
      continue;
    }
    for (let j = 0; j < height; j++) {
      const at = j * width + first;
      column[j] =
        (a === 0 ? 0 : a * logits[at]!) + (b === 0 ? 0 : b * logits[at + 1]!) + (c === 0 ? 0 : c * logits[at + 2]!);
    }
    if (rows.begin > 0 && value === 1) flip(base);
    for (let r = 0; r < rowCount; r++) {
      const at = rows.start[r]! - j0;
      const p = rows.weights[r * TAPS]!;
      const q = rows.weights[r * TAPS + 1]!;
      const s = rows.weights[r * TAPS + 2]!;
      const logit =
        (p === 0 ? 0 : p * column[at]!) + (q === 0 ? 0 : q * column[at + 1]!) + (s === 0 ? 0 : s * column[at + 2]!);
      const isSet = logit > 0 ? 1 : 0;
      if (isSet !== value) flip(base + rows.begin + r);
    }
    if (value === 1 && rows.begin + rowCount < origH) flip(base + rows.begin + rowCount);
  }
  const total = origH * origW;
  // The last column may leave an open run of ones that ends at the end of that column.
  if (value === 1) {
    const end = (columns.begin + columns.start.length) * origH;
    if (end < total) flip(end);
  }
  counts.push(total - runStart);
  return { size: [origH, origW], counts: Uint32Array.from(counts) };
}
