/**
 * ONNX models as data: lossless codec, graph builder, checker and passes. No runtime, no dependencies.
 * @module
 */
export { type AttributeInput, GraphBuilder, toAttribute } from "./builder.js";
export { decodeModel } from "./decode.js";
export { encodeChunks, encodeModel } from "./encode.js";
export { MalformedProtobufError, ModelTooLargeError, SegError, TensorDataError } from "./errors.js";
export * from "./model.js";
export { irVersionFor } from "./opsets.js";
export { elementBits, elementCount, payloadBytes, type TensorArray, tensorData, tensorFrom } from "./tensor.js";
