import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "@seg/nn";
import { type FitResult, RunDirectory, type TrainEvent } from "@seg/train";
import { writeChart } from "@seg/train/charts";
import { ablationPlot } from "./ablation-plot.js";
import { ConfigError } from "./errors.js";
import type { LossGains } from "./losses/student-loss.js";
import { studentT } from "./student-t.js";
import type { TrainStudentConfig } from "./train-config.js";
import { trainStudent } from "./train-student.js";

/** Control arms; each adds to the one before: labels only, the teacher's labels, class logits, boxes, masks, features. */
export const ABLATION_ARMS = ["gt", "hard", "cls", "box", "mask", "feat"] as const;
/** One control arm of the ablation: labels alone, or labels and one kind of the teachers' answers. */
export type AblationArm = (typeof ABLATION_ARMS)[number];

/** What an arm adds, in words. */
const ADDS: Readonly<Record<AblationArm, string>> = {
  gt: "labels only",
  hard: "+ labels of the teacher",
  cls: "+ class scores",
  box: "+ boxes",
  mask: "+ masks",
  feat: "+ features",
};

/** One run of one arm. */
export interface AblationRun {
  readonly arm: AblationArm;
  readonly seed: number;
  /** Optimiser steps, equal in all runs. */
  readonly steps: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Mean of `kd/grad_ratio` over the epochs; null for arms without distillation terms. */
  readonly gradRatio: number | null;
}

/** Mean and deviation of an arm, and its difference to the labels alone. */
export interface ArmSummary {
  readonly arm: AblationArm;
  readonly adds: string;
  readonly runs: number;
  readonly mean: number;
  /** Sample deviation over the seeds; 0 for one. */
  readonly deviation: number;
  /** Mean over the seeds of (arm - first arm); null for the first arm. */
  readonly difference: number | null;
  /** Sample deviation of that difference over the seeds. */
  readonly differenceDeviation: number | null;
}

/** Result of {@link ablate}. */
export interface AblationReport {
  readonly metric: string;
  readonly runs: readonly AblationRun[];
  readonly arms: readonly ArmSummary[];
  /** Arms that were left out because the teacher has nothing for them. */
  readonly skipped: readonly { readonly arm: AblationArm; readonly reason: string }[];
  /** Sentences. */
  readonly verdict: readonly string[];
}

/** Progress of {@link ablate}: the events of its trainings. */
export interface AblationEvent {
  readonly arm: AblationArm;
  readonly seed: number;
  /** From 1. */
  readonly run: number;
  readonly runs: number;
  readonly event: TrainEvent;
}

const OFF: Partial<LossGains> = { kdCls: 0, kdBox: 0, kdMask: 0, kdFeat: 0 };
const TERMS: readonly (readonly [AblationArm, keyof LossGains])[] = [
  ["cls", "kdCls"],
  ["box", "kdBox"],
  ["mask", "kdMask"],
  ["feat", "kdFeat"],
];

/** The configuration of one arm: what it does not have yet is switched off. */
function armConfig(cfg: TrainStudentConfig, arm: AblationArm): TrainStudentConfig {
  const { distillation, ...labels } = cfg;
  if (arm === "gt" || distillation === undefined) return labels;
  const reached = ABLATION_ARMS.indexOf(arm);
  const off = TERMS.filter(([name]) => ABLATION_ARMS.indexOf(name) > reached).map(([, gain]) => [gain, 0] as const);
  const gains = arm === "hard" ? { ...cfg.gains, ...OFF } : { ...cfg.gains, ...Object.fromEntries(off) };
  return { ...cfg, gains };
}

