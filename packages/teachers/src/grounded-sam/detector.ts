import type { RgbImage } from "@seg/coco-dataset";
import type { BackboneMap, TextLogits } from "../grounding-dino/teacher.js";
import type { SamConfig } from "../sam/config.js";
import type { Sam } from "../sam/sam.js";

/** What finds boxes from words: all that {@link GroundedSam} needs of `GroundingDinoTeacher`. */
export interface TextDetector {
  /** Every candidate, unfiltered: its box and a logit per class; -Infinity where it was not asked about one. */
  logits(image: RgbImage, options: { readonly classes: readonly string[] }): Promise<TextLogits>;
  /** Image features that do not depend on the words, fine to coarse. */
  features(image: RgbImage): Promise<BackboneMap[]>;
  dispose(): void;
}

/** Where SAM comes from when there is something to cut out, and goes back to afterwards: a pool of models that lends it. */
export interface SamSource {
  /** Known before it is loaded. */
  readonly config: SamConfig;
  /** SAM is there until the promise of `work` settles, and not used afterwards. */
  use<Result>(work: (sam: Sam) => Promise<Result>): Promise<Result>;
}
