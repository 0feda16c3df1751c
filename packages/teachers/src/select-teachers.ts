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
  /** Whether this version can do it. */
  readonly available: boolean;
  readonly reason: string;
}

/** Decisions of {@link selectTeachers}, always one per teacher. */
export interface TeacherSelection {
  readonly decisions: readonly TeacherDecision[];
  /** Teachers that are wanted and available. */
  readonly usable: readonly TeacherDecision["teacher"][];
  /** Wanted, but not available: to be shown to the user and kept in the run's record. */
  readonly unavailable: readonly TeacherDecision[];
}

const NOT_IN_THIS_VERSION = "Grounding DINO is not available in this version; boxes come from the annotations only";

/**
 * Boxes call for Grounding DINO, masks for SAM, prompted with annotated or mask-derived boxes. Facts are those of the annotations as given, before
 * completion. An unavailable teacher is recorded, never dropped silently.
 * @throws {@link NoTrainableDataError} without boxes and masks
 */
export function selectTeachers({ hasBoxes, hasMasks, numImages, numAnnotations }: TeacherFacts): TeacherSelection {
  if (!hasBoxes && !hasMasks) {
    throw new NoTrainableDataError({ images: numImages, instances: numAnnotations, needed: "a box or a mask" });
  }
  const detector: TeacherDecision = {
    teacher: "grounding_dino",
    wanted: hasBoxes ? "fine-tune" : "zero-shot",
    available: false,
    reason: `${hasBoxes ? "annotations have boxes" : "annotations have masks only, so text-prompted boxes would be zero-shot"}. ${NOT_IN_THIS_VERSION}`,
  };
  const sam: TeacherDecision = hasMasks
    ? {
        teacher: "sam",
        wanted: "fine-tune",
        available: true,
        reason: `annotations have masks; prompts are ${hasBoxes ? "the annotated boxes" : "boxes derived from the masks"}`,
      }
    : {
        teacher: "sam",
        wanted: "none",
        available: true,
        reason: "annotations have boxes only: there is no mask to learn from",
      };
  const decisions = [detector, sam];
  return {
    decisions,
    usable: decisions.filter(({ wanted, available }) => available && wanted !== "none").map(({ teacher }) => teacher),
    unavailable: decisions.filter(({ wanted, available }) => !available && wanted !== "none"),
  };
}
