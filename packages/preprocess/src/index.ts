/**
 * Model-exact image preparation: decoding, Pillow- and OpenCV-exact resize kernels, the inputs of Grounding DINO, SAM, SAM 2, YOLO and
 * FastSAM, and the exact way back for boxes, points, polygons and masks.
 *
 * @example
 * const pre = createPreprocessor(["grounding_dino", "sam"]);
 * const out = await pre.run("a.jpg");
 * out.sam.tensors["pixel_values"].dims; // [1, 3, 1024, 1024]
 * await pre.close();
 * @module
 */
export { type BoxCxcywh, cxcywhToXyxy, xyxyToCxcywh } from "./box-formats.js";
export { buildCaption } from "./build-caption.js";
export type { Triple } from "./chw.js";
export type { ModelBatch } from "./collate.js";
export {
  type DinoConfig,
  defaultConfig,
  loadConfig,
  type ModelConfigs,
  type PreprocessConfig,
  type PreprocessConfigInput,
  parseConfig,
  type Sam2Config,
  type SamConfig,
  type YoloConfig,
} from "./config.js";
export { configHash } from "./config-hash.js";
export {
  type BatchItem,
  type BatchOptions,
  createPreprocessor,
  type OnError,
  type PreparedBatch,
  type PreparedSet,
  type Preprocessor,
  type PreprocessorOptions,
  type RunOptions,
} from "./create-preprocessor.js";
export {
  type DecodedImage,
  type DecodeOptions,
  type DecodeWarning,
  decodeImage,
  type OrientationPolicy,
} from "./decode-image.js";
export {
  type ConfigIssue,
  PreprocessConfigError,
  PreprocessError,
  type PreprocessErrorCode,
  SegError,
} from "./errors.js";
export {
  type Geometry,
  type ImageSpace,
  isEmptyBox,
  mapBoxToImage,
  mapBoxToModel,
  mapPointsToImage,
  mapPointsToModel,
  mapPolygonToImage,
  mapPolygonToModel,
  type Orientation,
  transferBox,
} from "./geometry.js";
export { type LetterboxOptions, letterbox, letterboxGeometry } from "./letterbox.js";
export { type MapAnnotationsOptions, type MappedAnnotation, mapAnnotations } from "./map-annotations.js";
export { type MappedBox, mapBoxesToImage, mapBoxesToModel, transferBoxes } from "./map-boxes.js";
export { mapMaskToImage, mapMaskToModel } from "./map-mask.js";
export { MODEL_KEYS, type ModelFamily, type ModelKey, modelFamily } from "./models.js";
export { inverseOrientation, orientImage, orientPoint } from "./orientation.js";
export type { PillowFilter } from "./pillow-coefficients.js";
export type { Resampler } from "./plan.js";
export { decodeNormalizedBoxes, type GroundingDinoOptions, prepareGroundingDino } from "./prepare-grounding-dino.js";
export type { Prepared, Tensor } from "./prepare-models.js";
export { prepareSam, type SamOptions } from "./prepare-sam.js";
export { prepareSam2, type Sam2Options } from "./prepare-sam2.js";
export { type PreparedImage, prepareYolo } from "./prepare-yolo.js";
export { resizeCv2Linear } from "./resize-cv2.js";
export { resizeCv2Area } from "./resize-cv2-area.js";
export { resizeCv2Nearest } from "./resize-cv2-nearest.js";
export { resizeNearest, resizePillow } from "./resize-pillow.js";
export { resizeSharpFast } from "./resize-sharp-fast.js";
export { resizeTorchBilinear } from "./resize-torch.js";
export { pyRound, rintEven } from "./rounding.js";
export { sam2MaskToImage, samMaskToImage } from "./sam-mask.js";
export { scaleBoxesCompat } from "./scale-boxes-compat.js";
export {
  fitSize,
  type GroundingDinoSizeOptions,
  groundingDinoSize,
  type Size,
  samSize,
  yoloBatchShape,
  yoloValSize,
} from "./sizes.js";
export { fromSpecJson, type PreprocessSpec, toSpecJson } from "./spec-json.js";
export { IMAGENET_MEAN, IMAGENET_STD, SAM_MEAN, SAM_STD } from "./statistics.js";
export { type YoloMaskMode, yoloMaskToImage } from "./yolo-mask.js";
