/**
 * Deterministic, counter-based augmentation of images, boxes and masks in sync.
 * @module
 */
export { type Affine, applyAffine, composeAffine, IDENTITY, invertAffine } from "./affine.js";
export { type AugmentOptions, augmentSample, mosaicIsOpen } from "./augment-sample.js";
export { fromAffine, type Homography } from "./core/homography.js";
export type { InverseField } from "./core/inverse-field.js";
export type {
  AnyTransform,
  FieldTransform,
  GeometricTransform,
  ImageContext,
  ImageTransform,
  PointwiseTransform,
  SampleContext,
} from "./core/transform.js";
export {
  AsyncBackendError,
  AugmentConfigError,
  AugmentError,
  type AugmentErrorCode,
  InvalidBoxError,
  InvalidKeypointError,
  InvalidMaskError,
  MissingDonorError,
  ReplayMismatchError,
  SegError,
  SizeMismatchError,
  TargetMismatchError,
  UnknownCharacteristicError,
  UnknownEnvironmentError,
  UnknownTransformError,
  UnsupportedImageError,
} from "./errors.js";
export { flipHorizontal, flipVertical } from "./flip.js";
export { applyHsvGains, type HsvRange, hsvJitter } from "./hsv-jitter.js";
export { clipInstances, type InstanceRules, transformBox, transformInstances } from "./instances.js";
export {
  createDataLoader,
  type DataLoader,
  type DataLoaderOptions,
  type LoadedSample,
} from "./loader/data-loader.js";
export type { SourceModule } from "./loader/load-task.js";
export { type ClassIndex, donorsFrom, type SampleSource } from "./loader/sample-source.js";
export { type AffineRange, affineSample, type CanvasOptions, mosaic } from "./mosaic.js";
export { CounterRandom, fnv1a32, philox4x32, type RandomKey } from "./philox.js";
export type { Pipeline, PipelineInfo, PipelineOptions } from "./pipeline/pipeline.js";
export type { SanityReport } from "./pipeline/sanity-check.js";
export { type SourceMap, sourceMap } from "./pipeline/source-map.js";
export type {
  AppliedStep,
  BitmapMask,
  BoxFormat,
  DonorInstance,
  DonorSource,
  DropReason,
  InstanceRules as PipelineInstanceRules,
  Keypoint,
  PipelineImage,
  PipelineMask,
  PipelineOutline,
  PipelineResult,
  PipelineSample,
  PipelineWarning,
  PlacedMap,
  PlacedSource,
  ReplayRecord,
  SampleKey,
  SampleOutline,
} from "./pipeline/types.js";
export type {
  Because,
  Decision,
  GroupPlanStep,
  MixPlanStep,
  Plan,
  PlanEntry,
  PlanStep,
  SinglePlanStep,
} from "./plan/plan.js";
export { defineProfile, type Intensity, type Profile } from "./plan/profile.js";
export type { DistillConfig, Facts, PipelineSpec, TransformConfig } from "./plan/spec.js";
export { registerTransform, transformTypes } from "./plan/transform-registry.js";
export { type OutlineSource, type PlannedSample, planBatch } from "./plan-batch.js";
export { clipPolygon, polygonArea, polygonBounds, transformPolygon } from "./polygon.js";
export { rasterizePolygons } from "./rasterize.js";
export {
  type AugmentationRegistry,
  type CharacteristicValidation,
  createRegistry,
  getAugmentationRegistry,
  loadPipeline,
  pipelineFromConfig,
  registry,
} from "./registry.js";
export type { Sample, SampleInstance } from "./sample.js";
export { warpAffine, warpInto } from "./warp.js";
