/**
 * Pictures of datasets and detections, drawn with the optional package sharp.
 * @module
 */

export { chooseImages } from "./choose-images.js";
export { classColor, type Rgb, textColorOn } from "./class-color.js";
export { type ContactSheetOptions, contactSheet, type SheetTile } from "./contact-sheet.js";
export { PreviewError } from "./errors.js";
export { escapeMarkup } from "./escape-markup.js";
export { findingTiles } from "./finding-tiles.js";
export { htmlReport, type ReportPicture } from "./html-report.js";
export { type OverlayInstance, type OverlayOptions, renderOverlay } from "./render-overlay.js";
export { renderPreview } from "./render-preview.js";
export { fitMiddle, fitText, textWidth } from "./text-width.js";
