import { Arena, SLACK } from "../kernel-memory.js";
import { type SimdKernels, simdKernels } from "../simd-kernels.js";
import { HUFFMAN_TABLE_BYTES, huffmanTable } from "./huffman-table.js";
import type { JpegLayout } from "./parse-jpeg.js";

/** Files beyond this are left to libvips: the kernels hold the file twice. */
const MAX_FILE_BYTES = 48 * 2 ** 20;
/** Rows of the last MCUs that chroma of the next ones still needs: two of luma, two of chroma. */
const CARRY = 2;
const END_OF_IMAGE = 0xd9;

/** Place in the block, times 2 bytes, of each value in zigzag order. */
const ZIGZAG: Uint8Array = (() => {
  const order = new Uint8Array(64);
  let x = 0;
  let y = 0;
  for (let k = 0; k < 64; k++) {
    order[k] = 2 * (8 * y + x);
    // Up and right on even diagonals, down and left on odd ones, along the edges.
    if ((x + y) % 2 === 0) {
      if (x === 7) y++;
      else if (y === 0) x++;
      else {
        x++;
        y--;
      }
    } else if (y === 7) x++;
    else if (x === 0) y++;
    else {
      x--;
      y++;
    }
  }
  return order;
})();

/** Samples of one component around the current row of MCUs. */
interface Plane {
  /** Of the first new row; the carried ones lie before it. */
  readonly address: number;
  readonly stride: number;
  readonly rows: number;
}

/**
 * Decodes a baseline JPEG to RGB, byte by byte as libjpeg-turbo (and so Pillow and libvips) does.
 *
 * @param out - width * height * 3 bytes
 * @returns false where WebAssembly SIMD is missing, the file is too large, or its entropy-coded bytes are not in perfect order (libvips judges
 * those); `out` may be partly written then
 */
export function decodeJpeg(bytes: Uint8Array, layout: JpegLayout, out: Uint8Array): boolean {
  const kernels = simdKernels();
  if (kernels === null || bytes.length > MAX_FILE_BYTES) return false;
  const { width, height, components, restartInterval } = layout;
  const [luma] = components;
  const { across, down } = luma!;
  const mcusAcross = Math.ceil(width / (8 * across));
  const mcusDown = Math.ceil(height / (8 * down));
  const isTall = down === 2;
  const carry = isTall ? CARRY : 0;
  const pieces = restartInterval === 0 ? 1 : Math.ceil((mcusAcross * mcusDown) / restartInterval);

  const arena = new Arena(kernels);
  const source = arena.take(bytes.length - layout.scanStart);
  const entropy = arena.take(bytes.length - layout.scanStart);
  const segments = arena.take(8 * pieces);
  const scan = arena.take(16 + 32 * components.length);
  const block = arena.take(128);
  const work = arena.take(128);
  const order = arena.take(64);
  const tables = components.map(() => ({
    dc: arena.take(HUFFMAN_TABLE_BYTES),
    ac: arena.take(HUFFMAN_TABLE_BYTES),
    quantisation: arena.take(128),
  }));
  const planes = components.map((component): Plane => {
    const stride = 8 * component.across * mcusAcross + SLACK;
    const rows = 8 * component.down;
    return { address: arena.take((carry + rows) * stride) + carry * stride, stride, rows };
  });
  const sums = arena.take(4 * planes.at(-1)!.stride + 128);
  const stripRows = 8 * down + carry;
  const strip = arena.take(stripRows * width * 3 + 64);
  const memory = arena.bytes();

  memory.set(bytes.subarray(layout.scanStart), source);
  const found = kernels.jpegUnstuff(source, source + bytes.length - layout.scanStart, entropy, segments, pieces);
  if (found !== pieces || memory[kernels.jpegStop() + 1] !== END_OF_IMAGE) return false;
  memory.fill(0, block, block + 128);
  memory.set(ZIGZAG, order);
  const view = new DataView(memory.buffer);
  const words = (address: number, values: readonly number[]) => {
    values.forEach((value, i) => void view.setInt32(address + 4 * i, value, true));
  };
  words(scan, [components.length, block, work, order]);
  for (const [i, component] of components.entries()) {
    const { dc, ac, quantisation } = tables[i]!;
    const dcTable = huffmanTable(component.dc, true);
    const acTable = huffmanTable(component.ac, false);
    if (dcTable === null || acTable === null) return false;
    memory.set(dcTable, dc);
    memory.set(acTable, ac);
    ZIGZAG.forEach((place, k) => void view.setInt16(quantisation + place, component.quantisation[k]!, true));
    const { address, stride } = planes[i]!;
    words(scan + 16 + 32 * i, [component.across, component.down, dc, ac, quantisation, address, stride, 0]);
  }

  const intervals = createIntervals({ kernels, view, segments, length: restartInterval });
  for (let row = 0; row < mcusDown; row++) {
    for (let column = 0; column < mcusAcross; ) {
      const run = intervals.next(mcusAcross - column);
      if (kernels.jpegMcus(scan, column, run) !== 0) return false;
      column += run;
      if (!intervals.advance(run)) return false;
    }
    // A row of pixels needs the chroma below it: the last ones wait for the next row of MCUs.
    const isLast = row === mcusDown - 1;
    const top = 8 * down * row;
    const from = Math.max(0, top - carry);
    const to = isLast ? height : top + 8 * down - carry;
    writeRows({ kernels, layout, planes, top, from, to, strip, sums });
    out.set(memory.subarray(strip, strip + (to - from) * width * 3), from * width * 3);
    if (!isTall) continue;
    for (const { address, stride, rows } of planes) {
      memory.copyWithin(address - carry * stride, address + (rows - carry) * stride, address + rows * stride);
    }
  }
  return intervals.isComplete();
}

