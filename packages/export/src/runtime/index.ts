/**
 * Deployment runtime: letterbox, network, decode. The one home of NMS and mask assembly, used by evaluation as well.
 * @module
 */
export { ExportError, type ExportErrorCode, type ExportErrorDetails, SegError } from "../errors.js";
export {
  type DecodeInput,
  type DecodeOptions,
  type Detections,
  decodeOutputs,
  type RawTensor,
  validationSettings,
} from "./decode.js";
export { createDetector, type DetectionResult, type Detector, type DetectorOptions } from "./detector.js";
export type { LetterboxGeometry } from "./geometry.js";
export { assembleMask, type MaskInput, type MaskMode } from "./masks.js";
export { type ModelMetadata, readMetadata } from "./metadata.js";
export { type NmsInput, nms, orderByScore } from "./nms.js";
export { createSession, type Session, type SessionOptions } from "./session.js";
