import type { RgbImage } from "@seg/coco-dataset";
import { type Cv2Table, cv2Table } from "./cv2-table.js";
import type { Placement } from "./geometry.js";
import {
  Arena,
  align,
  BLOCK_ROWS,
  chunkRowsOf,
  MEMORY_LIMIT,
  SLACK,
  slideWindow,
  windowRowsOf,
} from "./kernel-memory.js";
import { type PillowCoefficients, type PillowFilter, pillowCoefficients } from "./pillow-coefficients.js";
import { type SimdKernels, simdKernels } from "./simd-kernels.js";

/** One resize. */
export type ResizeRequest =
  | {
      readonly kernel: "pillow";
      readonly filter: Exclude<PillowFilter, "nearest">;
      readonly width: number;
      readonly height: number;
    }
  | { readonly kernel: "cv2"; readonly width: number; readonly height: number };

/** Finished rows in the memory of the kernels, valid during the call. */
interface Block {
  readonly address: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** First row and their number. */
  readonly y: number;
  readonly rows: number;
}

/** `bytes` is the kernels' memory; `free` addresses the extra bytes that were asked for. */
type Emit = (block: Block, bytes: Uint8Array, free: number) => void;

/** 3 x 256 float32. */
const TABLE_BYTES = 3072;

/** Tables as the kernels read them, made once per table. */
interface Packed {
  /** Number of output pixels, a multiple of 4. */
  readonly width: number;
  readonly pairs: number;
  readonly starts: Uint8Array;
  readonly weights: Uint8Array;
}

const packedPillow = new WeakMap<PillowCoefficients, Packed>();

/** 22-bit weights as low0 low1 high0 high1 per pair of taps, w = high * 2^11 + low. */
function packPillow(table: PillowCoefficients): Packed {
  const known = packedPillow.get(table);
  if (known !== undefined) return known;
  const { start, count, taps, weights } = table;
  const length = start.length;
  const width = (length + 3) & ~3;
  const pairs = Math.max(1, (count.reduce((a, b) => Math.max(a, b), 1) + 1) >> 1);
  const starts = new Int32Array(width);
  const halves = new Int16Array(width * pairs * 4);
  for (let x = 0; x < width; x++) {
    const from = Math.min(x, length - 1);
    starts[x] = start[from]! * 3;
    for (let i = 0; i < count[from]!; i++) {
      const weight = weights[from * taps + i]!;
      const at = (x * pairs + (i >> 1)) * 4 + (i & 1);
      halves[at] = weight & 2047;
      halves[at + 2] = weight >> 11;
    }
  }
  const packed = { width, pairs, starts: new Uint8Array(starts.buffer), weights: new Uint8Array(halves.buffer) };
  packedPillow.set(table, packed);
  return packed;
}

const packedCv2 = new WeakMap<Cv2Table, Packed>();

function packCv2(table: Cv2Table): Packed {
  const known = packedCv2.get(table);
  if (known !== undefined) return known;
  const { low, weightLow, weightHigh } = table;
  const width = (low.length + 3) & ~3;
  const starts = new Int32Array(width);
  const weights = new Int16Array(width * 2);
  for (let x = 0; x < width; x++) {
    const from = Math.min(x, low.length - 1);
    starts[x] = low[from]!;
    weights[x * 2] = weightLow[from]!;
    weights[x * 2 + 1] = weightHigh[from]!;
  }
  const packed = { width, pairs: 1, starts: new Uint8Array(starts.buffer), weights: new Uint8Array(weights.buffer) };
  packedCv2.set(table, packed);
  return packed;
}

