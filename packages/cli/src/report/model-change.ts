import { known, knownScore } from "@seg/train/charts";
import type { ModelRow } from "./report-data.js";
import { fp32Of, ratio } from "./verdict.js";

/** What a quantised model gains and loses against fp32; null where either side was not measured. */
export interface ModelChange {
  readonly model: string;
  readonly against: string;
  /** Differences of scores, model minus fp32. */
  readonly boxMap50: number | null;
  readonly boxMap: number | null;
  readonly maskMap50: number | null;
  readonly maskMap: number | null;
  readonly maskIou: number | null;
  /** Model over fp32; below 1 is better. */
  readonly sizeShare: number | null;
  readonly memoryShare: number | null;
  /** How many times as fast as fp32. */
  readonly latencyGain: number | null;
  readonly fpsGain: number | null;
}

/** Change of an INT8 row against the fp32 row; null for other rows, and without one. */
export function modelChange(model: ModelRow, models: readonly ModelRow[]): ModelChange | null {
  const reference = fp32Of(models);
  if (model.kind !== "student-int8" || reference === null || reference === model) return null;
  const difference = (value: number | null | undefined, other: number | null | undefined) => {
    const [a, b] = [knownScore(value), knownScore(other)];
    return a === null || b === null ? null : a - b;
  };
  return {
    model: model.name,
    against: reference.name,
    boxMap50: difference(model.box?.map50, reference.box?.map50),
    boxMap: difference(model.box?.map, reference.box?.map),
    maskMap50: difference(model.mask?.map50, reference.mask?.map50),
    maskMap: difference(model.mask?.map, reference.mask?.map),
    maskIou: difference(model.maskIou, reference.maskIou),
    sizeShare: ratio(model.sizeBytes, reference.sizeBytes),
    memoryShare: ratio(model.peakMemoryBytes, reference.peakMemoryBytes),
    latencyGain: ratio(known(reference.latencyMs?.p50), model.latencyMs?.p50),
    fpsGain: ratio(model.fps, reference.fps),
  };
}
