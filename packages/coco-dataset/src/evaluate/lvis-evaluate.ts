import type { CocoDataset, CocoResult } from "../document.js";
import { type DetectionTable, detectionTable } from "./detection-table.js";
import type { EvalWarning } from "./evaluate.js";
import { type IouType, type ResolvedEvalParams, resolveParams } from "./params.js";
import { rankOf, runEvaluation } from "./run-evaluation.js";
import { byFallingScore, byRank, identityOrder } from "./stable-order.js";
import { meanPrecision, meanRecall } from "./summarize.js";
import { truthTable } from "./truth-table.js";

/** Names of the LVIS values. */
export type LvisName =
  | "AP"
  | "AP50"
  | "AP75"
  | "APs"
  | "APm"
  | "APl"
  | "APr"
  | "APc"
  | "APf"
  | "AR"
  | "ARs"
  | "ARm"
  | "ARl";

/** Result of {@link lvisEvaluate}. */
export interface LvisResult {
  readonly iouType: "bbox" | "segm";
  readonly maxDetections: number;
  /** In [0, 1], -1 where undefined. */
  readonly metrics: Readonly<Record<LvisName, number>>;
  readonly perClass: readonly {
    readonly categoryId: number;
    readonly name: string;
    /** Rare, common or frequent; null where the category does not say. */
    readonly frequency: "r" | "c" | "f" | null;
    readonly ap: number;
    readonly instances: number;
  }[];
  readonly warnings: readonly EvalWarning[];
}

/**
 * Federated evaluation as LVIS does it: at most `maxDetections` detections an image over all categories (no limit per category);
 * a detection takes part only where its category was checked in that image (annotated or in `neg_category_ids`); unmatched ones of a
 * category in `not_exhaustive_category_ids` are ignored; `ignore` is honoured and there are no crowds.
 *
 * Images carry `neg_category_ids` and `not_exhaustive_category_ids`, categories `frequency` (r below 10, c below 100, f from 100 training
 * images; derived from `image_count` where absent).
 *
 * @param input.maxDetections - negative: no limit. @defaultValue 300
 * @throws EvalInputError as `evaluate`
 */
export function lvisEvaluate({
  groundTruth,
  detections,
  iouType,
  maxDetections = 300,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  iouType: Exclude<IouType, "keypoints">;
  maxDetections?: number;
}): LvisResult {
  const images = new Map(groundTruth.images.map((image) => [image.id, image]));
  const categories = new Map(groundTruth.categories.map((category) => [category.id, category]));
  const params = resolveParams({
    params: { maxDetections: [Math.max(1, detections.length)] },
    iouType,
    imageIds: [...images.keys()],
    categoryIds: [...categories.keys()],
  });
  const tables = {
    images,
    imageRanks: rankOf(params.imageIds),
    categoryRanks: rankOf(params.categoryIds),
    iouType,
    numKeypoints: 0,
  } as const;
  const annotations = groundTruth.annotations.map((annotation) => ({ ...annotation, iscrowd: 0 }));
  const truths = truthTable({
    groundTruth: { ...groundTruth, annotations },
    ...tables,
    // Honours `ignore`.
    compat: "strict",
  });
  const table = detectionTable({
    detections,
    categories: new Set(categories.keys()),
    ...tables,
    compat: "pycocotools",
  });
  const { kept, beyond } = federated({ groundTruth, table, params, maxDetections });
  const run = runEvaluation({ truths, detections: kept, images, params, iouType });
  const frequencies = params.categoryIds.map((id) => frequencyOf(categories.get(id)!));
  const everyThreshold = params.iouThresholds.map((_, t) => t);
  const everyCategory = frequencies.map((_, k) => k);
  const near = (wanted: number) => everyThreshold.filter((t) => Math.abs(params.iouThresholds[t]! - wanted) < 1e-9);
  const ap = (thresholds = everyThreshold, a = 0, classes = everyCategory) =>
    meanPrecision(run.accumulated, { thresholds, categories: classes, a, m: 0 });
  const ar = (a: number) =>
    meanRecall(run.accumulated, { thresholds: everyThreshold, categories: everyCategory, a, m: 0 });
  const ofFrequency = (wanted: string) => everyCategory.filter((k) => frequencies[k] === wanted);
  return {
    iouType,
    maxDetections,
    metrics: {
      AP: ap(),
      AP50: ap(near(0.5)),
      AP75: ap(near(0.75)),
      APs: ap(everyThreshold, 1),
      APm: ap(everyThreshold, 2),
      APl: ap(everyThreshold, 3),
      APr: ap(everyThreshold, 0, ofFrequency("r")),
      APc: ap(everyThreshold, 0, ofFrequency("c")),
      APf: ap(everyThreshold, 0, ofFrequency("f")),
      AR: ar(0),
      ARs: ar(1),
      ARm: ar(2),
      ARl: ar(3),
    },
    perClass: params.categoryIds.map((categoryId, k) => ({
      categoryId,
      name: categories.get(categoryId)!.name,
      frequency: frequencies[k]!,
      ap: ap(everyThreshold, 0, [k]),
      instances: run.instances[k * params.areaRanges.length]!,
    })),
    warnings:
      beyond === 0
        ? []
        : [
            {
              code: "detections_beyond_max",
              count: beyond,
              message: `${beyond} detections beyond ${maxDetections} an image were not evaluated.`,
            },
          ],
  };
}

function frequencyOf(category: CocoDataset["categories"][number]): "r" | "c" | "f" | null {
  const { frequency, image_count: images } = category as { frequency?: unknown; image_count?: unknown };
  if (frequency === "r" || frequency === "c" || frequency === "f") return frequency;
  if (typeof images !== "number") return null;
  return images < 10 ? "r" : images < 100 ? "c" : "f";
}

/** Detections that take part, the others marked as not evaluated. */
function federated(input: {
  groundTruth: CocoDataset;
  table: DetectionTable;
  params: ResolvedEvalParams;
  maxDetections: number;
}): { kept: DetectionTable; beyond: number } {
  const { groundTruth, table, params, maxDetections } = input;
  const checked = new Map<number, Set<number>>();
  const notExhaustive = new Map<number, Set<number>>();
  for (const image of groundTruth.images) {
    checked.set(image.id, new Set(listOf(image["neg_category_ids"])));
    notExhaustive.set(image.id, new Set(listOf(image["not_exhaustive_category_ids"])));
  }
  for (const { image_id, category_id } of groundTruth.annotations) checked.get(image_id)?.add(category_id);
  const categoryRank = table.categoryRank.slice();
  const isIgnoredUnmatched = new Uint8Array(table.count);
  const order = byRank(
    byFallingScore(identityOrder(table.count), table.score),
    table.imageRank,
    params.imageIds.length,
  );
  let beyond = 0;
  let position = 0;
  order.forEach((d, i) => {
    const { image_id, category_id } = table.rows[d]!;
    position = i > 0 && table.imageRank[order[i - 1]!] === table.imageRank[d] ? position + 1 : 0;
    if (maxDetections >= 0 && position >= maxDetections) {
      beyond++;
      categoryRank[d] = -1;
    } else if (!checked.get(image_id)!.has(category_id)) categoryRank[d] = -1;
    if (notExhaustive.get(image_id)!.has(category_id)) isIgnoredUnmatched[d] = 1;
  });
  return { kept: { ...table, categoryRank, isIgnoredUnmatched }, beyond };
}

function listOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((item): item is number => typeof item === "number") : [];
}
