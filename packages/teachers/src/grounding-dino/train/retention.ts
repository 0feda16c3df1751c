import { boxIou } from "@seg/coco-dataset";
import { withAdaptersDisabled } from "@seg/lora";
import type { DetectorItem } from "./detector-item.js";
import { type Detection, type DetectorRun, detectionsOf, evaluateGroundingDino, predictItems } from "./evaluate.js";

/** Detections with a higher score are what the base says. */
const REFERENCE_SCORE = 0.35;
/** With fewer reference boxes the share says nothing. */
const MIN_REFERENCE = 20;
/** Below, a ratio of two average precisions says nothing. */
const MIN_BASE_AP = 0.05;
/** Below, adapting has cost much of what the base could. */
export const RETENTION_GATE = 0.9;

/** How much of its zero-shot ability an adapted detector keeps; null: not measured, with the counts that say why. */
export interface Retention {
  /** mAP50(adapted) / mAP50(base) on labelled images of other classes; null without such images or where the base is below .05. */
  readonly labelled: { readonly ratio: number | null; readonly base: number; readonly adapted: number } | null;
  /** F1 at IoU .5 of adapted boxes against the base's on prompts that were not trained; null ratio below 20 reference boxes. */
  readonly agreement: {
    readonly f1: number | null;
    readonly reference: number;
    readonly adapted: number;
    readonly matched: number;
  };
}

/**
 * Zero-shot retention (2.16 of the teacher specification): the same images and captions with adapters off and on.
 *
 * @param run - the adapted model, merged or not, and images; `phrases` are prompts that were not trained
 * @param labelled - annotated images whose classes are disjoint from the trained ones, with their phrases
 */
export async function measureRetention(
  run: DetectorRun,
  labelled: { readonly items: readonly DetectorItem[]; readonly phrases: readonly string[] } | null = null,
): Promise<Retention> {
  const detections = async (): Promise<Detection[][]> =>
    (await predictItems(run)).map((answer) => detectionsOf(answer).filter(({ score }) => score > REFERENCE_SCORE));
  const adapted = await detections();
  const base = await withAdaptersDisabled(run.model, detections);
  const count = (lists: readonly Detection[][]) => lists.reduce((sum, list) => sum + list.length, 0);
  const matched = base.reduce((sum, reference, i) => sum + countMatches(reference, adapted[i]!), 0);
  const [reference, found] = [count(base), count(adapted)];
  const f1 = reference < MIN_REFERENCE ? null : (2 * matched) / (reference + found);
  const agreement = { f1, reference, adapted: found, matched };
  if (labelled === null) return { labelled: null, agreement };
  const evaluate = async () => (await evaluateGroundingDino({ ...run, ...labelled })).mAP50;
  const adaptedAp = await evaluate();
  const baseAp = await withAdaptersDisabled(run.model, evaluate);
  const ratio = baseAp < MIN_BASE_AP ? null : adaptedAp / baseAp;
  return { labelled: { ratio, base: baseAp, adapted: adaptedAp }, agreement };
}

/** Pairs of the same phrase with IoU of at least .5, each box once, best scores first. */
export function countMatches(reference: readonly Detection[], found: readonly Detection[]): number {
  const free = new Set(reference);
  let matches = 0;
  for (const { classId, box } of [...found].sort((a, b) => b.score - a.score)) {
    let best: Detection | null = null;
    let bestIou = 0.5;
    for (const candidate of free) {
      if (candidate.classId !== classId) continue;
      const iou = boxIou(candidate.box, box);
      if (iou >= bestIou) {
        best = candidate;
        bestIou = iou;
      }
    }
    if (best === null) continue;
    free.delete(best);
    matches++;
  }
  return matches;
}

/** One line for people. */
export function formatRetention({ labelled, agreement }: Retention): string {
  const { f1, reference } = agreement;
  const agree =
    f1 === null
      ? `not measured (${reference} reference boxes, needs ${MIN_REFERENCE})`
      : `${f1.toFixed(3)} (${reference} reference boxes)`;
  if (labelled === null) return `agreement with the base on other prompts ${agree}`;
  const { ratio, base, adapted } = labelled;
  const share = ratio === null ? `not measured (base mAP50 ${base.toFixed(3)})` : ratio.toFixed(3);
  return `kept on other classes ${share} (mAP50 ${base.toFixed(3)} -> ${adapted.toFixed(3)}); agreement with the base on other prompts ${agree}`;
}
