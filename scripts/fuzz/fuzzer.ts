/** Numbers of one run: a function of seed and run alone, so that a failure can be repeated by `--seed S --first RUN --runs 1`. */
export class FuzzRandom {
  #state: number;

  constructor(seed: number, run: number) {
    this.#state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(run + 1, 0x85ebca6b);
  }

  /** Uniform integer in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return Math.floor((((z ^ (z >>> 15)) >>> 0) / 2 ** 32) * n);
  }

  chance(probability: number): boolean {
    return this.below(1e6) < probability * 1e6;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** What a run ended in. Errors that are not expected must be thrown. */
export type Outcome = "accepted" | "refused";

/** One run on hostile input: an expected, typed error is `refused`; any other error is a finding. */
export type Fuzzer = (random: FuzzRandom) => Promise<Outcome>;
