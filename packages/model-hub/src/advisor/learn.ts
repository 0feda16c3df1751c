import type { Fact } from "./facts.js";
import type { DatasetFingerprint } from "./fingerprint.js";

const DAY_MS = 24 * 3600 * 1000;
/** What is this old counts half. */
const HALF_LIFE_MS = 180 * DAY_MS;
/** Runs that are asked. */
const NEIGHBOURS = 5;
/** Runs with which experience counts as much as the rules. */
const PRIOR_RUNS = 5;
/** Runs of a value before it can replace another one. */
const MIN_RUNS = 3;
/** Smallest difference of rewards that counts. */
const MIN_GAIN = 0.01;
/** Largest share of one user, where there are enough users. */
const USER_SHARE = 0.2;

/** A finished run that can be learned from. */
export interface LearnedRun {
  readonly run_id: string;
  readonly user: string | null;
  readonly fingerprint: DatasetFingerprint;
  /** Values that were used, by output of the rules. */
  readonly used: Readonly<Record<string, Fact>>;
  /** Metric in 0..1, larger is better; null: the run failed. */
  readonly metric: number | null;
  /** Runs are compared where these are equal: the same metric, measured on a split that was held out. */
  readonly metric_definition: string;
  /** Mean overall rating 1..5; null: not rated. */
  readonly rating: number | null;
  /** Milliseconds since the epoch. */
  readonly finished_at: number;
}

/** What experience says about one output. */
export interface Adjustment {
  readonly output: string;
  readonly from: Fact;
  readonly to: Fact;
  /** Runs that used this output. */
  readonly runs: number;
  /** Share of experience in the result, n / (n + 5). */
  readonly trust: number;
  /** Mean distance of the runs that were asked; small is near. */
  readonly distance: number;
  readonly reason: string;
}

/** Outputs of which a step of a percent and one of a thousandth are as different as of 1 and 0.1. */
const LOGARITHMIC = new Set(["learning_rate"]);
/** Numbers of these are whole. */
const WHOLE = new Set(["lora_epochs", "student_epochs", "warmup_epochs"]);
/** What the architecture or another output fixes is not averaged: values are chosen among those that were used. */
const AVERAGED = new Set(["learning_rate", "lora_epochs", "student_epochs", "box_threshold", "text_threshold"]);

/** Half metric, half rating; the metric alone where nobody rated. A failed run is worth nothing. */
export function rewardOf({ metric, rating }: Pick<LearnedRun, "metric" | "rating">): number {
  const measured = metric ?? 0;
  return rating === null ? measured : 0.5 * measured + 0.5 * ((rating - 1) / 4);
}

/** Numbers of a fingerprint that tell data sets apart; counts in logarithms. */
function features(fingerprint: DatasetFingerprint): number[] {
  const log = (value: number) => Math.log10(1 + value);
  return [
    log(fingerprint.images),
    log(fingerprint.annotations),
    log(fingerprint.classes),
    fingerprint.objects_per_image.p50,
    Math.log10(Math.max(1e-4, fingerprint.short_side_p10)),
    fingerprint.small_share,
    fingerprint.overlap_share,
    fingerprint.gini,
    log(fingerprint.imbalance),
    fingerprint.has_bbox ? 1 : 0,
    fingerprint.has_segmentation ? 1 : 0,
  ];
}

/** Distances of runs to a data set: root mean square over z-scored features; features that are equal everywhere take no part. */
function distances(fingerprint: DatasetFingerprint, runs: readonly LearnedRun[]): number[] {
  const rows = [fingerprint, ...runs.map((run) => run.fingerprint)].map(features);
  const scales = rows[0]!.map((_, column) => {
    const values = rows.map((row) => row[column]!);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  });
  const used = scales.map((scale) => scale > 1e-9);
  const count = Math.max(1, used.filter(Boolean).length);
  return rows.slice(1).map((row) => {
    const squares = row.reduce(
      (sum, value, i) => (used[i] ? sum + ((value - rows[0]![i]!) / scales[i]!) ** 2 : sum),
      0,
    );
    return Math.sqrt(squares / count);
  });
}

interface Neighbour {
  readonly run: LearnedRun;
  readonly distance: number;
  /** Nearness times freshness, before users are balanced. */
  readonly weight: number;
}

/**
 * Changes what the rules decided to what did better in finished runs on similar data: numbers move towards the rewarded mean of the five
 * nearest runs (rates in logarithms), names become the one whose nearest five runs were rewarded best, if it is better by more than
 * chance. Experience counts n / (n + 5) against the rules, halves every 180 days, and no user has more than a fifth of it once five took
 * part.
 *
 * @param choices - of the rules; lists are left alone
 * @param now - milliseconds since the epoch
 */
