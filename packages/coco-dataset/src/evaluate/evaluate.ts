import type { CocoDataset, CocoResult } from "../document.js";
import { listSome } from "../findings.js";
import type { Accumulated } from "./accumulate.js";
import { detectionTable } from "./detection-table.js";
import type { ImageMatches } from "./match-category.js";
import { type EvalCompat, type EvalParams, type IouType, type ResolvedEvalParams, resolveParams } from "./params.js";
import { rankOf, runEvaluation } from "./run-evaluation.js";
import { meanPrecision, meanRecall, type SummaryRow, summarizeRow, summaryRows } from "./summarize.js";
import { type TruthTable, truthTable } from "./truth-table.js";

/** Something the numbers do not show. */
export interface EvalWarning {
  readonly code:
    | "detections_beyond_max"
    | "detections_outside_ground_truth"
    | "ground_truth_id_zero"
    | "ignore_overwritten";
  readonly message: string;
  readonly count: number;
}

/** Values of one category at area "all" and the largest number of detections; -1 without ground truth. */
export interface ClassEval {
  readonly categoryId: number;
  readonly name: string;
  readonly ap: number;
  readonly ap50: number;
  readonly ap75: number;
  /** Mean over thresholds of the maximum recall. */
  readonly ar: number;
  /** Ground truth objects that count (not crowd, not ignored). */
  readonly instances: number;
  /** The same per area range, in the order of `params.areaRanges`. */
  readonly sizes: readonly {
    readonly label: string;
    readonly ap: number;
    readonly ar: number;
    readonly instances: number;
  }[];
}

/** Result of {@link evaluate}. */
export interface EvalResult {
  readonly iouType: IouType;
  readonly compat: EvalCompat;
  readonly params: ResolvedEvalParams;
  /** `AP`, `AP50`, ...: names of {@link EvalResult.stats}. */
  readonly names: readonly string[];
  /** In [0, 1], -1 where undefined. */
  readonly stats: readonly number[];
  readonly rows: readonly SummaryRow[];
  /** `[T, R, K, A, M]`, row-major. */
  readonly precision: Float64Array;
  /** `[T, R, K, A, M]`, row-major. */
  readonly scores: Float64Array;
  /** `[T, K, A, M]`, row-major. */
  readonly recall: Float64Array;
  /** `[T, R, K, A, M]`: IoU thresholds, recall points, categories (1 when class-agnostic), areas, maximum detections. */
  readonly shape: readonly [number, number, number, number, number];
  readonly perClass: readonly ClassEval[];
  readonly warnings: readonly EvalWarning[];
  /** Present when `matches: true` was asked for. */
  readonly matches?: readonly ImageMatches[];
}

/** Input of {@link evaluate}. */
export interface EvaluateOptions {
  readonly groundTruth: CocoDataset;
  /** Rows of a COCO results file; all of one kind. */
  readonly detections: readonly CocoResult[];
  readonly iouType: IouType;
  readonly params?: EvalParams;
  /** @defaultValue "pycocotools" */
  readonly compat?: EvalCompat;
  /** Bit parity with pycocotools where a ground truth has id 0, which it writes for "unmatched". @defaultValue false */
  readonly reproduceIdZero?: boolean;
  /** Also return the matches per image. @defaultValue false */
  readonly matches?: boolean;
}

/**
 * COCO evaluation, equal to pycocotools 2.0.11 within 1e-12. Deviations, all reported: stats[0] uses the largest maxDetections (COCOeval
 * prints -1 unless it is 100); ground truth id 0 is an ordinary id; empty detections give zeros; absent area or iscrowd are completed.
 *
 * @throws EvalInputError on NaN scores, unknown ids, mixed rows, ground truth without the geometry
 * @throws RleError on ground truth run lengths that do not fit the image
 * @example evaluate({ groundTruth, detections, iouType: "bbox" }).stats[0] // mAP50-95
 */
export function evaluate({
  groundTruth,
  detections,
  iouType,
  params: requested = {},
  compat = "pycocotools",
  reproduceIdZero = false,
  matches: withMatches = false,
}: EvaluateOptions): EvalResult {
  const images = new Map(groundTruth.images.map((image) => [image.id, image]));
  const names = new Map(groundTruth.categories.map((category) => [category.id, category.name]));
  const params = resolveParams({
    params: requested,
    iouType,
    imageIds: [...images.keys()],
    categoryIds: [...names.keys()],
  });
  const tables = {
    images,
    imageRanks: rankOf(params.imageIds),
    categoryRanks: rankOf(params.categoryIds),
    iouType,
    compat,
    numKeypoints: params.keypointSigmas.length,
  };
  const truths = truthTable({ groundTruth, ...tables });
  const table = detectionTable({ detections, categories: new Set(names.keys()), ...tables });
  const run = runEvaluation({ truths, detections: table, images, params, iouType, reproduceIdZero, withMatches });
  const { accumulated, instances } = run;
  const rows = summaryRows(iouType, params);
  return {
    iouType,
    compat,
    params,
    names: rows.map((row) => row.name),
    stats: rows.map((row) => summarizeRow(row, accumulated, params)),
    rows,
    ...accumulated,
    perClass: classRows({ accumulated, params, names, instances }),
    warnings: warningsOf({ truths, lonely: run.lonely, dropped: run.dropped, compat, reproduceIdZero, params }),
    ...(withMatches ? { matches: run.matches } : {}),
  };
}

