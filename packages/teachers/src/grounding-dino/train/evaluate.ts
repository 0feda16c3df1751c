import {
  type Box,
  boxIou,
  type CocoAnnotation,
  type CocoDataset,
  type CocoResult,
  detectionCurves,
  evaluate,
} from "@seg/coco-dataset";
import { type GroundingDinoSizeOptions, groundingDinoSize } from "@seg/preprocess";
import { NoTrainableDataError } from "../../errors.js";
import { BatchPredictor, type ClassScore, type ImageAnswer } from "../batch-predictor.js";
import type { GroundingDino } from "../grounding-dino.js";
import type { EncodeCaption } from "../text-batch.js";
import { checkPhrases } from "./check-phrases.js";
import { type DetectorItem, isTrainable } from "./detector-item.js";

/** Detections below count for nothing. */
const SCORE_FLOOR = 0.001;
/** Kept per image, over queries and classes. */
const MAX_DETECTIONS = 300;
/** Pictures up to this area are evaluated eight at a time. */
const SMALL_AREA = 256 * 256;

/** A detection in pixels of the image. */
export interface Detection {
  readonly classId: number;
  readonly box: Box;
  readonly score: number;
}

/** Average precision of one class, and where its F1 is largest. */
export interface DetectorClassScores {
  readonly classId: number;
  readonly instances: number;
  readonly ap50: number;
  readonly ap: number;
  /** Score threshold with the largest F1 at IoU .5, and what it gives. */
  readonly threshold: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** Result of {@link evaluateGroundingDino}. */
export interface DetectorEvaluation {
  readonly mAP50: number;
  /** Mean over IoU .5, .55, ..., .95. */
  readonly mAP: number;
  /** Share of objects of which an encoder proposal has IoU > .5. */
  readonly proposalRecall: number;
  readonly images: number;
  readonly instances: number;
  readonly perClass: readonly DetectorClassScores[];
}

/** What evaluation and prediction over a set of images need. */
export interface DetectorRun {
  readonly model: GroundingDino;
  readonly items: readonly DetectorItem[];
  /** Phrase of every class, in class order: one caption. */
  readonly phrases: readonly string[];
  readonly encode: EncodeCaption;
  readonly size: GroundingDinoSizeOptions;
  /** @defaultValue "max" */
  readonly classScore?: ClassScore;
  readonly signal?: AbortSignal;
}

/** Detections with scores from .001 on, at most 300 an image, best first; no suppression, queries compete by matching. */
export function detectionsOf({ scores, boxes, groups }: ImageAnswer): Detection[] {
  const found: Detection[] = [];
  for (const [classId, row] of scores.entries()) {
    for (const [query, score] of row.entries()) {
      if (score >= SCORE_FLOOR) found.push({ classId, box: boxes[groups[classId]!]![query]!, score });
    }
  }
  return found.sort((a, b) => b.score - a.score).slice(0, MAX_DETECTIONS);
}

/** Answers of all images, in order; images of equal prepared size share batches. */
export async function predictItems({
  model,
  items,
  phrases,
  encode,
  size,
  classScore = "max",
  signal,
}: DetectorRun): Promise<ImageAnswer[]> {
  const predictor = new BatchPredictor({ model, phrases, encode, size, classScore });
  try {
    const answers: ImageAnswer[] = new Array(items.length);
    const bySize = new Map<string, number[]>();
    for (const [i, { image }] of items.entries()) {
      const key = groundingDinoSize(image.width, image.height, size).join("x");
      bySize.set(key, [...(bySize.get(key) ?? []), i]);
    }
    for (const [key, indices] of bySize) {
      const [width, height] = key.split("x").map(Number) as [number, number];
      const batch = width * height <= SMALL_AREA ? 8 : 1;
      for (let first = 0; first < indices.length; first += batch) {
        signal?.throwIfAborted();
        const chunk = indices.slice(first, first + batch);
        // Filled up with the last picture, so that one graph serves every batch.
        const full = Array.from(
          { length: Math.min(batch, indices.length) },
          (_, i) => chunk[Math.min(i, chunk.length - 1)]!,
        );
        const result = await predictor.predict(full.map((i) => items[i]!.image));
        for (const [i, index] of chunk.entries()) answers[index] = result[i]!;
        // The engine computes synchronously: give signal handlers their turn.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    return answers;
  } finally {
    predictor.dispose();
  }
}

/**
 * COCO's average precision with one caption of all classes, the score floor .001 and the best 300 detections of an image, without suppression.
 * @throws {@link NoTrainableDataError} when no image has an object; the abort of the signal
 */
export async function evaluateGroundingDino(
  run: DetectorRun & {
    /** Of {@link predictItems} for the same run, where they exist already. */
    readonly answers?: readonly ImageAnswer[];
  },
): Promise<DetectorEvaluation> {
  const { items, phrases } = run;
  checkPhrases(items, phrases);
  const truths = items.map(({ instances }) => instances.filter(isTrainable));
  const instances = truths.reduce((sum, list) => sum + list.length, 0);
  if (instances === 0) throw new NoTrainableDataError({ images: items.length, instances, needed: "a box" });
  const answers = run.answers ?? (await predictItems(run));
  let proposed = 0;
  const detections: CocoResult[] = [];
  const annotations: CocoAnnotation[] = [];
  for (const [i, answer] of answers.entries()) {
    for (const { classId, box } of truths[i]!) {
      annotations.push({
        id: annotations.length + 1,
        image_id: i + 1,
        category_id: classId + 1,
        iscrowd: 0,
        ...measured(box),
      });
      if (answer.proposals.some((proposal) => boxIou(box, proposal) > 0.5)) proposed++;
    }
    for (const { classId, box, score } of detectionsOf(answer)) {
      detections.push({ image_id: i + 1, category_id: classId + 1, bbox: measured(box).bbox, score });
    }
  }
  const groundTruth: CocoDataset = {
    images: items.map(({ image: { width, height } }, i) => ({ id: i + 1, file_name: String(i + 1), width, height })),
    annotations,
    categories: phrases.map((name, i) => ({ id: i + 1, name })),
  };
  const result = evaluate({
    groundTruth,
    detections,
    iouType: "bbox",
    params: { maxDetections: [1, 10, MAX_DETECTIONS] },
  });
  const curves = detectionCurves({ groundTruth, detections, iouType: "bbox" });
  const perClass = result.perClass
    .filter((row) => row.instances > 0)
    .map(({ categoryId, instances: count, ap50, ap }): DetectorClassScores => {
      const {
        confidence: threshold,
        precision,
        recall,
        f1,
      } = curves.classes.find((curve) => curve.categoryId === categoryId)!.best;
      return { classId: categoryId - 1, instances: count, ap50, ap, threshold, precision, recall, f1 };
    });
  const mean = (key: "ap50" | "ap") => perClass.reduce((sum, row) => sum + row[key], 0) / perClass.length;
  return {
    mAP50: mean("ap50"),
    mAP: mean("ap"),
    proposalRecall: proposed / instances,
    images: items.length,
    instances,
    perClass,
  };
}

/** One line per class: average precision, then the operating point. */
export function formatDetectorEvaluation(
  { mAP50, mAP, proposalRecall, instances, perClass }: DetectorEvaluation,
  classNames: readonly string[] = [],
): string {
  return [
    `${"all".padEnd(16)} ${String(instances).padStart(5)}  mAP50 ${mAP50.toFixed(3)}  mAP50-95 ${mAP.toFixed(3)}  proposals found ${proposalRecall.toFixed(3)}`,
    ...perClass.map(
      (row) =>
        `${(classNames[row.classId] ?? `class ${row.classId}`).padEnd(16)} ${String(row.instances).padStart(5)}  AP50 ${row.ap50.toFixed(3)}  AP50-95 ${row.ap.toFixed(3)}  best F1 ${row.f1.toFixed(3)} at ${row.threshold.toFixed(3)}`,
    ),
  ].join("\n");
}

function measured([x1, y1, x2, y2]: Box): { bbox: [number, number, number, number]; area: number } {
  return { bbox: [x1, y1, x2 - x1, y2 - y1], area: (x2 - x1) * (y2 - y1) };
}
