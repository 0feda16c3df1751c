import { type Buffer, Counter, type Module, Parameter, type StateDict } from "@seg/nn";
import { kernels, type ResidentKernels, type VectorKernels } from "./kernels/kernels.js";

/**
 * Exponential moving average of a model: e += (1 - d)(m - e) with d = decay (1 - exp(-updates / tau)), over trainable parameters and
 * buffers (running statistics included). Frozen parameters and integer counters are taken from the model as they are.
 */
export class Ema {
  readonly decay: number;
  readonly tau: number;
  /** Updates so far; checkpointed. */
  updates = 0;
  readonly #model: Module;
  readonly #values = new Map<string, Float32Array>();
  readonly #leaves = new Map<string, Parameter | Buffer>();
  #kernels: VectorKernels = kernels;

  constructor(model: Module, { decay = 0.9999, tau = 2000 }: { decay?: number; tau?: number } = {}) {
    this.decay = decay;
    this.tau = tau;
    this.#model = model;
    const seen = new Set<unknown>();
    for (const [path, leaf] of model.namedLeaves()) {
      if (leaf instanceof Counter || seen.has(leaf)) continue;
      seen.add(leaf);
      if (leaf instanceof Parameter && !leaf.requiresGrad) continue;
      this.#leaves.set(path, leaf);
      this.#values.set(path, Float32Array.from(leaf.data()));
    }
  }

  /** d after `updates` updates. */
  static decayAt(updates: number, { decay = 0.9999, tau = 2000 }: { decay?: number; tau?: number } = {}): number {
    return decay * (1 - Math.exp(-updates / tau));
  }

  /** Elements of each averaged tensor. */
  get lengths(): number[] {
    return Array.from(this.#values.values(), (values) => values.length);
  }

  /** Keeps the average in the memory of `kernels` from now on, and lets them compute. */
  moveTo(kernels: ResidentKernels): void {
    this.#kernels = kernels;
    for (const [path, values] of this.#values) {
      const moved = kernels.allocate(values.length);
      moved.set(values);
      this.#values.set(path, moved);
    }
  }

  /** Moves the average towards the model's current values. */
  update(): void {
    this.updates += 1;
    const rate = 1 - Ema.decayAt(this.updates, this);
    for (const [path, leaf] of this.#leaves) {
      this.#kernels.moveTowards(this.#values.get(path)!, leaf.data(), rate);
    }
  }

  /** The averaged state, complete and under the model's keys, ready for `loadStateDict`. Arrays are copies. */
  state(): StateDict {
    const seen = new Set<unknown>();
    const result: StateDict = new Map();
    for (const [path, leaf] of this.#model.namedLeaves()) {
      if (seen.has(leaf)) continue;
      seen.add(leaf);
      if (leaf instanceof Counter) {
        result.set(path, { dtype: "I64", shape: [], data: BigInt64Array.of(BigInt(leaf.value)) });
      } else {
        result.set(path, {
          dtype: "F32",
          shape: leaf.shape,
          data: Float32Array.from(this.#values.get(path) ?? leaf.data()),
        });
      }
    }
    return result;
  }

  /**
   * Takes over a saved average.
   * @throws RangeError if an averaged tensor is missing or of another size
   */
  load({ state, updates }: { state: StateDict; updates: number }): void {
    for (const [path, average] of this.#values) {
      const length = state.get(path)?.data.length;
      if (length !== average.length) {
        throw new RangeError(
          `EMA tensor "${path}" has ${length ?? "no"} elements in the saved state, expected ${average.length}.`,
        );
      }
    }
    for (const [path, average] of this.#values) average.set(state.get(path)!.data as Float32Array);
    this.updates = updates;
  }
}