/** Why there is nothing to compare for an arm; null when there is. */
function emptiness({ distillation, train, gains = {} }: TrainStudentConfig, arm: AblationArm): string | null {
  if (arm === "gt") return train.dataset.annotations.length === 0 ? "there are no labels" : null;
  if (distillation === undefined) return "there is no teacher";
  const { counts } = distillation;
  switch (arm) {
    case "hard":
      return counts.pseudo === 0 ? "the teacher added no label" : null;
    case "cls":
      return counts.matched === 0 || gains.kdCls === 0 ? "no class scores are distilled" : null;
    case "box":
      return counts.matched === 0 || gains.kdBox === 0 ? "no boxes are distilled" : null;
    case "mask":
      return counts.masks === 0 || gains.kdMask === 0 ? "no masks are distilled" : null;
    case "feat":
      return counts.featureMaps === 0 || gains.kdFeat === 0 ? "no features are distilled" : null;
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Sample deviation; 0 for fewer than two values. */
function deviationOf(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const m = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / (values.length - 1));
}

const shown = (value: number): string => value.toFixed(3);
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(3)}`;

/** Means, differences on equal seeds, and what they mean in words. */
export function summarizeAblation({
  runs,
  metric,
  skipped = [],
}: {
  runs: readonly AblationRun[];
  metric: string;
  skipped?: AblationReport["skipped"];
}): AblationReport {
  const present = ABLATION_ARMS.filter((arm) => runs.some((run) => run.arm === arm));
  const valuesOf = (arm: AblationArm) =>
    new Map(runs.filter((run) => run.arm === arm).map(({ seed, metrics }) => [seed, metrics[metric] ?? Number.NaN]));
  const [first] = present;
  const baseline = first === undefined ? new Map<number, number>() : valuesOf(first);
  const arms = present.map((arm): ArmSummary => {
    const values = valuesOf(arm);
    const list = [...values.values()];
    const differences = [...values].flatMap(([seed, value]) =>
      baseline.has(seed) ? [value - baseline.get(seed)!] : [],
    );
    const isFirst = arm === first;
    return {
      arm,
      adds: ADDS[arm],
      runs: list.length,
      mean: mean(list),
      deviation: deviationOf(list),
      difference: isFirst ? null : mean(differences),
      differenceDeviation: isFirst ? null : deviationOf(differences),
    };
  });
  const verdict: string[] = [];
  for (const { arm, adds, mean: m, deviation, difference, differenceDeviation, runs: count } of arms) {
    const value = `${shown(m)}${count > 1 ? ` (deviation ${shown(deviation)}, ${count} seeds)` : " (one seed)"}`;
    if (difference === null || differenceDeviation === null) {
      verdict.push(`${arm} (${adds}): ${metric} ${value}.`);
      continue;
    }
    // The paired t test at 95 %: with two seeds only differences of nine deviations are beyond chance, with three of 2.5.
    const error = differenceDeviation / Math.sqrt(count);
    const words =
      count === 1
        ? "one seed cannot tell this from chance"
        : Math.abs(difference) <= studentT(count - 1) * error
          ? "no difference that the seeds do not explain"
          : `${difference > 0 ? "better" : "worse"} than ${first === "gt" ? "the labels alone" : first}`;
    verdict.push(`${arm} (${adds}): ${metric} ${value}, ${signed(difference)} against ${first}: ${words}.`);
  }
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  if (seeds < 3)
    verdict.push(`${seeds === 1 ? "One seed shows" : `${seeds} seeds show`} a tendency; a claim needs at least 3.`);
  for (const { arm, reason } of skipped) verdict.push(`${arm} was left out: ${reason}.`);
  return { metric, runs, arms, skipped, verdict };
}

/** Rows of `kd_ablation.csv`: arm, seed, steps, metrics, gradient ratio. */
export function ablationCsv(runs: readonly AblationRun[]): string {
  const names = [...new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)))];
  const cell = (value: number | null | undefined) =>
    value === undefined || value === null || Number.isNaN(value) ? "" : String(Number(value.toPrecision(6)));
  const rows = runs.map(({ arm, seed, steps, metrics, gradRatio }) =>
    [arm, seed, steps, ...names.map((name) => cell(metrics[name])), cell(gradRatio)].join(","),
  );
  return `${["arm", "seed", "steps", ...names, "kd/grad_ratio"].join(",")}\n${rows.map((row) => `${row}\n`).join("")}`;
}

/** Mean of the logged ratio over the epochs that have one. */
function meanRatio(directory: string): number | null {
  const file = join(directory, "metrics.jsonl");
  if (!existsSync(file)) return null;
  const ratios = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const ratio = (JSON.parse(line) as { train: Record<string, number> }).train["kd_grad_ratio"];
      return ratio === undefined ? [] : [ratio];
    });
  return ratios.length === 0 ? null : mean(ratios);
}

/**
 * Trains the control arms of a distillation: the same initial weights, order, augmentation and number of optimiser steps per seed, so that what differs is the teacher. Runs
 * that are finished are not repeated; an interrupted one goes on where it stopped. Writes `kd_ablation.csv`, `.json`, `.svg` and, where sharp is installed, `.png` below `directory`.
 *
 * @param cfg - of the whole distillation; `directory` and `seed` come from here
 * @param arms - @defaultValue all that the teacher has something for
 * @param seeds - @defaultValue [cfg.seed, cfg.seed + 1]
 * @param metric - compared in the verdict; @defaultValue "mAP50"
 * @throws ConfigError without a validation split or seeds, and the errors of {@link trainStudent}
 */
export async function* ablate(
  cfg: TrainStudentConfig,
  {
    directory = cfg.directory,
    arms = ABLATION_ARMS,
    seeds = [cfg.seed ?? 0, (cfg.seed ?? 0) + 1],
    metric = "mAP50",
    signal,
  }: {
    directory?: string;
    arms?: readonly AblationArm[];
    seeds?: readonly number[];
    metric?: string;
    signal?: AbortSignal;
  } = {},
): AsyncGenerator<AblationEvent, AblationReport, undefined> {
  if (cfg.val === undefined)
    throw new ConfigError({ field: "val", expected: "a validation split to compare the arms on", actual: null });
  if (seeds.length === 0 || new Set(seeds).size !== seeds.length)
    throw new ConfigError({ field: "seeds", expected: "different seeds, at least one", actual: seeds });
  const skipped = arms.flatMap((arm) => {
    const reason = emptiness(cfg, arm);
    return reason === null ? [] : [{ arm, reason }];
  });
  const wanted = arms.filter((arm) => skipped.every((entry) => entry.arm !== arm));
  const images = (cfg.distillation?.data ?? cfg.train).dataset.images.length;
  const batch = Math.min(cfg.batch ?? 16, images, cfg.train.dataset.images.length);
  const stepsPerEpoch = cfg.stepsPerEpoch ?? Math.ceil(images / batch);
  const runs: AblationRun[] = [];
  const total = wanted.length * seeds.length;
  for (const arm of wanted) {
    for (const seed of seeds) {
      signal?.throwIfAborted();
      const folder = join(directory, "arms", `${arm}-seed${seed}`);
      const done = join(folder, "result.json");
      if (existsSync(done)) {
        runs.push(JSON.parse(readFileSync(done, "utf8")) as AblationRun);
        continue;
      }
      // Early stopping would end the arms at different steps.
      const checkpoint = { ...cfg.checkpoint, early_stopping: { enabled: false } };
      const run = {
        ...armConfig(cfg, arm),
        ...{ directory: folder, seed, batch, stepsPerEpoch, checkpoint, resume: true, plots: false },
      };
      let result: FitResult | null = null;
      for await (const event of trainStudent(run, signal ? { signal } : {})) {
        if (event.type === "end") result = event.result;
        yield { arm, seed, run: runs.length + 1, runs: total, event };
      }
      signal?.throwIfAborted();
      const { step, metrics } = result!;
      const entry: AblationRun = { arm, seed, steps: step, metrics: metrics ?? {}, gradRatio: meanRatio(folder) };
      writeFileAtomic(done, [Buffer.from(`${JSON.stringify(entry, null, 2)}\n`)]);
      runs.push(entry);
    }
  }
  const report = summarizeAblation({ runs, metric, skipped });
  await writeChart(new RunDirectory(directory), "kd_ablation", ablationPlot(report));
  writeFileAtomic(join(directory, "kd_ablation.csv"), [Buffer.from(ablationCsv(runs))]);
  writeFileAtomic(join(directory, "kd_ablation.json"), [Buffer.from(`${JSON.stringify(report, null, 2)}\n`)]);
  return report;
}
