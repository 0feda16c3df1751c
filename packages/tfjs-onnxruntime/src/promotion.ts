import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";
import { EngineError } from "./errors.js";
import type { HostData } from "./graph.js";
import { hostOf } from "./record-call.js";

/** Runs with the same data after which frozen data becomes part of the graph. */
const RUNS = 3;

/** Data of frozen tensors. The array is the identity: views share it, and an assignment to a variable replaces it. */
const frozen = new WeakSet<HostData>();
let any = false;

/**
 * Declares that tensors keep their values: weights of a model that only infers. After three runs of a graph with the same frozen
 * data the graph is compiled once more with that data as constants, so that ONNX Runtime folds batch normalisation into convolutions and
 * packs filters ahead of time (weights above 2 GB go through a file). A variable that is assigned afterwards is fed again, at the price of one more compilation, and is not
 * promoted in that graph a second time. On other backends nothing happens.
 *
 * @example freeze(model.trainableWeights.map((w) => w.read()));
 * @throws {@link EngineError} `ENGINE_DISPOSED` for a disposed tensor
 */
export function freeze(tensors: tf.Tensor | readonly tf.Tensor[]): void {
  const backend = tf.backend();
  if (!isEngine(backend)) return;
  for (const tensor of Array.isArray(tensors) ? (tensors as readonly tf.Tensor[]) : [tensors as tf.Tensor]) {
    if (tensor.isDisposed) {
      throw new EngineError({
        code: "ENGINE_DISPOSED",
        shapes: [tensor.shape],
        dtypes: [tensor.dtype],
        message: `freeze() was given a disposed tensor [${tensor.shape.join()}].`,
      });
    }
    frozen.add(hostOf(backend, tensor));
    any = true;
  }
}

interface Watched {
  readonly host: HostData;
  runs: number;
}

/** Which inputs of one graph are constants by now. */
export class Promotion {
  readonly #watched = new Map<number, Watched>();
  readonly #barred = new Set<number>();
  #constants: ReadonlySet<number> = new Set();

  /** Positions of the sources that the current session has as constants. */
  get constants(): ReadonlySet<number> {
    return this.#constants;
  }

  /**
   * Looks at the data of the next run.
   * @param count - of values without producer
   * @param hostAt - data of the value at a position; null: not to be built in
   * @returns whether {@link Promotion.constants} changed: the graph must be compiled again
   */
  next(count: number, hostAt: (position: number) => HostData | null): boolean {
    if (!any) return false;
    let changed = false;
    const constants = new Set(this.#constants);
    for (let position = 0; position < count; position++) {
      const host = hostAt(position);
      const known = this.#watched.get(position);
      if (constants.has(position)) {
        if (known!.host === host) continue;
        constants.delete(position);
        this.#barred.add(position);
        changed = true;
      } else if (host !== null && !this.#barred.has(position) && frozen.has(host)) {
        if (known?.host !== host) this.#watched.set(position, { host, runs: 1 });
        else if (++known.runs > RUNS) {
          constants.add(position);
          changed = true;
        }
      }
    }
    if (changed) this.#constants = constants;
    return changed;
  }
}
