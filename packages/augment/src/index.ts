/**
 * Deterministic, counter-based augmentation of images, boxes and masks in sync.
 * @module
 */
export { type Affine, applyAffine, composeAffine, IDENTITY, invertAffine } from "./affine.js";
export { type AugmentOptions, augmentSample, mosaicIsOpen } from "./augment-sample.js";
export { AugmentError, type AugmentErrorCode, SegError } from "./errors.js";
export { flipHorizontal, flipVertical } from "./flip.js";
export { applyHsvGains, type HsvRange, hsvJitter } from "./hsv-jitter.js";
export { clipInstances, type InstanceRules, transformBox, transformInstances } from "./instances.js";
export { type AffineRange, affineSample, type CanvasOptions, mosaic } from "./mosaic.js";
export { CounterRandom, fnv1a32, philox4x32, type RandomKey } from "./philox.js";
export { clipPolygon, polygonArea, polygonBounds, transformPolygon } from "./polygon.js";
export { rasterizePolygons } from "./rasterize.js";
export type { Sample, SampleInstance } from "./sample.js";
export { warpAffine, warpInto } from "./warp.js";
