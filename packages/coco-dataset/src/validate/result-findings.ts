import type { CocoDataset, CocoResult } from "../document.js";
import { type Finding, MAX_FINDING_IDS } from "../findings.js";
import { usableBbox, usableSegmentation } from "../presence.js";

/**
 * Findings about a results file; `ids` are rows, from 0. What `evaluate` refuses is an error, what it silently changes a warning.
 *
 * @param options.maxDetections - per image and category. @defaultValue 100
 */
export function resultFindings(
  dataset: CocoDataset,
  results: readonly CocoResult[],
  { maxDetections = 100 }: { maxDetections?: number } = {},
): Finding[] {
  const images = new Set(dataset.images.map((image) => image.id));
  const categories = new Set(dataset.categories.map((category) => category.id));
  const rows = new Map<string, number[]>();
  const add = (code: string, row: number) => {
    const list = rows.get(code);
    if (list === undefined) rows.set(code, [row]);
    else list.push(row);
  };
  const perCell = new Map<string, number[]>();
  results.forEach((result, row) => {
    const score: unknown = result.score;
    if (score === undefined || score === null) add("score_missing", row);
    else if (typeof score !== "number" || !Number.isFinite(score)) add("score_not_finite", row);
    else if (score < 0 || score > 1) add("score_out_of_range", row);
    if (!images.has(result.image_id)) add("unknown_image_id", row);
    if (!categories.has(result.category_id)) add("unknown_category_id", row);
    if (usableBbox(result) === null && usableSegmentation(result) === null && !Array.isArray(result.keypoints)) {
      add("result_without_geometry", row);
    }
    const key = `${result.image_id}/${result.category_id}`;
    const cell = perCell.get(key);
    if (cell === undefined) perCell.set(key, [row]);
    else cell.push(row);
  });
  for (const cell of perCell.values()) {
    if (cell.length <= maxDetections) continue;
    const ranked = cell.toSorted((a, b) => rankable(results[b]!) - rankable(results[a]!) || a - b);
    for (const row of ranked.slice(maxDetections)) add("detections_beyond_max", row);
  }
  return MESSAGES.flatMap(([code, severity, message]) => {
    const found = rows.get(code);
    if (found === undefined) return [];
    found.sort((a, b) => a - b);
    return [
      {
        code,
        severity,
        layer: "results" as const,
        message: `${message}: ${found.length === 1 ? "row" : "rows"} ${found.slice(0, 5).join(", ")}${found.length > 5 ? ` and ${found.length - 5} more` : ""}.`,
        count: found.length,
        ids: found.slice(0, MAX_FINDING_IDS),
      },
    ];
  });
}

/** Scores that are no numbers come last. */
const rankable = ({ score }: CocoResult) => (Number.isFinite(score) ? score : -Number.MAX_VALUE);

const MESSAGES = [
  ["score_missing", "error", "A detection has no score"],
  ["score_not_finite", "error", "A score is not a finite number"],
  ["unknown_image_id", "error", "image_id names no image of the ground truth"],
  ["unknown_category_id", "error", "category_id names no category of the ground truth"],
  ["result_without_geometry", "error", "A detection has neither bbox nor segmentation nor keypoints"],
  ["score_out_of_range", "warn", "A score lies outside [0, 1]; only the order counts for AP, thresholds will mislead"],
  ["detections_beyond_max", "warn", "Detections beyond maxDetections of their image and category are not evaluated"],
] as const;
