import { NoTrainableDataError } from "./errors.js";

/** Facts of `inspectDataset` that decide. */
export interface TeacherFacts {
  readonly hasBoxes: boolean;
  readonly hasMasks: boolean;
  readonly numImages: number;
  readonly numAnnotations: number;
}

/** What is done about one teacher, and why. */
export interface TeacherDecision {
  readonly teacher: "grounding_dino" | "sam";
  /** What the data calls for. */
  readonly wanted: "fine-tune" | "zero-shot" | "none";
  readonly reason: string;
}

/** Decisions of {@link selectTeachers}, always one per teacher. */
export interface TeacherSelection {
  readonly decisions: readonly TeacherDecision[];
  /** Teachers to adapt. */
  readonly fineTune: readonly TeacherDecision["teacher"][];
}

/**
 * Boxes call for Grounding DINO, masks for SAM, prompted with annotated or mask-derived boxes. Facts are those of the annotations as given, before
 * completion.
 *
 * @param withDetection - adapt Grounding DINO to boxes derived from masks where only masks are annotated. @defaultValue false
 * @throws {@link NoTrainableDataError} without boxes and masks
 * @example selectTeachers({ hasBoxes: true, hasMasks: false, numImages: 40, numAnnotations: 212 }).fineTune // ["grounding_dino"]
 */
export function selectTeachers(
  { hasBoxes, hasMasks, numImages, numAnnotations }: TeacherFacts,
  { withDetection = false }: { readonly withDetection?: boolean } = {},
): TeacherSelection {
  if (!hasBoxes && !hasMasks) {
    throw new NoTrainableDataError({ images: numImages, instances: numAnnotations, needed: "a box or a mask" });
  }
  const detector: TeacherDecision = hasBoxes
    ? { teacher: "grounding_dino", wanted: "fine-tune", reason: "annotations have boxes" }
    : withDetection
      ? {
          teacher: "grounding_dino",
          wanted: "fine-tune",
          reason: "detection was asked for; its boxes are derived from the masks",
        }
      : {
          teacher: "grounding_dino",
          wanted: "zero-shot",
          reason: "annotations have masks only: it stays as it is unless detection is asked for",
        };
  const sam: TeacherDecision = hasMasks
    ? {
        teacher: "sam",
        wanted: "fine-tune",
        reason: `annotations have masks; prompts are ${hasBoxes ? "the annotated boxes" : "boxes derived from the masks"}`,
      }
    : { teacher: "sam", wanted: "none", reason: "annotations have boxes only: there is no mask to learn from" };
  const decisions = [detector, sam];
  return {
    decisions,
    fineTune: decisions.filter(({ wanted }) => wanted === "fine-tune").map(({ teacher }) => teacher),
  };
}