/** Colours rows [from, to) into the strip; `top` is the row of the first new sample of luma. */
function writeRows({
  kernels,
  layout: { width, height, components },
  planes,
  top,
  from,
  to,
  strip,
  sums,
}: {
  kernels: SimdKernels;
  layout: JpegLayout;
  planes: readonly Plane[];
  top: number;
  from: number;
  to: number;
  strip: number;
  sums: number;
}): void {
  const [luma, cb, cr] = planes;
  const { across, down } = components[0]!;
  const lastChroma = Math.ceil(height / down) - 1;
  const samples = Math.ceil(width / across);
  for (let y = from; y < to; y++) {
    const target = strip + (y - from) * width * 3;
    const lumaRow = luma!.address + (y - top) * luma!.stride;
    if (cb === undefined || cr === undefined) {
      kernels.jpegGrayRow(lumaRow, width, target);
      continue;
    }
    const near = down === 2 ? y >> 1 : y;
    const row = near - top / down;
    if (across === 1) {
      kernels.jpegFullRow(lumaRow, cb.address + row * cb.stride, cr.address + row * cr.stride, width, target);
      continue;
    }
    // Even rows lie nearer to the chroma above, odd ones to the one below; the picture's edge repeats.
    const far = down === 2 ? Math.min(lastChroma, Math.max(0, near + (y % 2 === 0 ? -1 : 1))) - top / down : row;
    kernels.jpegHalfRow(
      lumaRow,
      cb.address + row * cb.stride,
      cb.address + far * cb.stride,
      cr.address + row * cr.stride,
      cr.address + far * cr.stride,
      width,
      samples,
      down === 2 ? 1 : 0,
      sums,
      target,
    );
  }
}

/** Walks through the restart intervals; each must be used up to its last byte. */
function createIntervals({
  kernels,
  view,
  segments,
  length,
}: {
  kernels: SimdKernels;
  view: DataView;
  segments: number;
  length: number;
}) {
  let index = -1;
  let start = 0;
  let left = 0;
  const isUsedUp = (): boolean => {
    const end = view.getUint32(segments + 8 * index + 4, true);
    const unused = 8 * (end - start) - kernels.jpegBitsRead(start);
    return unused >= 0 && unused < 8;
  };
  return {
    /** MCUs that may be decoded at once, at most `wanted`. */
    next(wanted: number): number {
      if (left === 0) {
        index++;
        start = view.getUint32(segments + 8 * index, true);
        kernels.jpegSegment(start);
        left = length === 0 ? Number.POSITIVE_INFINITY : length;
      }
      return Math.min(wanted, left);
    },
    /** After `count` MCUs; false where an interval had more or fewer bytes than its MCUs. */
    advance(count: number): boolean {
      left -= count;
      return left > 0 || isUsedUp();
    },
    /** Whether the last interval was used up. */
    isComplete: (): boolean => left === 0 || isUsedUp(),
  };
}
