/** Elements that share one scale in 4-bit weights. */
export const NF4_BLOCK = 64;

/** Quantiles of a normal distribution (Dettmers et al., "QLoRA", 2023, appendix E). */
export const NF4_LEVELS: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** Quantised values. */
export interface Codes {
  /** int8: one signed byte an element; nf4: two elements a byte, the first in the high nibble. */
  readonly codes: Uint8Array;
  /** int8: one per row; nf4: the largest magnitude of each block. */
  readonly scales: Float32Array;
}

/** The nearest integer, halves to even. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Symmetric int8 per row: scale = max|w| / 127, code = round half to even(w / scale) within +-127; a row of zeros has scale 1.
 * @param values - [rows, size / rows], row-major
 */
export function quantizeInt8(values: Float32Array, rows: number): Codes {
  const columns = values.length / rows;
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const line = values.subarray(row * columns, (row + 1) * columns);
    const most = line.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    // Also where the division underflows.
    const scale = Math.fround(most / 127) || 1;
    scales[row] = scale;
    for (let i = 0; i < columns; i++) {
      codes[row * columns + i] = Math.max(-127, Math.min(127, roundHalfToEven(line[i]! / scale))) & 255;
    }
  }
  return { codes, scales };
}

/** float32 values of {@link quantizeInt8}: code * scale. */
export function dequantizeInt8({ codes, scales }: Codes): Float32Array {
  const columns = codes.length / scales.length;
  return Float32Array.from(codes, (code, i) => ((code << 24) >> 24) * scales[Math.floor(i / columns)]!);
}

/** Half way between neighbouring levels; a value on the middle belongs to the lower index. */
const MIDDLES = NF4_LEVELS.slice(1).map((level, i) => (level + NF4_LEVELS[i]!) / 2);

/** 4-bit normal float in blocks of {@link NF4_BLOCK} over the row-major weight, the last one short: nearest level to w / max|w|. */
export function quantizeNf4(values: Float32Array): Codes {
  const codes = new Uint8Array(Math.ceil(values.length / 2));
  const scales = new Float32Array(Math.ceil(values.length / NF4_BLOCK));
  for (let block = 0; block < scales.length; block++) {
    const begin = block * NF4_BLOCK;
    const end = Math.min(begin + NF4_BLOCK, values.length);
    let most = 0;
    for (let i = begin; i < end; i++) most = Math.max(most, Math.abs(values[i]!));
    scales[block] = most;
    for (let i = begin; i < end; i++) {
      const unit = most === 0 ? 0 : values[i]! / most;
      let code = 0;
      while (code < MIDDLES.length && unit > MIDDLES[code]!) code++;
      codes[i >> 1]! |= i % 2 === 0 ? code << 4 : code;
    }
  }
  return { codes, scales };
}

/** float32 values of {@link quantizeNf4}: level * scale. */
export function dequantizeNf4({ codes, scales }: Codes, size: number): Float32Array {
  const levels = Float32Array.from(NF4_LEVELS);
  return Float32Array.from({ length: size }, (_, i) => {
    const code = i % 2 === 0 ? codes[i >> 1]! >> 4 : codes[i >> 1]! & 15;
    return levels[code]! * scales[Math.floor(i / NF4_BLOCK)]!;
  });
}
