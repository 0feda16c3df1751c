/**
 * Deployment runtime: letterbox, network, decode. The one home of NMS and mask assembly, used by evaluation as well.
 * @module
 */
export { createDetector, type DetectorOptions } from "./detector.js";
export { readMetadata } from "./metadata.js";
export { createSession, type SessionOptions } from "./session.js";
export * from "./shared.js";
