/**
 * COCO data and metrics.
 * @module
 */
export type { Box, BoxXywh, ClassMapping, Instance, RgbImage, Rle } from "./types.js";
