import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";

/**
 * Runs `callback` now; inside a compiled function with every call, replays included (after the values are there). For state that is
 * not a tensor, such as a counter of batches.
 */
export function effect(callback: () => void): void {
  const backend = tf.backend();
  if (isEngine(backend) && backend.scope !== null) backend.scope.effects.push(callback);
  else callback();
}
