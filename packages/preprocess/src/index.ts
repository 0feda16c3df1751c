/**
 * Model-exact image preparation: decoding, Pillow- and OpenCV-exact resize kernels, letterbox, SAM and Grounding DINO inputs, exact inverse.
 * @module
 */
export type { Triple } from "./chw.js";
export {
  type DecodedImage,
  type DecodeOptions,
  type DecodeWarning,
  decodeImage,
  type OrientationPolicy,
} from "./decode-image.js";
export { PreprocessError, type PreprocessErrorCode, SegError } from "./errors.js";
export {
  configHash,
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
export { orientImage, orientPoint } from "./orientation.js";
export { decodeNormalizedBoxes, IMAGENET_MEAN, IMAGENET_STD, prepareGroundingDino } from "./prepare-grounding-dino.js";
export { prepareSam, SAM_MEAN, SAM_STD } from "./prepare-sam.js";
export { type PreparedImage, prepareYolo } from "./prepare-yolo.js";
export { resizeCv2Linear } from "./resize-cv2.js";
export { type PillowFilter, resizeNearest, resizePillow } from "./resize-pillow.js";
export { resizeTorchBilinear } from "./resize-torch.js";
export { pyRound, rintEven } from "./rounding.js";
export { samMaskToImage } from "./sam-mask.js";
export { groundingDinoSize, type Size, samSize, yoloValSize } from "./sizes.js";
