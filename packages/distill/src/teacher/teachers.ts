import type { Affine } from "@seg/augment";
import type { Box, RgbImage } from "@seg/coco-dataset";
import type { FeatureMap } from "./teacher-record.js";

/** What every part of a teacher says of itself. Parts are adapters around @seg/teachers; distill does not know which network answers. */
export interface TeacherIdentity {
  /** Name for logs. */
  readonly id: string;
  /** Changes whenever weights, adapter or preprocessing change. */
  readonly hash: string;
}

/** Finds boxes from class names. */
export interface DetectionTeacher extends TeacherIdentity {
  /**
   * Every candidate, unfiltered: boxes in image pixels and `[boxes, classes]` raw logits; -Infinity where a class was not asked about.
   * @param classes - names by class index
   */
  detect(image: RgbImage, classes: readonly string[]): Promise<{ boxes: readonly Box[]; logits: Float32Array }>;
}

/** Cuts objects out of boxes. */
export interface MaskTeacher extends TeacherIdentity {
  /** One mask per box, in order. Logits are `side * side`, row-major; `toModel` maps image pixels to logit-grid pixels. */
  predict(
    image: RgbImage,
    boxes: readonly Box[],
  ): Promise<{ logits: Float32Array[]; side: number; iou: number[]; toModel: Affine }>;
}

/** Describes an image by feature maps. */
export interface FeatureTeacher extends TeacherIdentity {
  features(image: RgbImage): Promise<readonly FeatureMap[]>;
}

/** The parts that there are. Which loss terms exist follows from them. */
export interface Teachers {
  readonly detector?: DetectionTeacher;
  readonly masks?: MaskTeacher;
  readonly features?: FeatureTeacher;
}
