/** Pillow's resampling filters. */
export type PillowFilter = "nearest" | "box" | "bilinear" | "hamming" | "bicubic" | "lanczos";

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const FILTERS: Readonly<Record<Exclude<PillowFilter, "nearest">, { support: number; f: (x: number) => number }>> = {
  box: { support: 0.5, f: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, f: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0) },
  hamming: {
    support: 1,
    f: (x) =>
      x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : sinc(Math.abs(x)) * (0.54 + 0.46 * Math.cos(Math.abs(x) * Math.PI)),
  },
  bicubic: {
    support: 2,
    f: (x) => {
      const a = Math.abs(x);
      if (a < 1) return (1.5 * a - 2.5) * a * a + 1;
      return a < 2 ? -0.5 * (((a - 5) * a + 8) * a - 4) : 0;
    },
  },
  lanczos: { support: 3, f: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** 8 bits of pixel and 2 of headroom leave 22 of 32 bits for the weights. */
export const PRECISION = 22;
/** One axis of a resize: output x is the sum of `count[x]` inputs from `start[x]` on. */
export interface PillowCoefficients {
  /** First input index of each output. */
  readonly start: Int32Array;
  /** Taps of each output. */
  readonly count: Int32Array;
  /** Stride of {@link weights}. */
  readonly taps: number;
  readonly weights: Int32Array;
}

const cache = new Map<string, PillowCoefficients>();
const CACHE_ENTRIES = 64;

/** The 22-bit weights of one axis; tables are kept, least recently used out. */
export function pillowCoefficients(
  inSize: number,
  outSize: number,
  filter: Exclude<PillowFilter, "nearest">,
): PillowCoefficients {
  const key = `${inSize},${outSize},${filter}`;
  const known = cache.get(key);
  if (known !== undefined) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const { support: baseSupport, f } = FILTERS[filter];
  const scale = inSize / outSize;
  const filterScale = Math.max(1, scale);
  const support = baseSupport * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  const inverse = 1 / filterScale;
  const start = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const weights = new Int32Array(outSize * taps);
  const row = new Float64Array(taps);
  for (let x = 0; x < outSize; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const n = Math.min(inSize, Math.trunc(centre + support + 0.5)) - first;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const w = f((i + first - centre + 0.5) * inverse);
      row[i] = w;
      sum += w;
    }
    for (let i = 0; i < n; i++) {
      const w = (sum === 0 ? row[i]! : row[i]! / sum) * (1 << PRECISION);
      weights[x * taps + i] = Math.trunc(w < 0 ? w - 0.5 : w + 0.5);
    }
    start[x] = first;
    count[x] = n;
  }
  const made = { start, count, taps, weights };
  cache.set(key, made);
  if (cache.size > CACHE_ENTRIES) cache.delete(cache.keys().next().value!);
  return made;
}
