import { random } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/**
 * Where a model's dropout gets its numbers: a key made of seed and step, from which each layer derives its own by name. Numbers are a
 * function of (seed, step, layer, position), so a resumed run repeats them; compiled steps draw anew because the key is a variable.
 */
export class RandomSource {
  readonly seed: number;
  /** Created on first use: most sources of adapters without dropout never draw. */
  #key: tf.Variable | null = null;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Chooses the numbers of training step `step`. Call it before each step, outside the compiled function. */
  setStep(step: number): void {
    const next = tf.tensor1d([this.seed, step], "int32");
    if (this.#key) this.#key.assign(next);
    else this.#key = tf.variable(next, false);
    next.dispose();
  }

  /** Key of the layer `name` in the current step, int32 [2]. */
  keyOf(name: string): tf.Tensor1D {
    if (!this.#key) this.setStep(0);
    return tf.tidy(() => random.fold(this.#key!, tf.scalar(hash(name), "int32")));
  }

  dispose(): void {
    this.#key?.dispose();
    this.#key = null;
  }
}

/** FNV-1a, 32 bits, as a signed integer: a layer keeps its numbers when others are added. */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193);
  return value | 0;
}
