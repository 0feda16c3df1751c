import type { ActivationPolicy, MetricComparison, PolicyDecision, VersionComparison, VersionDetail } from "./types.js";

/** Everything else improves upwards. */
const LOWER_IS_BETTER: ReadonlySet<string> = new Set(["loss", "training_time", "latency_ms", "size_bytes"]);
/** Metrics beside the quality: their difference is shown, never counted as a drop. */
const RATES = ["accuracy", "precision", "recall", "f1_score", "map50", "map50_95", "mask_iou"] as const;
const PRIMARY_ORDER = ["map50_95", "f1_score", "accuracy"] as const;
const TIE = 1e-9;

/** What is compared of a version. */
export type Comparable = Pick<VersionDetail, "model" | "version" | "manifest" | "size_bytes">;

function values(version: Comparable): Map<string, number | null> {
  const { extra = {}, ...own } = version.manifest.metrics;
  const all = new Map<string, number | null>(Object.entries({ latency_ms: null, ...own }));
  // The files are measured, a stated size is only stated.
  all.set("size_bytes", version.manifest.files.length > 0 ? version.size_bytes : (own.size_bytes ?? null));
  for (const [name, value] of Object.entries(extra)) if (!all.has(name)) all.set(name, value);
  return all;
}

function compareMetric(name: string, a: number | null, b: number | null): MetricComparison {
  if (a === null || b === null) return { a, b, delta: null, better: "unknown" };
  const delta = b - a;
  if (Math.abs(delta) <= TIE) return { a, b, delta, better: "tie" };
  return { a, b, delta, better: delta > 0 !== LOWER_IS_BETTER.has(name) ? "b" : "a" };
}

/**
 * Metric by metric: delta = b - a, which one is better (a tie within 1e-9), and by the primary metric which version is.
 * Metrics measured by another definition or on another split are shown, marked not comparable.
 */
export function compareVersions({
  a,
  b,
  primary,
}: {
  a: Comparable;
  b: Comparable;
  primary?: string | undefined;
}): VersionComparison {
  const left = values(a);
  const right = values(b);
  const metrics: Record<string, MetricComparison> = {};
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    metrics[name] = compareMetric(name, left.get(name) ?? null, right.get(name) ?? null);
  }
  const reasons: string[] = [];
  const differs = (what: string, x: string | null, y: string | null) => {
    if (x !== y) reasons.push(`${what} differs: ${x ?? "unknown"} and ${y ?? "unknown"}`);
  };
  differs("metric definition", a.manifest.metric_definition_id, b.manifest.metric_definition_id);
  differs("split hash", a.manifest.dataset.split_hash, b.manifest.dataset.split_hash);
  const deciding =
    primary ?? PRIMARY_ORDER.find((name) => (metrics[name]?.better ?? "unknown") !== "unknown") ?? PRIMARY_ORDER[0];
  return {
    model: a.model,
    a: a.version,
    b: b.version,
    metrics,
    comparable: reasons.length === 0,
    reasons,
    primary: deciding,
    overall: metrics[deciding]?.better ?? "unknown",
  };
}

/**
 * Whether `candidate` should become active: its primary metric is better than the active one's by more than `minDelta`, it is within
 * the limits on latency and size, and no other rate drops by more than `maxDrop`. Without an active version the limits alone decide.
 */
export function decide({
  candidate,
  active,
  policy,
}: {
  candidate: Comparable;
  active: Comparable | null;
  policy: ActivationPolicy;
}): PolicyDecision {
  const reasons: string[] = [];
  let suggest = true;
  const refuse = (reason: string) => {
    suggest = false;
    reasons.push(reason);
  };
  const own = values(candidate);
  const limit = (name: string, maximum: number | undefined) => {
    if (maximum === undefined) return;
    const value = own.get(name) ?? null;
    if (value === null) refuse(`${name} is unknown, the limit is ${maximum}`);
    else if (value > maximum) refuse(`${name} ${value} exceeds the limit ${maximum}`);
  };
  limit("latency_ms", policy.maxLatencyMs);
  limit("size_bytes", policy.maxBytes);
  if (active === null) {
    if (suggest) reasons.push("no version is active");
    const primary =
      policy.primary ?? PRIMARY_ORDER.find((name) => (own.get(name) ?? null) !== null) ?? PRIMARY_ORDER[0];
    return { suggest_activation: suggest, primary, delta: null, reasons, against: null };
  }
  const comparison = compareVersions({ a: active, b: candidate, primary: policy.primary });
  const { primary } = comparison;
  const main = comparison.metrics[primary] ?? { a: null, b: null, delta: null, better: "unknown" as const };
  const gain = main.delta === null ? null : LOWER_IS_BETTER.has(primary) ? -main.delta : main.delta;
  const minDelta = policy.minDelta ?? 0;
  if (!comparison.comparable) refuse(`not comparable: ${comparison.reasons.join("; ")}`);
  if (gain === null) refuse(`${primary} is unknown on one side`);
  else if (gain <= minDelta + TIE) refuse(`${primary} improves by ${gain.toFixed(4)}, more than ${minDelta} is needed`);
  else reasons.push(`${primary} improves by ${gain.toFixed(4)}`);
  if (policy.maxDrop !== undefined) {
    for (const name of RATES) {
      const drop = -(comparison.metrics[name]?.delta ?? 0);
      if (name !== primary && drop > policy.maxDrop)
        refuse(`${name} drops by ${drop.toFixed(4)}, at most ${policy.maxDrop} is allowed`);
    }
  }
  return { suggest_activation: suggest, primary, delta: main.delta, reasons, against: active.version };
}