/** Streams Pillow's two passes: source rows in chunks, their horizontal results in a window that slides down with the output. */
function pillowBlocks(
  kernels: SimdKernels,
  image: RgbImage,
  { filter, width, height }: ResizeRequest & { kernel: "pillow" },
  extra: number,
  emit: Emit,
): boolean {
  const srcStride = image.width * 3;
  const horizontal = width === image.width ? null : packPillow(pillowCoefficients(image.width, width, filter));
  const table = height === image.height ? null : pillowCoefficients(image.height, height, filter);
  const vertical = table === null ? null : packPillow(table);
  const stride = align((horizontal?.width ?? width) * 3 + SLACK);
  const chunkRows = chunkRowsOf(image);
  const arena = new Arena(kernels);
  const src = arena.take(chunkRows * srcStride + (horizontal?.pairs ?? 1) * 6);
  const reach = (vertical?.pairs ?? 1) * 2;
  // `reach` rows more: an output near the bottom has fewer taps, the rest of its pairs read whatever follows, times 0.
  const window = arena.take((windowRowsOf(image.height, height, reach) + reach) * stride);
  const out = arena.take(BLOCK_ROWS * stride);
  const starts = arena.take(horizontal?.starts.length ?? 0);
  const weights = arena.take(horizontal?.weights.length ?? 0);
  const verticalWeights = arena.take(vertical?.weights.length ?? 0);
  const free = arena.take(extra);
  if (arena.size > MEMORY_LIMIT) return false;
  const bytes = arena.bytes();
  if (horizontal !== null) {
    bytes.set(horizontal.starts, starts);
    bytes.set(horizontal.weights, weights);
  }
  if (vertical !== null) bytes.set(vertical.weights, verticalWeights);
  slideWindow({
    bytes,
    window,
    stride,
    height,
    chunkRows,
    firstOf: (y) => (table === null ? y : table.start[y]!),
    endOf: (y) => (table === null ? y + 1 : table.start[y]! + table.count[y]!),
    make: (row, count, address) => {
      if (horizontal === null) {
        for (let r = 0; r < count; r++) {
          const p = (row + r) * srcStride;
          bytes.set(image.data.subarray(p, p + srcStride), address + r * stride);
        }
        return;
      }
      const { width: outWidth, pairs } = horizontal;
      bytes.set(image.data.subarray(row * srcStride, (row + count) * srcStride), src);
      kernels.pillowHorizontal(src, srcStride, address, stride, count, outWidth, starts, weights, pairs);
    },
    finish: (y, rows, addressOf) => {
      if (table === null || vertical === null) {
        emit({ address: addressOf(y), stride, y, rows }, bytes, free);
        return;
      }
      const { pairs } = vertical;
      for (let r = 0; r < rows; r++) {
        const rowWeights = verticalWeights + (y + r) * pairs * 8;
        kernels.pillowVertical(addressOf(table.start[y + r]!), stride, out + r * stride, width * 3, rowWeights, pairs);
      }
      emit({ address: out, stride, y, rows }, bytes, free);
    },
  });
  return true;
}

/** Streams OpenCV's kernel: two rows of horizontal sums at a time, rows between the samples of a reduction are never read. */
function cv2Blocks(
  kernels: SimdKernels,
  image: RgbImage,
  { width, height }: ResizeRequest,
  extra: number,
  emit: Emit,
): boolean {
  const srcStride = image.width * 3;
  const x = packCv2(cv2Table(image.width, width, "x"));
  const y = cv2Table(image.height, height, "y");
  const stride = align(x.width * 3 + SLACK);
  const arena = new Arena(kernels);
  const src = arena.take(srcStride);
  const sums = [arena.take(2 * stride), arena.take(2 * stride)] as const;
  const out = arena.take(BLOCK_ROWS * stride);
  const starts = arena.take(x.starts.length);
  const weights = arena.take(x.weights.length);
  const free = arena.take(extra);
  if (arena.size > MEMORY_LIMIT) return false;
  const bytes = arena.bytes();
  bytes.set(x.starts, starts);
  bytes.set(x.weights, weights);
  // Neighbouring rows have different parity, so each has a slot of its own.
  const held = [-1, -1];
  const sumsOf = (row: number): number => {
    const slot = row & 1;
    if (held[slot] !== row) {
      bytes.set(image.data.subarray(row * srcStride, (row + 1) * srcStride), src);
      kernels.cv2Horizontal(src, sums[slot]!, x.width, starts, weights);
      held[slot] = row;
    }
    return sums[slot]!;
  };
  for (let from = 0; from < height; from += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, height - from);
    for (let r = 0; r < rows; r++) {
      const d = from + r;
      const upper = sumsOf(y.low[d]!);
      const lower = sumsOf(y.high[d]!);
      kernels.cv2Vertical(upper, lower, out + r * stride, width * 3, y.weightLow[d]!, y.weightHigh[d]!);
    }
    emit({ address: out, stride, y: from, rows }, bytes, free);
  }
  return true;
}

