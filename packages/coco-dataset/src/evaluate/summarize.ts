import type { Accumulated } from "./accumulate.js";
import { pairwiseSum } from "./oks.js";
import type { IouType, ResolvedEvalParams } from "./params.js";

/** One line of COCO's summary. */
export interface SummaryRow {
  readonly name: string;
  readonly kind: "AP" | "AR";
  /** null: mean over all thresholds. */
  readonly iouThreshold: number | null;
  readonly area: string;
  readonly maxDetections: number;
}

const AREA_SUFFIX: Readonly<Record<string, string>> = { small: "s", medium: "m", large: "l" };

/** AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl; for keypoints AP AP50 AP75 APm APl and the same of AR. */
export function summaryRows(iouType: IouType, params: ResolvedEvalParams): SummaryRow[] {
  const limit = params.maxDetections.at(-1)!;
  const all = params.areaRanges[0]!.label;
  const sizes = params.areaRanges.slice(1).map(({ label }) => label);
  const row = (kind: "AP" | "AR", suffix: string, fields: Partial<SummaryRow> = {}): SummaryRow => ({
    name: kind + suffix,
    kind,
    iouThreshold: null,
    area: all,
    maxDetections: limit,
    ...fields,
  });
  const bySize = (kind: "AP" | "AR") => sizes.map((area) => row(kind, AREA_SUFFIX[area] ?? `[${area}]`, { area }));
  const byThreshold = (kind: "AP" | "AR") => [
    row(kind, ""),
    row(kind, "50", { iouThreshold: 0.5 }),
    row(kind, "75", { iouThreshold: 0.75 }),
  ];
  const recalls =
    iouType === "keypoints"
      ? byThreshold("AR")
      : params.maxDetections.map((count) => row("AR", String(count), { maxDetections: count }));
  return [...byThreshold("AP"), ...bySize("AP"), ...recalls, ...bySize("AR")];
}

/** Mean of the entries above -1 that a row selects, -1 when there are none (also when a threshold was not evaluated). */
export function summarizeRow(row: SummaryRow, accumulated: Accumulated, params: ResolvedEvalParams): number {
  const a = params.areaRanges.findIndex(({ label }) => label === row.area);
  const m = params.maxDetections.indexOf(row.maxDetections);
  // COCOeval compares floats for equality and misses 0.9 (0.8999999999999999); the nearest within 1e-9 counts here.
  const wanted = row.iouThreshold;
  const thresholds = params.iouThresholds.flatMap((value, t) =>
    wanted === null || Math.abs(value - wanted) < 1e-9 ? [t] : [],
  );
  const categories = Array.from({ length: accumulated.shape[2] }, (_, k) => k);
  return row.kind === "AP"
    ? meanPrecision(accumulated, { thresholds, categories, a, m })
    : meanRecall(accumulated, { thresholds, categories, a, m });
}

interface Selection {
  readonly thresholds: readonly number[];
  readonly categories: readonly number[];
  readonly a: number;
  readonly m: number;
}

export function meanPrecision({ precision, shape }: Accumulated, { thresholds, categories, a, m }: Selection): number {
  const [, numRecalls, numCategories, numAreas, numLimits] = shape;
  const values: number[] = [];
  for (const t of thresholds) {
    for (let r = 0; r < numRecalls; r++) {
      for (const k of categories) {
        const value = precision[(((t * numRecalls + r) * numCategories + k) * numAreas + a) * numLimits + m]!;
        if (value > -1) values.push(value);
      }
    }
  }
  return values.length === 0 ? -1 : pairwiseSum(values) / values.length;
}

export function meanRecall({ recall, shape }: Accumulated, { thresholds, categories, a, m }: Selection): number {
  const [, , numCategories, numAreas, numLimits] = shape;
  const values: number[] = [];
  for (const t of thresholds) {
    for (const k of categories) {
      const value = recall[((t * numCategories + k) * numAreas + a) * numLimits + m]!;
      if (value > -1) values.push(value);
    }
  }
  return values.length === 0 ? -1 : pairwiseSum(values) / values.length;
}
