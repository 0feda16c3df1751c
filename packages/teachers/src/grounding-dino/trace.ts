import type * as tf from "@tensorflow/tfjs";

/** Receives named intermediate results of a forward pass; must not keep a tensor without cloning it. */
export type GroundingDinoTrace = (name: string, tensor: tf.Tensor) => void;
