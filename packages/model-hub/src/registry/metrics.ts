import { HubError } from "../errors.js";
import type { VersionMetrics } from "./types.js";

const RATES = ["accuracy", "precision", "recall", "f1_score", "map50", "map50_95", "mask_iou"] as const;
const NOT_NEGATIVE = ["training_time", "latency_ms"] as const;
const COUNTS = ["training_samples", "size_bytes"] as const;
const KNOWN: ReadonlySet<string> = new Set([...RATES, ...NOT_NEGATIVE, ...COUNTS, "loss", "extra"]);

/**
 * Completes and checks metrics: unknown is null, and a missing F1 follows from precision and recall as 2PR / (P + R), 0 when P + R = 0.
 * @throws {@link HubError} INVALID_METRIC for NaN, infinities, rates outside [0, 1], negative times, fractions of counts, unknown names
 */
export function checkMetrics(metrics: Partial<VersionMetrics>): VersionMetrics {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new HubError({
      code: "INVALID_METRIC",
      message: `Metric ${name} is ${String(value)}, expected ${expected}. Nothing was registered.`,
      details: { metric: name, value: typeof value === "number" ? String(value) : null, expected },
    });
  };
  const checked = (name: string, value: unknown, isValid: (value: number) => boolean, expected: string) => {
    if (value === null || value === undefined) return null;
    if (typeof value !== "number" || !Number.isFinite(value) || !isValid(value)) refuse(name, value, expected);
    return value as number;
  };
  for (const name of Object.keys(metrics)) {
    if (!KNOWN.has(name)) refuse(name, "no field of a version", 'a known metric; put others under "extra"');
  }
  const rate = (name: (typeof RATES)[number]) =>
    checked(name, metrics[name], (value) => value >= 0 && value <= 1, "a rate in [0, 1]");
  const count = (name: (typeof COUNTS)[number]) =>
    checked(name, metrics[name], (value) => Number.isSafeInteger(value) && value >= 0, "an integer of at least 0");
  const notNegative = (name: (typeof NOT_NEGATIVE)[number]) =>
    checked(name, metrics[name], (value) => value >= 0, "a number of at least 0");

  const precision = rate("precision");
  const recall = rate("recall");
  const extra = Object.entries(metrics.extra ?? {}).map(
    ([name, value]) => [name, checked(`extra.${name}`, value, () => true, "a finite number")] as const,
  );
  return {
    accuracy: rate("accuracy"),
    precision,
    recall,
    f1_score: rate("f1_score") ?? f1Score(precision, recall),
    loss: checked("loss", metrics.loss, () => true, "a finite number"),
    map50: rate("map50"),
    map50_95: rate("map50_95"),
    mask_iou: rate("mask_iou"),
    training_samples: count("training_samples"),
    training_time: notNegative("training_time"),
    ...(metrics.latency_ms === undefined ? {} : { latency_ms: notNegative("latency_ms") }),
    ...(metrics.size_bytes === undefined ? {} : { size_bytes: count("size_bytes") }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

/** 2PR / (P + R), 0 when P + R = 0, null when either is unknown. */
export function f1Score(precision: number | null, recall: number | null): number | null {
  if (precision === null || recall === null) return null;
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}
