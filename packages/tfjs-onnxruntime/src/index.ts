/**
 * TensorFlow.js on ONNX Runtime: importing this module registers the backend `onnxruntime`.
 * @module
 */
export * as ops from "./ops/index.js";
