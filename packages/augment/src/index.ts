/**
 * Deterministic, counter-based augmentation of images, boxes and masks in sync.
 * @module
 */
export { CounterRandom, fnv1a32, philox4x32, type RandomKey } from "./philox.js";
