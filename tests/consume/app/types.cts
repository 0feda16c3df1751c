// Compiled only: the declarations that `require` reaches.
import { type Box, boxIou } from "@seg/coco-dataset";
import { createDetector } from "@seg/export/runtime";
import { encodeModel, type Model } from "@seg/onnx";
import { EngineError, trace } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

export const model: Model = trace(({ x }) => ({ y: tf.relu(x as tf.Tensor) }), { x: { shape: [1] } });
export const bytes: Uint8Array = encodeModel(model);
export const isEngineError = (value: unknown): value is EngineError => value instanceof EngineError;
export const box: Box = [0, 0, 1, 1];
export const overlap: number = boxIou(box, box);
export const detector: Promise<unknown> = createDetector({ model: "model.onnx" });
// @ts-expect-error: a shape is a list; were the declarations missing, everything would be any
trace(({ x }) => ({ y: x as tf.Tensor }), { x: { shape: 3 } });
