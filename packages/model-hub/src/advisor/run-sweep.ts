import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { mapConcurrent } from "../internal/map-concurrent.js";
import { writeFileAtomic } from "../internal/write-file.js";
import type { Trial } from "./plan-trials.js";

/** How a trial ended. */
export interface TrialResult extends Trial {
  readonly state: "succeeded" | "failed" | "pruned";
  /** Larger is better; null where it failed before the first report. */
  readonly metric: number | null;
  /** Metric after each step that was reported. */
  readonly curve: readonly number[];
  readonly error: string | null;
}

/** What happens in a sweep. */
export type SweepEvent =
  | { readonly type: "trial"; readonly result: TrialResult; readonly done: number; readonly total: number }
  | { readonly type: "step"; readonly trial: Trial; readonly step: number; readonly metric: number };

/** Result of {@link runSweep}. */
export interface SweepResult {
  /** Best first; failures last. */
  readonly ranking: readonly TrialResult[];
  readonly best: TrialResult | null;
}

/** Options of {@link runSweep}. */
export interface SweepOptions {
  readonly trials: readonly Trial[];
  /**
   * Trains and measures one trial. After each step (an epoch) call `report`: it throws what ends the trial when it is hopeless.
   * @returns the final metric, larger is better
   */
  readonly run: (trial: Trial, context: { report: (metric: number) => void; signal: AbortSignal }) => Promise<number>;
  /** Where each trial is saved as it ends; with it a sweep that was interrupted goes on. @defaultValue nowhere */
  readonly directory?: string | null;
  /** @defaultValue 1 */
  readonly concurrency?: number;
  /**
   * Ends a trial whose best metric after `minSteps` steps is below the median of what at least `minTrials` others had at that step.
   * null: every trial runs to its end. @defaultValue null
   */
  readonly prune?: { readonly minSteps: number; readonly minTrials: number } | null;
  readonly onEvent?: (event: SweepEvent) => void;
  readonly signal?: AbortSignal;
}

/** Ends a trial that has no chance any more. */
class HopelessTrial extends Error {}

/**
 * Runs the trials of a sweep and ranks them. A trial that fails stops no other; each is saved as it ends.
 * @throws `signal.reason`; what ended until then is saved
 */
export async function runSweep({
  trials,
  run,
  directory = null,
  concurrency = 1,
  prune = null,
  onEvent = () => undefined,
  signal = new AbortController().signal,
}: SweepOptions): Promise<SweepResult> {
  const known = directory === null ? new Map<string, TrialResult>() : await readResults(directory);
  const curves = new Map<string, number[]>();
  for (const { id, curve } of known.values()) curves.set(id, [...curve]);
  let done = 0;
  const results = await mapConcurrent(trials, concurrency, async (trial) => {
    signal.throwIfAborted();
    const before = known.get(trial.id);
    const result = before === undefined ? await runTrial(trial) : { ...before, ...trial };
    if (before === undefined && directory !== null) {
      await writeFileAtomic(join(directory, `trial-${trial.id}.json`), `${JSON.stringify(result, null, 2)}\n`);
    }
    onEvent({ type: "trial", result, done: ++done, total: trials.length });
    return result;
  });
  const ranking = results.toSorted((a, b) => (b.metric ?? -Infinity) - (a.metric ?? -Infinity) || a.index - b.index);
  const best = ranking.find(({ state }) => state === "succeeded") ?? null;
  if (directory !== null) await writeFileAtomic(join(directory, "results.csv"), table(ranking));
  return { ranking, best };

  async function runTrial(trial: Trial): Promise<TrialResult> {
    const curve: number[] = [];
    curves.set(trial.id, curve);
    const report = (metric: number) => {
      curve.push(metric);
      onEvent({ type: "step", trial, step: curve.length, metric });
      if (prune !== null && isHopeless(trial.id, curve)) throw new HopelessTrial();
    };
    try {
      const metric = await run(trial, { report, signal });
      if (!Number.isFinite(metric)) throw new Error(`The metric is ${metric}.`);
      return { ...trial, state: "succeeded", metric, curve, error: null };
    } catch (error) {
      // An interrupted trial is not over: it runs again when the sweep goes on.
      signal.throwIfAborted();
      const isPruned = error instanceof HopelessTrial;
      return {
        ...trial,
        state: isPruned ? "pruned" : "failed",
        metric: isPruned ? Math.max(...curve) : null,
        curve,
        error: isPruned ? null : error instanceof Error ? error.message : String(error),
      };
    }
  }

  function isHopeless(id: string, curve: readonly number[]): boolean {
    const step = curve.length;
    if (step < prune!.minSteps) return false;
    const others = [...curves].flatMap(([other, values]) =>
      other !== id && values.length >= step ? [bestOf(values, step)] : [],
    );
    if (others.length < prune!.minTrials) return false;
    return bestOf(curve, step) < median(others);
  }
}

const bestOf = (values: readonly number[], steps: number): number => Math.max(...values.slice(0, steps));

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

async function readResults(directory: string): Promise<Map<string, TrialResult>> {
  await mkdir(directory, { recursive: true });
  const results = new Map<string, TrialResult>();
  for (const name of await readdir(directory)) {
    if (!/^trial-[0-9a-f]+\.json$/.test(name)) continue;
    const result = JSON.parse(await readFile(join(directory, name), "utf8")) as TrialResult;
    // A failure may have been the machine's: it is tried again.
    if (result.state !== "failed") results.set(result.id, result);
  }
  return results;
}

/** Rank, trial, state, metric and every parameter; CSV. */
function table(ranking: readonly TrialResult[]): string {
  const names = [...new Set(ranking.flatMap(({ params }) => Object.keys(params)))].sort();
  const cell = (value: unknown) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = ranking.map(({ index, state, metric, params, error }, rank) =>
    [rank + 1, index, state, metric, ...names.map((name) => params[name]), error].map(cell).join(","),
  );
  return `${["rank", "trial", "state", "metric", ...names, "error"].join(",")}\n${rows.join("\n")}\n`;
}
