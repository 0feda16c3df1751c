import type { RgbImage } from "@seg/coco-dataset";
import type { BackboneMap, TextLogits } from "../grounding-dino/teacher.js";

/** What finds boxes from words: all that {@link GroundedSam} needs of `GroundingDinoTeacher`. */
export interface TextDetector {
  /** Every candidate, unfiltered: its box and a logit per class; -Infinity where it was not asked about one. */
  logits(image: RgbImage, options: { readonly classes: readonly string[] }): Promise<TextLogits>;
  /** Image features that do not depend on the words, fine to coarse. */
  features(image: RgbImage): Promise<BackboneMap[]>;
  dispose(): void;
}