function stream(kernels: SimdKernels, image: RgbImage, request: ResizeRequest, extra: number, emit: Emit): boolean {
  return request.kernel === "pillow"
    ? pillowBlocks(kernels, image, request, extra, emit)
    : cv2Blocks(kernels, image, request, extra, emit);
}

/** A resize by the SIMD kernels, null where they cannot serve (no SIMD, or a window beyond the memory limit). */
export function resizeSimd(image: RgbImage, request: ResizeRequest): RgbImage | null {
  const kernels = simdKernels();
  if (kernels === null) return null;
  const { width, height } = request;
  const data = new Uint8Array(width * height * 3);
  const row = width * 3;
  const isDone = stream(kernels, image, request, 0, ({ address, stride, y, rows }, bytes) => {
    for (let r = 0; r < rows; r++) {
      const from = address + r * stride;
      data.set(bytes.subarray(from, from + row), (y + r) * row);
    }
  });
  return isDone ? { width, height, data } : null;
}

/**
 * A resize whose rows go straight through a 3 x 256 table into the planar [3, netH, netW] canvas, without a resized picture in between.
 *
 * @returns false where the kernels cannot serve; nothing was written then
 */
export function resampleToChwSimd(
  image: RgbImage,
  request: ResizeRequest,
  { netW, netH, padL, padT }: Placement,
  table: Float32Array | Uint8Array,
  out: Float32Array | Uint8Array,
): boolean {
  const kernels = simdKernels();
  if (kernels === null) return false;
  const plane = netW * netH;
  const { width } = request;
  if (out instanceof Uint8Array || table instanceof Uint8Array) {
    return stream(kernels, image, request, 0, ({ address, stride, y, rows }, bytes) => {
      for (let r = 0; r < rows; r++) {
        let p = address + r * stride;
        let o = (padT + y + r) * netW + padL;
        for (const end = o + width; o < end; o++, p += 3) {
          out[o] = table[bytes[p]!]!;
          out[o + plane] = table[256 + bytes[p + 1]!]!;
          out[o + 2 * plane] = table[512 + bytes[p + 2]!]!;
        }
      }
    });
  }
  const blockBytes = BLOCK_ROWS * width * 4;
  // Rows that fill the canvas lie one behind the other in both places and are copied as one.
  const isWhole = width === netW;
  let floats: Float32Array | null = null;
  return stream(kernels, image, request, TABLE_BYTES + 3 * blockBytes, ({ address, stride, y, rows }, bytes, free) => {
    const planes = free + TABLE_BYTES;
    if (floats === null) {
      floats = new Float32Array(bytes.buffer);
      floats.set(table, free >> 2);
    }
    kernels.tableRows(address, stride, planes, width * 4, blockBytes, rows, width, free);
    for (let c = 0; c < 3; c++) {
      const from = (planes + c * blockBytes) >> 2;
      const to = c * plane + (padT + y) * netW + padL;
      if (isWhole) out.set(floats.subarray(from, from + rows * width), to);
      else
        for (let r = 0; r < rows; r++)
          out.set(floats.subarray(from + r * width, from + (r + 1) * width), to + r * netW);
    }
  });
}
