/**
 * COCO data and metrics: inspect, complete, validate, split, masks, evaluation equal to pycocotools.
 * @module
 */
export { boxIou, xywhToXyxy, xyxyToXywh } from "./boxes.js";
export { type ClassDistribution, type ClassRow, classDistribution, type SplitRow } from "./class-distribution.js";
export { createClassMapping } from "./class-mapping.js";
export { type CompletionReport, completeDataset } from "./complete-dataset.js";
export type { MaskAudit, MaskChange } from "./convert/audit-masks.js";
export type { Conversion } from "./convert/conversion.js";
export type { ConversionLoss, ConversionReport } from "./convert/conversion-report.js";
export { convert } from "./convert/convert.js";
export { type DetectedFormat, detectFormat, formatName } from "./convert/detect-format.js";
export { ConversionLossError, FormatError, ImportError } from "./convert/errors.js";
export type { CocoExportOptions } from "./convert/export-coco.js";
export { importDataset } from "./convert/import-dataset.js";
export type { ImportIssue } from "./convert/import-issues.js";
export type { DatasetFormat, ImportedDataset, ImportOptions } from "./convert/imported.js";
export { writeConversion } from "./convert/write-conversion.js";
export type { YoloExportOptions } from "./convert/yolo/export-yolo.js";
export type {
  CocoAnnotation,
  CocoCategory,
  CocoDataset,
  CocoImage,
  CocoResult,
  CocoRleCompressed,
  CocoRleUncompressed,
  CocoSegmentation,
} from "./document.js";
export type { DuplicateReport } from "./duplicates/duplicate-findings.js";
export { DuplicateOptionsError, findDuplicates } from "./duplicates/find-duplicates.js";
export {
  CheckNameError,
  CocoError,
  CocoFileNotFoundError,
  CocoParseError,
  CocoSchemaError,
  CocoUnusableError,
  EvalInputError,
  PolygonError,
  RleError,
  SegError,
  SplitError,
} from "./errors.js";
export { type BootstrapDelta, bootstrapDelta } from "./evaluate/bootstrap-delta.js";
export { type ConfusionMatrix, confusionMatrix } from "./evaluate/confusion-matrix.js";
export {
  type ClassCurve,
  type DetectionCurves,
  detectionCurves,
  type OperatingValues,
} from "./evaluate/detection-curves.js";
export { type DetectionErrorType, type ErrorBreakdown, errorBreakdown } from "./evaluate/error-breakdown.js";
export {
  type ClassEval,
  type EvalReport,
  type EvalResult,
  type EvaluateOptions,
  type EvalWarning,
  evaluate,
  evaluationReport,
  formatEvaluation,
} from "./evaluate/evaluate.js";
export { evaluateSlices } from "./evaluate/evaluate-slices.js";
export { type LvisName, type LvisResult, lvisEvaluate } from "./evaluate/lvis-evaluate.js";
export { type MaskIouMetrics, maskIoUMetrics } from "./evaluate/mask-iou-metrics.js";
export type { ImageMatches } from "./evaluate/match-category.js";
export type { AreaRange, EvalCompat, EvalParams, IouType, ResolvedEvalParams } from "./evaluate/params.js";
export type { SummaryRow } from "./evaluate/summarize.js";
export {
  type UltralyticsClass,
  type UltralyticsMetrics,
  type UltralyticsSentinel,
  ultralyticsMetrics,
} from "./evaluate/ultralytics-metrics.js";
export type { Finding, FindingFix, FindingLayer, Severity } from "./findings.js";
export { formatSummary } from "./format-summary.js";
export { type DatasetInspection, type DatasetTask, inspectDataset } from "./inspect-dataset.js";
export { annotationsOf, instancesOf, usableAnnotations } from "./instances.js";
export { type LoadOptions, loadDataset, loadResults } from "./load/load-dataset.js";
export type { StreamOptions } from "./load/read-pieces.js";
export { type DatasetStream, streamDataset } from "./load/stream-dataset.js";
export { SharpMissingError } from "./load-sharp.js";
export { mask } from "./mask/index.js";
export { annotationPolygons, segmentationToRle } from "./segmentation.js";
export { applySplit, extendSplit, type SplitVerification, verifySplit } from "./split/apply-split.js";
export { datasetFingerprint } from "./split/fingerprint.js";
export { hashFraction, hashSplit } from "./split/hash-split.js";
export { type Fold, kFold } from "./split/k-fold.js";
export { SplitRandom } from "./split/random.js";
export type { SplitRatios } from "./split/ratios.js";
export {
  type SplitLock,
  type SplitMetrics,
  type SplitOptions,
  type SplitResult,
  splitDataset,
} from "./split/split-dataset.js";
export type { UnitOptions } from "./split/units.js";
export { type AppearanceStatistics, appearanceStatistics } from "./statistics/appearance-statistics.js";
export { type ChannelStatistics, channelStatistics } from "./statistics/channel-statistics.js";
export {
  type ClassStatistics,
  computeStatistics,
  type DatasetStatistics,
  type Percentiles,
  percentiles,
  quantile,
} from "./statistics/compute-statistics.js";
export type { Box, BoxXywh, ClassMapping, Instance, RgbImage, Rle } from "./types.js";
export { CHECK_CODES, type CheckCode } from "./validate/check-codes.js";
export { fixDataset, type PatchEntry } from "./validate/fix-dataset.js";
export { createImageProbe } from "./validate/image-probe.js";
export type { ImageProbe, ProbeImage } from "./validate/images.js";
export { resultFindings } from "./validate/result-findings.js";
export { DEFAULT_THRESHOLDS, type HealthThresholds } from "./validate/thresholds.js";
export {
  assertUsable,
  type ValidateOptions,
  type ValidationReport,
  validateDataset,
} from "./validate/validate-dataset.js";
export { writeDataset } from "./write-dataset.js";
