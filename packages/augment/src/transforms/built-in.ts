import type { AnyTransform } from "../core/transform.js";
import { Affine, Perspective, RandomScale, SafeRotate } from "./affine-family.js";
import { Blur, GaussianBlur, MotionBlur, Sharpen } from "./blur.js";
import { CoarseDropout } from "./coarse-dropout.js";
import { ColorJitter, HueSaturationValue } from "./color.js";
import { ElasticTransform } from "./elastic.js";
import { HorizontalFlip, VerticalFlip } from "./flips.js";
import { GaussNoise } from "./noise.js";
import { PiecewiseAffine } from "./piecewise-affine.js";
import { RandomSizedBBoxSafeCrop } from "./safe-crop.js";
import { RandomFog, RandomShadow, RandomSunFlare } from "./scene.js";
import { CLAHE, RandomBrightnessContrast, RandomGamma } from "./tone.js";

/** Every built-in transform in the order in which a translated plan runs them. */
export const BUILT_IN: readonly AnyTransform[] = [
  RandomScale,
  RandomSizedBBoxSafeCrop,
  Affine,
  SafeRotate,
  Perspective,
  HorizontalFlip,
  VerticalFlip,
  ElasticTransform,
  PiecewiseAffine,
  RandomBrightnessContrast,
  RandomGamma,
  CLAHE,
  ColorJitter,
  HueSaturationValue,
  RandomSunFlare,
  RandomFog,
  RandomShadow,
  Blur,
  GaussianBlur,
  MotionBlur,
  Sharpen,
  GaussNoise,
  CoarseDropout,
];
