/**
 * ONNX models as data: lossless codec, graph builder, checker and passes. No runtime, no dependencies.
 * @module
 */
export { floatAttribute, intAttribute, intsAttribute, stringAttribute } from "./attributes.js";
export { type AttributeInput, GraphBuilder, toAttribute } from "./builder.js";
export { type Census, census } from "./census.js";
export { assertModel, checkModel, type Issue, type IssueCode } from "./check.js";
export { countMacs, type MacCount } from "./count-macs.js";
export { decodeModel } from "./decode.js";
export { diffModels } from "./diff-models.js";
export { encodeChunks, encodeModel } from "./encode.js";
export {
  CheckFailedError,
  ExternalDataMissingError,
  ExternalDataPathError,
  MalformedProtobufError,
  ModelTooLargeError,
  SegError,
  TensorDataError,
} from "./errors.js";
export { type ExternalizedModel, externalizeTensors } from "./externalize-tensors.js";
export { float16ToFloat32, float32ToFloat16 } from "./float16.js";
export { GraphView } from "./graph-view.js";
export { inferShapes, inferValues, type ValueType } from "./infer-shapes.js";
export { inferShapesWithRuntime, type ShapeRuntime } from "./infer-with-runtime.js";
export * from "./model.js";
export { modelHash } from "./model-hash.js";
export { loadModel, saveModel } from "./model-io.js";
export { irVersionFor } from "./opsets.js";
export { cancelTransposes } from "./passes/cancel-transposes.js";
export { dedupeInitializers } from "./passes/dedupe-initializers.js";
export { foldBatchNorm } from "./passes/fold-batch-norm.js";
export { foldConstants } from "./passes/fold-constants.js";
export { nameNodes } from "./passes/name-nodes.js";
export { optimizeModel } from "./passes/optimize-model.js";
export type { Pass, PassResult } from "./passes/pass.js";
export { pruneOpsets } from "./passes/prune-opsets.js";
export { removeDead } from "./passes/remove-dead.js";
export { removeIdentities } from "./passes/remove-identities.js";
export { shortNames } from "./passes/short-names.js";
export { topoSort } from "./passes/topo-sort.js";
export { elementBits, elementCount, payloadBytes, type TensorArray, tensorData, tensorFrom } from "./tensor.js";
