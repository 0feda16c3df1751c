import { anchorPoints } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { Anchors } from "./losses/detection-loss.js";

/** Anchors of an input of `height` x `width` pixels as tensors; the caller disposes them. */
export function modelAnchors(height: number, width: number): Anchors {
  const { points, strides } = anchorPoints(height, width);
  const centers = points.map((value, i) => value * strides[i >> 1]!);
  return { centers: tf.tensor2d(centers, [strides.length, 2]), strides: tf.tensor1d(strides) };
}
