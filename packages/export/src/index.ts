/**
 * From a trained student to verified edge artefacts: ONNX export, INT8 quantisation, prompt-free certificate, benchmark.
 * @module
 */
export {
  type Accuracy,
  type BenchmarkArtefact,
  type BenchmarkOptions,
  type BenchmarkReference,
  type BenchmarkReport,
  type BenchmarkRow,
  benchmark,
} from "./benchmark/benchmark.js";
export { type EnergyMeter, energyBetween, openEnergyMeter } from "./benchmark/energy.js";
export { formatBenchmarkMarkdown } from "./benchmark/format.js";
export { benchmarkPlot } from "./benchmark/plot.js";
export { writeBenchmark } from "./benchmark/write-benchmark.js";
export { type ClassesFile, classesFile, classMappingYaml, metadataYaml } from "./class-files.js";
export { ExportError, type ExportErrorCode, type ExportErrorDetails, SegError } from "./errors.js";
export { type ExportedOnnx, type ExportOnnxOptions, exportOnnx } from "./export-onnx.js";
export { type EndToEndOptions, endToEnd } from "./onnx/end-to-end.js";
export type { Importance } from "./prune/importance.js";
export type { PrunedGroup, PruneOptions } from "./prune/plan-pruning.js";
export {
  type PruneAndFineTuneOptions,
  type PruneResult,
  type PruneRound,
  type PruneState,
  pruneAndFineTune,
} from "./prune/prune-and-fine-tune.js";
export { type PruneReport, pruneStructured } from "./prune/prune-structured.js";
export { type PrunedStudent, pruneStudent } from "./prune/prune-student.js";
export { pruneUnstructured, type UnstructuredOptions, type UnstructuredReport } from "./prune/prune-unstructured.js";
export {
  type CalibrateOptions,
  type CalibrationImages,
  type CalibrationMethod,
  type CalibrationTable,
  calibrate,
} from "./quantize/calibrate.js";
export { headNodes } from "./quantize/head.js";
export { type LayerGroup, layerGroups } from "./quantize/layer-groups.js";
export { QUANT_PRESETS, type QuantPreset } from "./quantize/presets.js";
export { type QuantizationPlan, quantizationPlan } from "./quantize/quantization-plan.js";
export { quantizeDynamic } from "./quantize/quantize-dynamic.js";
export { type QuantizeOptions, quantizeStatic, type TensorOverride } from "./quantize/quantize-static.js";
export { type LayerSensitivity, type RankOptions, rankSensitivity } from "./quantize/rank-sensitivity.js";
export { type GateResult, quantizeWithin, type RelaxedModel, type RelaxOptions } from "./quantize/relax.js";
export { type SqnrEntry, type SqnrReport, sqnrDb, sqnrReport } from "./quantize/sqnr.js";
export { type Float16Options, toFloat16 } from "./quantize/to-float16.js";
export { toPythonLiteral } from "./runtime/python-literal.js";
export { type BuildTensorRtOptions, buildTensorRt, type TensorRtEngine } from "./tensorrt/build-tensorrt.js";
export { findTrtexec, type TrtexecSearch } from "./tensorrt/find-trtexec.js";
export type { TrtBuildOptions, TrtPrecision } from "./tensorrt/trtexec-arguments.js";
export {
  type ExportedTflite,
  type ExportTfliteOptions,
  exportTflite,
  type TfliteFlavour,
} from "./tflite/export-tflite.js";
export { createLiteRtSession, hasLiteRt } from "./tflite/litert-session.js";
export type {
  TfliteModel,
  TfliteOperator,
  TfliteQuantization,
  TfliteSignature,
  TfliteSubgraph,
  TfliteTensor,
  TfliteType,
} from "./tflite/model.js";
export { certifyTflitePromptFree } from "./tflite/prompt-free-tflite.js";
export { readTflite } from "./tflite/read-tflite.js";
export { tfliteContestant } from "./tflite/tflite-contestant.js";
export { writeTflite } from "./tflite/write-tflite.js";
export { type Deployable, traceStudent } from "./trace-student.js";
export { ACCURACY_LIMITS, type AccuracyVerdict, assertAccuracy } from "./verify/accuracy-gate.js";
export {
  type CertificateFile,
  type CertificateSeal,
  checkCertificates,
  writeCertificates,
} from "./verify/certificate-file.js";
export { assertParity, type ParityReport, type Precision, parity } from "./verify/parity.js";
export { certifyPromptFree, type PromptFreeStructure } from "./verify/prompt-free.js";
export {
  type BehaviourRecord,
  type Certificate,
  type VerifySpec,
  verifyExport,
} from "./verify/verify-export.js";
export { preprocessSpec, type WriteArtefactsOptions, writeArtefacts } from "./write-artefacts.js";
