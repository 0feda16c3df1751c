/** 64 bits as two uint32: rows 0 to 3 (high) and 4 to 7 (low) of an 8 x 8 grid, first cell in the highest bit. */
export interface PerceptualHash {
  readonly high: number;
  readonly low: number;
}

/** Row-major 8-bit gray. */
export interface GrayImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

const CELLS = 8;
/** Side of the grid whose low frequencies the DCT hash takes. */
const DCT_SIDE = 32;

/** Gray as Pillow's `convert("L")`: (19595 R + 38470 G + 7471 B + 2^15) >> 16 of interleaved 8-bit RGB. */
export function toGray(rgb: Uint8Array, width: number, height: number): GrayImage {
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) {
    data[i] = (19595 * rgb[3 * i]! + 38470 * rgb[3 * i + 1]! + 7471 * rgb[3 * i + 2]! + 0x8000) >> 16;
  }
  return { width, height, data };
}

/** Difference hash: a bit for each cell of a 9 x 8 grid of means that is darker than its right neighbour. */
export function differenceHash(image: GrayImage): PerceptualHash {
  const means = shrink(image, CELLS + 1, CELLS);
  return pack((row, column) => means[row * (CELLS + 1) + column + 1]! > means[row * (CELLS + 1) + column]!);
}

/** DCT hash: which of the 8 x 8 lowest frequencies of a 32 x 32 grid of means exceed their median. */
export function dctHash(image: GrayImage): PerceptualHash {
  const means = shrink(image, DCT_SIDE, DCT_SIDE);
  const basis = Float64Array.from({ length: CELLS * DCT_SIDE }, (_, i) => {
    const [frequency, x] = [Math.floor(i / DCT_SIDE), i % DCT_SIDE];
    return Math.cos((Math.PI * frequency * (2 * x + 1)) / (2 * DCT_SIDE));
  });
  const rows = new Float64Array(DCT_SIDE * CELLS);
  for (let y = 0; y < DCT_SIDE; y++) {
    for (let u = 0; u < CELLS; u++) {
      let sum = 0;
      for (let x = 0; x < DCT_SIDE; x++) sum += means[y * DCT_SIDE + x]! * basis[u * DCT_SIDE + x]!;
      rows[y * CELLS + u] = sum;
    }
  }
  const low = new Float64Array(CELLS * CELLS);
  for (let v = 0; v < CELLS; v++) {
    for (let u = 0; u < CELLS; u++) {
      for (let y = 0; y < DCT_SIDE; y++) low[v * CELLS + u]! += rows[y * CELLS + u]! * basis[v * DCT_SIDE + y]!;
    }
  }
  const sorted = low.toSorted();
  const median = (sorted[31]! + sorted[32]!) / 2;
  return pack((row, column) => low[row * CELLS + column]! > median);
}

/** Bits that differ, 0 to 64. */
export function hammingDistance(a: PerceptualHash, b: PerceptualHash): number {
  return bitCount(a.high ^ b.high) + bitCount(a.low ^ b.low);
}

function bitCount(value: number): number {
  let bits = value >>> 0;
  bits -= (bits >>> 1) & 0x55555555;
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return (((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

function pack(isSet: (row: number, column: number) => boolean): PerceptualHash {
  const words = [0, 0];
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const word = row < CELLS / 2 ? 0 : 1;
      words[word] = ((words[word]! << 1) | Number(isSet(row, column))) >>> 0;
    }
  }
  return { high: words[0]!, low: words[1]! };
}

/** Means over the cells of a grid; pixels on a border count in proportion. */
function shrink({ width, height, data }: GrayImage, columns: number, rows: number): Float64Array {
  const narrow = new Float64Array(height * columns);
  for (let y = 0; y < height; y++) {
    for (let c = 0; c < columns; c++) {
      narrow[y * columns + c] = meanOver(
        (c * width) / columns,
        ((c + 1) * width) / columns,
        (x) => data[y * width + x]!,
      );
    }
  }
  const result = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      result[r * columns + c] = meanOver(
        (r * height) / rows,
        ((r + 1) * height) / rows,
        (y) => narrow[y * columns + c]!,
      );
    }
  }
  return result;
}

function meanOver(from: number, to: number, read: (index: number) => number): number {
  let sum = 0;
  for (let i = Math.floor(from); i < to; i++) sum += read(i) * (Math.min(to, i + 1) - Math.max(from, i));
  return sum / (to - from);
}
