/**
 * COCO data and metrics: inspect, complete, validate, split, masks, evaluation equal to pycocotools.
 * @module
 */
export { boxIou, xywhToXyxy, xyxyToXywh } from "./boxes.js";
export { createClassMapping } from "./class-mapping.js";
export { type CompletionReport, completeDataset } from "./complete-dataset.js";
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
export {
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
export {
  type ClassEval,
  type EvalResult,
  type EvaluateOptions,
  type EvalWarning,
  evaluate,
  formatEvaluation,
  type ImageMatches,
} from "./evaluate/evaluate.js";
export { type MaskIouMetrics, maskIoUMetrics } from "./evaluate/mask-iou-metrics.js";
export type { AreaRange, EvalParams, IouType, ResolvedEvalParams } from "./evaluate/params.js";
export type { EvalCompat } from "./evaluate/prepare.js";
export type { SummaryRow } from "./evaluate/summarize.js";
export type { Finding, FindingFix, FindingLayer, Severity } from "./findings.js";
export { type DatasetInspection, type DatasetTask, inspectDataset } from "./inspect-dataset.js";
export { annotationsOf, instancesOf, usableAnnotations } from "./instances.js";
export { loadDataset } from "./load/load-dataset.js";
export { mask } from "./mask/index.js";
export { annotationPolygons, segmentationToRle } from "./segmentation.js";
export type { Box, BoxXywh, ClassMapping, Instance, RgbImage, Rle } from "./types.js";
export { writeDataset } from "./write-dataset.js";
