import * as tf from "@tensorflow/tfjs";
import { backendName } from "../kernels/define.js";
import { engineConfig } from "../settings.js";

/** True while the engine of this package is the active tfjs backend and its fused operations are switched on. */
export function isNative(): boolean {
  return tf.getBackend() === backendName && engineConfig().passes.fusedOps;
}

/** Runs one of this package's own kernels; it is not taped, so call it inside `tf.customGrad` or on stopped gradients. */
export function runKernel<T>(name: string, inputs: Record<string, tf.Tensor>, attrs: Record<string, unknown> = {}): T {
  return tf.engine().runKernel(name, inputs as never, attrs as never) as T;
}
