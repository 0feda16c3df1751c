import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { MaskTeacher, Teachers } from "@seg/distill";
import { loadMaskTeacher } from "../teacher/mask-teacher.js";
import { GROUNDING_DINO_GATE } from "../teacher/teacher-gate.js";
import { loadTextTeacher } from "../teacher/text-teacher.js";

/** The parts of a teacher that a training uses, with the reasons. */
export interface ChosenTeachers {
  readonly teachers: Teachers;
  /** Phrases of the detector by class index; null without one. */
  readonly prompts: readonly string[] | null;
  /** Terms that are off although the teacher could serve them. */
  readonly off: { readonly classes: boolean };
  readonly reasons: readonly string[];
  dispose(): void;
}

/** What `train-teacher` could not provide. */
function unavailable(experiment: string): readonly string[] {
  const file = join(experiment, "teachers", "decisions.json");
  if (!existsSync(file)) return [];
  return (JSON.parse(readFileSync(file, "utf8")) as { unavailable?: string[] }).unavailable ?? [];
}

/**
 * Which parts of an experiment's teacher a student listens to. Masks wherever the student draws masks. Boxes and class scores on images that nobody annotated; on annotated ones only when the
 * detector reached {@link GROUNDING_DINO_GATE} on validation images, or when asked to: below it people's labels are the better teacher, and the time is saved.
 *
 * @param wantsClasses - asked for by name
 * @param isOpen - there are images on which the detector names objects
 */
export async function chooseTeachers({
  experiment,
  segment,
  isOpen,
  wantsClasses,
  wantsFeatures,
}: {
  experiment: string;
  segment: boolean;
  isOpen: boolean;
  wantsClasses: boolean;
  wantsFeatures: boolean;
}): Promise<ChosenTeachers> {
  const reasons: string[] = [];
  const disposals: (() => void)[] = [];
  let masks: MaskTeacher | undefined;
  if (segment) {
    const found = await loadMaskTeacher(experiment);
    if (found === null) reasons.push(`${experiment} holds no mask teacher: no soft masks`);
    else {
      masks = found.teacher;
      disposals.push(() => found.dispose());
      reasons.push(`${masks.id}: soft masks of every object`);
    }
  }
  const text = isOpen || wantsClasses || wantsFeatures ? loadTextTeacher(experiment) : null;
  const quality = text?.mAP50 ?? null;
  const passes = quality !== null && quality > GROUNDING_DINO_GATE;
  const listens = text !== null && (isOpen || wantsClasses);
  if (text !== null) {
    disposals.push(() => text.dispose());
    const measured =
      quality === null ? "not measured on validation images" : `box mAP50 ${quality.toFixed(3)} on validation images`;
    if (isOpen) reasons.push(`${text.detector.id}: names the objects of images without labels (${measured})`);
    if (listens && (passes || wantsClasses)) reasons.push(`${text.detector.id}: class scores and boxes (${measured})`);
    else if (listens)
      reasons.push(
        `${text.detector.id}: no class scores and boxes beside its labels, ${measured}, at most ${GROUNDING_DINO_GATE} (--kd-cls and --kd-box insist)`,
      );
    if (wantsFeatures) reasons.push(`${text.features.id}: features of its backbone`);
  } else if (isOpen) {
    reasons.push(`${experiment} holds no detection teacher: images without labels stay unnamed`);
  }
  const missing = unavailable(experiment);
  if (missing.length > 0) reasons.push(`not available: ${missing.join(", ")}`);
  return {
    teachers: {
      ...(text !== null && listens ? { detector: text.detector } : {}),
      ...(masks ? { masks } : {}),
      ...(text !== null && wantsFeatures ? { features: text.features } : {}),
    },
    prompts: text !== null && listens ? text.phrases : null,
    off: { classes: listens && !passes && !wantsClasses },
    reasons,
    dispose() {
      for (const dispose of disposals) dispose();
    },
  };
}
