import { ops, random } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { Module } from "../module.js";
import type { RandomSource } from "../random-source.js";

interface DropOptions {
  /** Probability of dropping, in [0, 1). */
  readonly rate: number;
  readonly random: RandomSource;
  /** Distinguishes layers of one source; the module's path is a good choice. */
  readonly name: string;
}

function checkRate(rate: number): number {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`A dropout rate must be in [0, 1), got ${rate}.`);
  return rate;
}

/** In training mode zeroes elements with probability `rate` and divides the others by 1 - rate (Srivastava et al., 2014); else identity. No state. */
export class Dropout extends Module {
  readonly rate: number;
  readonly #random: RandomSource;
  readonly #name: string;

  /** @throws RangeError unless 0 <= rate < 1 */
  constructor({ rate, random: source, name }: DropOptions) {
    super();
    this.rate = checkRate(rate);
    this.#random = source;
    this.#name = name;
  }

  /** @param x - any shape @returns the same shape */
  forward<T extends tf.Tensor>(x: T): T {
    if (!this.training || this.rate === 0) return x;
    return tf.tidy(() => ops.dropout({ x, rate: this.rate, key: this.#random.keyOf(this.#name) }));
  }
}

/**
 * Stochastic depth (Huang et al., 2016): in training mode zeroes whole samples of a residual branch with probability `rate` and divides the
 * others by 1 - rate; else identity. No state.
 */
export class DropPath extends Module {
  readonly rate: number;
  readonly #random: RandomSource;
  readonly #name: string;

  /** @throws RangeError unless 0 <= rate < 1 */
  constructor({ rate, random: source, name }: DropOptions) {
    super();
    this.rate = checkRate(rate);
    this.#random = source;
    this.#name = name;
  }

  /** @param x - [B, ...] @returns the same shape */
  forward<T extends tf.Tensor>(x: T): T {
    if (!this.training || this.rate === 0) return x;
    return tf.tidy(() => {
      const shape = [x.shape[0]!, ...x.shape.slice(1).map(() => 1)];
      const keep = random.bernoulli(shape, this.#random.keyOf(this.#name), 1 - this.rate);
      return tf.mul(x, tf.mul(tf.cast(keep, "float32"), 1 / (1 - this.rate))) as T;
    });
  }
}
