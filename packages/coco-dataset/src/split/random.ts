import { createHash } from "node:crypto";

/** Values dropped at the start, so that similar states diverge. */
const WARM_UP = 12;

/**
 * Random numbers of splits (normative, so that a seed gives the same split in any implementation): sfc32 whose state is the first four
 * little-endian uint32 of SHA-256 of `seg-split/1:` + seed.
 */
export class SplitRandom {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number | string) {
    const digest = createHash("sha256").update(`seg-split/1:${seed}`, "utf8").digest();
    this.#a = digest.readInt32LE(0);
    this.#b = digest.readInt32LE(4);
    this.#c = digest.readInt32LE(8);
    this.#d = digest.readInt32LE(12);
    for (let i = 0; i < WARM_UP; i++) this.uint32();
  }

  /** Next uint32. */
  uint32(): number {
    const t = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform integer in [0, n), by rejection. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n);
    let x = this.uint32();
    while (x >= limit) x = this.uint32();
    return x % n;
  }

  /** A shuffled copy: i = n-1 ... 1 swapped with below(i + 1). */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swap = result[i]!;
      result[i] = result[j]!;
      result[j] = swap;
    }
    return result;
  }
}