export function learnFrom({
  runs,
  fingerprint,
  choices,
  metric_definition,
  now,
  protect = [],
}: {
  runs: readonly LearnedRun[];
  fingerprint: DatasetFingerprint;
  choices: Readonly<Record<string, Fact | readonly Fact[]>>;
  metric_definition: string;
  now: number;
  /** Outputs that stay: what the user decided, what a limit fixed. */
  protect?: readonly string[];
}): Adjustment[] {
  const comparable = runs.filter((run) => run.metric_definition === metric_definition);
  const far = distances(fingerprint, comparable);
  const all = comparable.map((run, i): Neighbour => {
    const age = Math.max(0, now - run.finished_at);
    return { run, distance: far[i]!, weight: (1 / (far[i]! + 0.1)) * 0.5 ** (age / HALF_LIFE_MS) };
  });
  return Object.entries(choices).flatMap(([output, from]) => {
    if (Array.isArray(from) || protect.includes(output)) return [];
    const matching = all.filter(({ run }) => run.used[output] !== undefined);
    if (matching.length === 0) return [];
    const value = from as Fact;
    const adjustment =
      AVERAGED.has(output) && typeof value === "number"
        ? average(output, value, matching)
        : choose(output, value, matching);
    return adjustment === null || adjustment.to === value ? [] : [adjustment];
  });
}

/** The nearest; of equally near ones the newest: what was said last counts. */
function nearest(neighbours: readonly Neighbour[]): Neighbour[] {
  return neighbours
    .toSorted((a, b) => a.distance - b.distance || b.run.finished_at - a.run.finished_at)
    .slice(0, NEIGHBOURS);
}

/** Weights with which no user has more than a fifth, or an even share where there are fewer than five. */
function balanced(neighbours: readonly Neighbour[]): number[] {
  const users = new Map<string | null, number>();
  for (const { run, weight } of neighbours) users.set(run.user, (users.get(run.user) ?? 0) + weight);
  const total = neighbours.reduce((sum, { weight }) => sum + weight, 0);
  const limit = total * Math.max(USER_SHARE, 1 / users.size);
  return neighbours.map(({ run, weight }) => weight * Math.min(1, limit / users.get(run.user)!));
}

const trustIn = (runs: number): number => runs / (runs + PRIOR_RUNS);

const meanDistance = (neighbours: readonly Neighbour[]): number =>
  neighbours.reduce((sum, { distance }) => sum + distance, 0) / neighbours.length;

function average(output: string, from: number, matching: readonly Neighbour[]): Adjustment | null {
  const near = nearest(matching.filter(({ run }) => run.metric !== null && typeof run.used[output] === "number"));
  if (near.length === 0) return null;
  const inLog = LOGARITHMIC.has(output);
  const weights = balanced(near).map((weight, i) => weight * rewardOf(near[i]!.run));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return null;
  const to = (value: number) => (inLog ? Math.log(value) : value);
  const neighbours = near.reduce((sum, { run }, i) => sum + weights[i]! * to(run.used[output] as number), 0) / total;
  const trust = trustIn(matching.length);
  const blended = (1 - trust) * to(from) + trust * neighbours;
  const exact = inLog ? Math.exp(blended) : blended;
  const value = WHOLE.has(output) ? Math.round(exact) : Number(exact.toPrecision(4));
  return {
    output,
    from,
    to: value,
    runs: matching.length,
    trust,
    distance: meanDistance(near),
    reason: `${matching.length} finished run${matching.length === 1 ? "" : "s"} on similar data used ${Number((inLog ? Math.exp(neighbours) : neighbours).toPrecision(3))} on average, the better ones counting more`,
  };
}

function choose(output: string, from: Fact, matching: readonly Neighbour[]): Adjustment | null {
  const byValue = new Map<Fact, Neighbour[]>();
  for (const neighbour of matching) {
    const value = neighbour.run.used[output]!;
    byValue.set(value, [...(byValue.get(value) ?? []), neighbour]);
  }
  const rated = [...byValue].flatMap(([value, all]) => {
    if (all.length < MIN_RUNS) return [];
    const near = nearest(all);
    const weights = balanced(near);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const rewards = near.map(({ run }) => rewardOf(run));
    const mean = rewards.reduce((sum, reward, i) => sum + weights[i]! * reward, 0) / total;
    const variance = rewards.reduce((sum, reward, i) => sum + weights[i]! * (reward - mean) ** 2, 0) / total;
    return [{ value, near, mean, error: Math.sqrt(variance / near.length), runs: all.length }];
  });
  const own = rated.find(({ value }) => value === from);
  const best = rated.toSorted((a, b) => b.mean - a.mean)[0];
  if (own === undefined || best === undefined || best === own) return null;
  const gain = best.mean - own.mean;
  if (gain <= Math.max(MIN_GAIN, 2 * Math.hypot(best.error, own.error))) return null;
  const trust = trustIn(matching.length);
  // The rules have the rest of the say, and they are for `from`.
  if (trust <= 0.5) return null;
  return {
    output,
    from,
    to: best.value,
    runs: matching.length,
    trust,
    distance: meanDistance(best.near),
    reason: `on similar data ${String(best.value)} was rewarded ${best.mean.toFixed(2)} in ${best.runs} runs, ${String(from)} ${own.mean.toFixed(2)} in ${own.runs}`,
  };
}
