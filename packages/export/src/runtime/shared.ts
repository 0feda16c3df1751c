/** What the runtimes for Node and for browsers have in common. */
export { ExportError, type ExportErrorCode, type ExportErrorDetails, SegError } from "../errors.js";
export {
  type DecodeInput,
  type DecodeOptions,
  type Detections,
  decodeOutputs,
  type RawTensor,
  validationSettings,
} from "./decode.js";
export { type DetectionResult, type Detector, detectorFromSession, type Letterbox } from "./detector-from-session.js";
export type { LetterboxGeometry } from "./geometry.js";
export { assembleMask, type MaskInput, type MaskMode } from "./masks.js";
export { type ModelMetadata, parseMetadata } from "./metadata.js";
export { type NmsInput, nms, orderByScore } from "./nms.js";
export { createOrtSession, type OrtRuntime, type OrtSession, type OrtTensor, type Session } from "./ort-session.js";
export { adaptTfliteSession, type IntegerPorts } from "./tflite-session.js";
