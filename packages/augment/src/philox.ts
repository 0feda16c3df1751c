const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const KEY_INCREMENT_0 = 0x9e3779b9;
const KEY_INCREMENT_1 = 0xbb67ae85;
const TWO_POW_MINUS_32 = 2 ** -32;

/** High 32 bits of the 64-bit product of two uint32. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const middle2 = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + (middle2 >>> 16)) >>> 0;
}

/**
 * One block of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * @param counter - four uint32
 * @param key - two uint32
 * @returns four uint32
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(MULTIPLIER_0, c0 >>> 0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = mulHigh(MULTIPLIER_1, c2 >>> 0);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + KEY_INCREMENT_0) >>> 0;
    k1 = (k1 + KEY_INCREMENT_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** 32-bit FNV-1a of the UTF-8 bytes of `text`. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Identifies one stream of random numbers: the same key always yields the same stream, in any process, order or thread. */
export interface RandomKey {
  /** Integer in [0, 2^53). */
  readonly seed: number;
  /** What the numbers are for, for example `mosaic#0/tile1`. */
  readonly path: string;
  /** @defaultValue 0 */
  readonly epoch?: number;
  /** Sample index, uint32. @defaultValue 0 */
  readonly index?: number;
}

/**
 * Counter-based random numbers: Philox4x32-10 with key (lo32(seed), FNV-1a(path)) and counter (block, index, epoch, hi32(seed)).
 * Words of a block are consumed x0..x3.
 */
export class CounterRandom {
  readonly #key: [number, number];
  readonly #index: number;
  readonly #epoch: number;
  readonly #high: number;
  #block = 0;
  #words: [number, number, number, number] = [0, 0, 0, 0];
  #position = 4;

  constructor({ seed, path, epoch = 0, index = 0 }: RandomKey) {
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new RangeError(`seed must be an integer in [0, 2^53), got ${seed}.`);
    this.#key = [seed >>> 0, fnv1a32(path)];
    this.#index = index >>> 0;
    this.#epoch = epoch >>> 0;
    this.#high = Math.floor(seed / 2 ** 32) >>> 0;
  }

  /** Next uint32. */
  uint32(): number {
    if (this.#position === 4) {
      this.#words = philox4x32([this.#block, this.#index, this.#epoch, this.#high], this.#key);
      this.#block = (this.#block + 1) >>> 0;
      this.#position = 0;
    }
    return this.#words[this.#position++]!;
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() * TWO_POW_MINUS_32);
  }

  /** Uniform integer in [low, high], both inclusive. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.uint32() * TWO_POW_MINUS_32 * (high - low + 1));
  }

  /** Standard normal by Box-Muller; consumes two words. */
  normal(mean = 0, deviation = 1): number {
    const u1 = (this.uint32() + 1) * TWO_POW_MINUS_32;
    const u2 = this.uint32() * TWO_POW_MINUS_32;
    return mean + deviation * Math.sqrt(-2 * Math.log(u1)) * Math.cos(2 * Math.PI * u2);
  }

  /** A permutation of 0..n-1 (Fisher-Yates from the end). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(0, i);
      const swap = order[i]!;
      order[i] = order[j]!;
      order[j] = swap;
    }
    return order;
  }
}
