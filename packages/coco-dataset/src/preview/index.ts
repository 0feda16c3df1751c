/**
 * Pictures of datasets and detections, drawn with the optional package sharp.
 * @module
 */
export { classColor, type Rgb, textColorOn } from "./class-color.js";
export { PreviewError } from "./errors.js";
export { escapeMarkup } from "./escape-markup.js";
export { type OverlayInstance, type OverlayOptions, renderOverlay } from "./render-overlay.js";
export { fitMiddle, fitText, textWidth } from "./text-width.js";
