import type { EvalResult } from "@seg/coco-dataset";
import { knownScore } from "@seg/train/charts";
import type { ObjectSize, SizeScore } from "../report-data.js";

/** COCO's sizes, smallest first. */
export const SIZES: readonly ObjectSize[] = ["small", "medium", "large"];

/** COCO's size of an area in pixels; a border belongs to the larger size. */
export const sizeOf = (area: number): ObjectSize => (area < 32 ** 2 ? "small" : area < 96 ** 2 ? "medium" : "large");

/** mAP50-95 by size from evaluations that were made anyway; sizes without an annotated object have no score. */
export function sizeScores({ bbox, segm }: { bbox: EvalResult | null; segm: EvalResult | null }): SizeScore[] {
  const score = (result: EvalResult | null, size: ObjectSize) => {
    const row = result?.rows.findIndex(
      ({ kind, area, iouThreshold }) => kind === "AP" && area === size && iouThreshold === null,
    );
    return row === undefined || row < 0 ? null : knownScore(result!.stats[row]);
  };
  const objects = (result: EvalResult | null, size: ObjectSize) =>
    (result?.perClass ?? []).reduce(
      (sum, { sizes }) => sum + (sizes.find(({ label }) => label === size)?.instances ?? 0),
      0,
    );
  return SIZES.map((size) => ({
    size,
    objects: objects(bbox ?? segm, size),
    boxAp: score(bbox, size),
    maskAp: score(segm, size),
  }));
}
