import { encodeSafetensors, readSafetensors, type StateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { JsonObject } from "./config.js";
import { NonFiniteGradientError, NonFiniteLossError } from "./errors.js";
import type { RunDirectory } from "./run-directory.js";
import type { BatchTensors } from "./training-manager.js";

/** What is known of a step whose loss or gradient was not finite. */
export interface NanCapture {
  /** 1-based. */
  readonly epoch: number;
  /** Batches before this one. */
  readonly step: number;
  readonly ids: readonly string[];
  readonly error: NonFiniteLossError | NonFiniteGradientError;
  readonly rng: JsonObject[string];
  /** Name of the newest checkpoint, from which the step can be repeated. */
  readonly lastCheckpoint: string;
  readonly inputs?: BatchTensors;
}

/** Where the files of a step lie, without their ends. */
const stem = (step: number): string => `nan_capture/step_${String(step).padStart(8, "0")}`;

/**
 * Writes `nan_capture/step_{step}.json` (batch ids, losses, generator state, checkpoint) and, for a batch of tensors, `.safetensors` with all of
 * them; {@link readNanCapture} gives them back.
 */
export async function writeNanCapture(run: RunDirectory, capture: NanCapture): Promise<void> {
  const { epoch, step, ids, error, rng, lastCheckpoint, inputs } = capture;
  const dict: StateDict = new Map();
  for (const [name, tensor] of Object.entries(inputs ?? {})) {
    const values = await tensor.data();
    const isInteger = tensor.dtype === "int32" || tensor.dtype === "bool";
    dict.set(
      name,
      isInteger
        ? { dtype: "I64", shape: tensor.shape, data: BigInt64Array.from(values as Int32Array, BigInt) }
        : { dtype: "F32", shape: tensor.shape, data: Float32Array.from(values as Float32Array) },
    );
  }
  if (dict.size > 0) run.write(`${stem(step)}.safetensors`, encodeSafetensors(dict));
  run.writeJson(`${stem(step)}.json`, {
    epoch,
    step,
    batch_ids: ids,
    message: error.message,
    // JSON has no NaN; words keep it apart from a missing value.
    losses: Object.fromEntries(
      Object.entries(error instanceof NonFiniteLossError ? error.parts : {}).map(([name, value]) => [
        name,
        String(value),
      ]),
    ),
    parameter: error instanceof NonFiniteGradientError ? error.parameter : null,
    rng,
    last_checkpoint: lastCheckpoint,
    batch: dict.size > 0 ? `${stem(step)}.safetensors` : null,
  });
}

/**
 * The tensors of a captured batch, to run its loss again: float32 and int32; the caller disposes them.
 * @param path - a `.safetensors` file of `nan_capture`
 */
export function readNanCapture(path: string): Record<string, tf.Tensor> {
  const result: Record<string, tf.Tensor> = {};
  for (const [name, { dtype, shape, data }] of readSafetensors(path).toStateDict()) {
    result[name] =
      dtype === "I64"
        ? tf.tensor(Int32Array.from(data as BigInt64Array, Number), [...shape], "int32")
        : tf.tensor(data as Float32Array, [...shape], "float32");
  }
  return result;
}
