import { EvalInputError } from "../errors.js";

/** Which geometry is compared. */
export type IouType = "bbox" | "segm" | "keypoints";

/** `pycocotools`: its quirks reproduced; `strict`: explicit `ignore` honoured, mask areas for rows with box and mask. */
export type EvalCompat = "pycocotools" | "strict";

/** A named range of areas in pixels, inclusive at both ends. */
export interface AreaRange {
  readonly label: string;
  readonly range: readonly [minimum: number, maximum: number];
}

/** Parameters of COCOeval; absent ones take its defaults. */
export interface EvalParams {
  /** @defaultValue every image of the ground truth, also those without detections */
  readonly imageIds?: readonly number[];
  /** @defaultValue every category of the ground truth */
  readonly categoryIds?: readonly number[];
  /** false: match regardless of the category (class-agnostic). @defaultValue true */
  readonly useCategories?: boolean;
  /** @defaultValue 0.5, 0.55, ..., 0.95 */
  readonly iouThresholds?: readonly number[];
  /** Ascending. @defaultValue 0, 0.01, ..., 1 */
  readonly recallThresholds?: readonly number[];
  /** Ascending, per image and category. @defaultValue [1, 10, 100], keypoints [20] */
  readonly maxDetections?: readonly number[];
  /** The first is used for the per-class values. @defaultValue all, small (32^2), medium (96^2), large; keypoints without small */
  readonly areaRanges?: readonly AreaRange[];
  /** One per keypoint. @defaultValue the 17 of COCO persons */
  readonly keypointSigmas?: readonly number[];
}

/** {@link EvalParams} with every value present; ids ascending and unique. */
export type ResolvedEvalParams = Required<EvalParams>;

/** numpy's linspace: start + i * step, the last point forced to stop (0.9 is 0.8999999999999999 among the IoU thresholds). */
function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? stop : i * step + start));
}

/** COCO's recall points 0, 0.01, ..., 1. */
export const RECALL_POINTS: readonly number[] = linspace(0, 1, 101);

const AREAS: readonly AreaRange[] = [
  { label: "all", range: [0, 1e10] },
  { label: "small", range: [0, 32 ** 2] },
  { label: "medium", range: [32 ** 2, 96 ** 2] },
  { label: "large", range: [96 ** 2, 1e10] },
];

/** Per-keypoint constants of the COCO keypoint challenge (standard deviations relative to object scale). */
const PERSON_SIGMAS = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89].map((s) => s / 100 / 10);

export function resolveParams(input: {
  params: EvalParams;
  iouType: IouType;
  imageIds: readonly number[];
  categoryIds: readonly number[];
}): ResolvedEvalParams {
  const { params, iouType } = input;
  const isKeypoints = iouType === "keypoints";
  const resolved: ResolvedEvalParams = {
    imageIds: uniqueAscending(params.imageIds ?? input.imageIds),
    categoryIds: uniqueAscending(params.categoryIds ?? input.categoryIds),
    useCategories: params.useCategories ?? true,
    iouThresholds: params.iouThresholds ?? linspace(0.5, 0.95, 10),
    recallThresholds: params.recallThresholds ?? RECALL_POINTS,
    maxDetections: params.maxDetections ?? (isKeypoints ? [20] : [1, 10, 100]),
    areaRanges: params.areaRanges ?? (isKeypoints ? AREAS.filter(({ label }) => label !== "small") : AREAS),
    keypointSigmas: params.keypointSigmas ?? PERSON_SIGMAS,
  };
  checkAscending("recallThresholds", resolved.recallThresholds);
  checkAscending("maxDetections", resolved.maxDetections);
  if (resolved.iouThresholds.length === 0 || resolved.areaRanges.length === 0) {
    throw new EvalInputError({ subject: "params", message: "iouThresholds and areaRanges must not be empty." });
  }
  const known = new Set(input.imageIds);
  const unknown = resolved.imageIds.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new EvalInputError({
      subject: "params",
      ids: unknown,
      message: `params.imageIds names images that the ground truth does not have: ${unknown.slice(0, 5).join(", ")}.`,
    });
  }
  return resolved;
}

function checkAscending(name: string, values: readonly number[]): void {
  if (values.length > 0 && values.every((value, i) => i === 0 || values[i - 1]! <= value)) return;
  throw new EvalInputError({
    subject: "params",
    message: `params.${name} must be a non-empty ascending list, got [${values}].`,
  });
}

function uniqueAscending(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
