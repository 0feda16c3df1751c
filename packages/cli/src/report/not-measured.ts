import { known, knownScore } from "@seg/train/charts";
import type { ReportData } from "./report-data.js";
import { isPrompted } from "./verdict.js";

/** What the report has a place for but no value, so that no hole goes unmentioned. */
export function holesOf(data: ReportData): string[] {
  const rows = data.models.flatMap((row) => {
    const missing = [
      knownScore(row.box?.map50) === null ? "box mAP" : null,
      knownScore(row.mask?.map50) === null ? "mask mAP" : null,
      knownScore(row.maskIou) === null ? "mask IoU" : null,
      known(row.sizeBytes) === null ? "size" : null,
      known(row.latencyMs?.p50) === null ? "latency" : null,
      known(row.fps) === null ? "FPS" : null,
      known(row.peakMemoryBytes) === null ? "peak memory" : null,
      row.perClass === undefined ? "quality by class" : null,
      row.perSize === undefined ? "quality by size" : null,
    ].filter((name) => name !== null);
    if (missing.length === 0) return [];
    const why = isPrompted(row) && missing.includes("box mAP") ? ` (boxes: it was given ${row.prompts})` : "";
    return [`${row.name}: ${missing.join(", ")}${why}`];
  });
  const parts = [
    (data.evaluation ?? []).length === 0 ? "curves of precision, recall and F1" : null,
    data.confusion ? null : "confusion matrix",
    (data.comparisons ?? []).length === 0 ? "what the student lost: there was no second model" : null,
    data.int8 ? null : "INT8: signal to noise, layers left float",
    data.certificate === null ? "prompt-free certificate" : null,
    data.teacher === null ? "mask teacher" : null,
    data.detector ? null : "box teacher",
  ];
  return [...rows, ...parts.filter((part) => part !== null)];
}
