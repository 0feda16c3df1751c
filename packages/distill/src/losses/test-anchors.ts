import * as tf from "@tensorflow/tfjs";
import type { Anchors } from "./detection-loss.js";

/** Anchors of a square input, for tests of losses without a network. */
export function testAnchors(side: number): Anchors {
  const centers: number[] = [];
  const strides: number[] = [];
  for (const stride of [8, 16, 32]) {
    for (let y = 0; y < side / stride; y++) {
      for (let x = 0; x < side / stride; x++) {
        centers.push((x + 0.5) * stride, (y + 0.5) * stride);
        strides.push(stride);
      }
    }
  }
  return { centers: tf.tensor2d(centers, [strides.length, 2]), strides: tf.tensor1d(strides) };
}