/** Content of `eval.json`: what is worth keeping of a result, as plain JSON. */
export interface EvalReport extends Pick<EvalResult, "iouType" | "compat" | "params" | "perClass" | "warnings"> {
  readonly version: 1;
  /** By name: `AP`, `AP50`, ... */
  readonly stats: Readonly<Record<string, number>>;
}

/** The content of `eval.json`. */
export function evaluationReport({
  iouType,
  compat,
  params,
  names,
  stats,
  perClass,
  warnings,
}: EvalResult): EvalReport {
  const byName = Object.fromEntries(names.map((name, i) => [name, stats[i]!]));
  return { version: 1, iouType, compat, params, stats: byName, perClass, warnings };
}

function classRows(input: {
  accumulated: Accumulated;
  params: ResolvedEvalParams;
  names: ReadonlyMap<number, string>;
  instances: Int32Array;
}): ClassEval[] {
  const { accumulated, params, names, instances } = input;
  const all = params.iouThresholds.map((_, t) => t);
  const near = (wanted: number) => all.filter((t) => Math.abs(params.iouThresholds[t]! - wanted) < 1e-9);
  const m = params.maxDetections.length - 1;
  return Array.from({ length: accumulated.shape[2] }, (_, k) => {
    const categoryId = params.useCategories ? params.categoryIds[k]! : -1;
    const select = (thresholds: readonly number[], a = 0) => ({ thresholds, categories: [k], a, m });
    return {
      categoryId,
      name: names.get(categoryId) ?? (params.useCategories ? String(categoryId) : "any"),
      ap: meanPrecision(accumulated, select(all)),
      ap50: meanPrecision(accumulated, select(near(0.5))),
      ap75: meanPrecision(accumulated, select(near(0.75))),
      ar: meanRecall(accumulated, select(all)),
      instances: instances[k * params.areaRanges.length]!,
      sizes: params.areaRanges.map(({ label }, a) => ({
        label,
        ap: meanPrecision(accumulated, select(all, a)),
        ar: meanRecall(accumulated, select(all, a)),
        instances: instances[k * params.areaRanges.length + a]!,
      })),
    };
  });
}

function warningsOf(input: {
  truths: TruthTable;
  lonely: readonly { k: number; count: number }[];
  dropped: number;
  compat: EvalCompat;
  reproduceIdZero: boolean;
  params: ResolvedEvalParams;
}): EvalWarning[] {
  const { truths, lonely, dropped, compat, reproduceIdZero, params } = input;
  const warnings: EvalWarning[] = [];
  if (dropped > 0) {
    const limit = params.maxDetections.at(-1)!;
    warnings.push({
      code: "detections_beyond_max",
      count: dropped,
      message: `${dropped} detections beyond ${limit} per image and category were not evaluated. Pass a larger last maxDetections.`,
    });
  }
  const outside = lonely.reduce((sum, { count }) => sum + count, 0);
  if (outside > 0) {
    const ids = lonely.map(({ k }) => (params.useCategories ? params.categoryIds[k]! : -1));
    warnings.push({
      code: "detections_outside_ground_truth",
      count: outside,
      message: `${outside} detections of categories without ground truth (${listSome(ids)}) change no number: COCO does not count them as false.`,
    });
  }
  const zero = truths.annotations.filter((annotation) => annotation.id === 0).length;
  if (zero > 0) {
    warnings.push({
      code: "ground_truth_id_zero",
      count: zero,
      message: reproduceIdZero
        ? "A ground truth has id 0: its detections count as false, as in pycocotools. Renumber from 1."
        : "A ground truth has id 0, which pycocotools takes for unmatched; here it is an ordinary id, so numbers can differ.",
    });
  }
  const ignored = truths.annotations.filter((item) => Boolean(item["ignore"]) && item.iscrowd !== 1).length;
  if (ignored > 0 && compat === "pycocotools") {
    warnings.push({
      code: "ignore_overwritten",
      count: ignored,
      message: `${ignored} annotations say ignore, which pycocotools overwrites by iscrowd. Use compat "strict" to honour it.`,
    });
  }
  return warnings;
}

/** COCO's printed summary, one line per stat. */
export function formatEvaluation(result: Pick<EvalResult, "rows" | "stats" | "params">): string {
  const thresholds = result.params.iouThresholds;
  const range = `${thresholds[0]!.toFixed(2)}:${thresholds.at(-1)!.toFixed(2)}`;
  return result.rows
    .map((row, i) => {
      const title = row.kind === "AP" ? "Average Precision" : "Average Recall";
      const iou = row.iouThreshold === null ? range : row.iouThreshold.toFixed(2);
      const value = result.stats[i]!.toFixed(3);
      return ` ${title.padEnd(18)} (${row.kind}) @[ IoU=${iou.padEnd(9)} | area=${row.area.padStart(6)} | maxDets=${String(row.maxDetections).padStart(3)} ] = ${value}`;
    })
    .join("\n");
}
