import type { Triple } from "./chw.js";

/** ImageNet means in 0..1, as the configurations of Grounding DINO and SAM 2 write them. */
export const IMAGENET_MEAN: Triple = [0.485, 0.456, 0.406];
/** ImageNet standard deviations in 0..1. */
export const IMAGENET_STD: Triple = [0.229, 0.224, 0.225];
/** The same means in 0..255, as SAM's configuration writes them. */
export const SAM_MEAN: Triple = [123.675, 116.28, 103.53];
/** The same deviations in 0..255. */
export const SAM_STD: Triple = [58.395, 57.12, 57.375];
