import type { CocoDataset, CocoResult } from "../document.js";
import { listSome } from "../findings.js";
import { type Accumulated, accumulate } from "./accumulate.js";
import { buildCells, type EvalCell } from "./cells.js";
import type { CellMatch } from "./match.js";
import { type EvalParams, type IouType, type ResolvedEvalParams, resolveParams } from "./params.js";
import { type EvalCompat, type PreparedTruth, prepareDetections, prepareTruths } from "./prepare.js";
import { meanPrecision, meanRecall, type SummaryRow, summarizeRow, summaryRows } from "./summarize.js";

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
}

/** Matching of one image and category in area range "all"; T thresholds. */
export interface ImageMatches {
  readonly imageId: number;
  /** -1 when class-agnostic. */
  readonly categoryId: number;
  /** 0-based rows of the results, by falling score. */
  readonly detectionRows: readonly number[];
  readonly scores: readonly number[];
  /** Annotation ids in matching order: ignored ones last. */
  readonly groundTruthIds: readonly number[];
  readonly groundTruthIgnored: readonly boolean[];
  /** T x detections: position in `groundTruthIds`, -1 unmatched. */
  readonly detectionMatches: readonly (readonly number[])[];
  /** T x detections. */
  readonly detectionIgnored: readonly (readonly boolean[])[];
  /** T x ground truths: position in `detectionRows`, -1 unmatched. */
  readonly groundTruthMatches: readonly (readonly number[])[];
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
  const context = { iouType, compat, images, numKeypoints: params.keypointSigmas.length };
  const wantedImages = new Set(params.imageIds);
  const wantedCategories = new Set(params.categoryIds);
  const annotations = groundTruth.annotations.filter(
    (a) => wantedImages.has(a.image_id) && wantedCategories.has(a.category_id),
  );
  const truths = prepareTruths({ ...groundTruth, annotations }, context);
  const prepared = prepareDetections(detections, { ...context, categories: new Set(names.keys()) });
  const { cells, dropped } = buildCells({ truths, detections: prepared, params, iouType });
  const accumulated = accumulate(cells, params);
  const rows = summaryRows(iouType, params);
  return {
    iouType,
    compat,
    params,
    names: rows.map((row) => row.name),
    stats: rows.map((row) => summarizeRow(row, accumulated, params)),
    rows,
    precision: accumulated.precision,
    scores: accumulated.scores,
    recall: accumulated.recall,
    shape: accumulated.shape,
    perClass: classRows(cells, accumulated, params, names),
    warnings: warningsOf({ annotations, truths, cells, dropped, compat, params }),
    ...(withMatches ? { matches: imageMatches(cells, accumulated, params) } : {}),
  };
}

function classRows(
  cells: readonly (readonly EvalCell[])[],
  accumulated: Accumulated,
  params: ResolvedEvalParams,
  names: ReadonlyMap<number, string>,
): ClassEval[] {
  const all = params.iouThresholds.map((_, t) => t);
  const near = (wanted: number) => all.filter((t) => Math.abs(params.iouThresholds[t]! - wanted) < 1e-9);
  const m = params.maxDetections.length - 1;
  return cells.map((_, k) => {
    const categoryId = params.useCategories ? params.categoryIds[k]! : -1;
    const select = (thresholds: readonly number[]) => ({ thresholds, categories: [k], a: 0, m });
    let instances = 0;
    for (const match of accumulated.matches[k]!) for (const flag of match.truthIgnored) if (flag === 0) instances++;
    return {
      categoryId,
      name: names.get(categoryId) ?? (params.useCategories ? String(categoryId) : "any"),
      ap: meanPrecision(accumulated, select(all)),
      ap50: meanPrecision(accumulated, select(near(0.5))),
      ap75: meanPrecision(accumulated, select(near(0.75))),
      ar: meanRecall(accumulated, select(all)),
      instances,
    };
  });
}

function warningsOf(input: {
  annotations: CocoDataset["annotations"];
  truths: readonly PreparedTruth[];
  cells: readonly (readonly EvalCell[])[];
  dropped: number;
  compat: EvalCompat;
  params: ResolvedEvalParams;
}): EvalWarning[] {
  const { annotations, cells, dropped, compat, params } = input;
  const warnings: EvalWarning[] = [];
  if (dropped > 0) {
    const limit = params.maxDetections.at(-1)!;
    warnings.push({
      code: "detections_beyond_max",
      count: dropped,
      message: `${dropped} detections beyond ${limit} per image and category were not evaluated. Pass a larger last maxDetections.`,
    });
  }
  const lonely = cells.filter((list) => list.length > 0 && list.every((cell) => cell.truths.length === 0));
  const outside = lonely.flat().reduce((sum, cell) => sum + cell.detections.length, 0);
  if (outside > 0) {
    const ids = lonely.map((list) => list[0]!.categoryId);
    warnings.push({
      code: "detections_outside_ground_truth",
      count: outside,
      message: `${outside} detections of categories without ground truth (${listSome(ids)}) change no number: COCO does not count them as false.`,
    });
  }
  const zero = annotations.filter((annotation) => annotation.id === 0).length;
  if (zero > 0) {
    warnings.push({
      code: "ground_truth_id_zero",
      count: zero,
      message:
        "A ground truth has id 0, which pycocotools takes for unmatched; here it is an ordinary id, so numbers can differ.",
    });
  }
  const ignored = annotations.filter((annotation) => Boolean(annotation["ignore"]) && annotation.iscrowd !== 1).length;
  if (ignored > 0 && compat === "pycocotools") {
    warnings.push({
      code: "ignore_overwritten",
      count: ignored,
      message: `${ignored} annotations say ignore, which pycocotools overwrites by iscrowd. Use compat "strict" to honour it.`,
    });
  }
  return warnings;
}

function imageMatches(
  cells: readonly (readonly EvalCell[])[],
  accumulated: Accumulated,
  params: ResolvedEvalParams,
): ImageMatches[] {
  return cells.flatMap((list, k) => list.map((cell, i) => imageMatch(cell, accumulated.matches[k]![i]!, params)));
}

function imageMatch(cell: EvalCell, match: CellMatch, params: ResolvedEvalParams): ImageMatches {
  const perThreshold = <T>(values: ArrayLike<number>, width: number, convert: (value: number) => T) =>
    params.iouThresholds.map((_, t) => Array.from({ length: width }, (_, i) => convert(values[t * width + i]!)));
  return {
    imageId: cell.imageId,
    categoryId: cell.categoryId,
    detectionRows: cell.detections.map((detection) => detection.row),
    scores: cell.detections.map((detection) => detection.score),
    groundTruthIds: Array.from(match.order, (g) => cell.truths[g]!.id),
    groundTruthIgnored: Array.from(match.truthIgnored, Boolean),
    detectionMatches: perThreshold(match.detectionMatch, cell.detections.length, Number),
    detectionIgnored: perThreshold(match.detectionIgnored, cell.detections.length, Boolean),
    groundTruthMatches: perThreshold(match.truthMatch, cell.truths.length, Number),
  };
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
