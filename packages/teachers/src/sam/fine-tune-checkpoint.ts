import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors, type StateDict, writeSafetensors } from "@seg/nn";
import { type OptimizerState, ResumeMismatchError } from "@seg/train";
import type { SamEvaluation } from "./evaluate.js";

/** Where a run stands. All of it is JSON, and doubles survive JSON. */
export interface FineTuneProgress {
  /** Steps done. */
  readonly step: number;
  readonly losses: readonly number[];
  readonly before: SamEvaluation | null;
  /** Evaluations since the best one. */
  readonly stale: number;
  readonly best: { readonly step: number; readonly evaluation: SamEvaluation } | null;
}

/** Tensors of a run by parameter name. */
export interface FineTuneTensors {
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly best: ReadonlyMap<string, Float32Array> | null;
  readonly optimizer: OptimizerState;
}

/** What must be the same for a run to go on. */
export type FineTuneIdentity = Readonly<Record<string, unknown>>;

const fileOf = (dir: string): string => join(dir, "checkpoint.safetensors");

/** Adapters, optimiser and progress in one file, replaced atomically. Random numbers follow from (seed, step) and need no state. */
export function saveFineTune(
  dir: string,
  { values, best, optimizer }: FineTuneTensors,
  progress: FineTuneProgress,
  identity: FineTuneIdentity,
): void {
  const dict: StateDict = new Map();
  const add = (prefix: string, tensors: ReadonlyMap<string, Float32Array>): void => {
    for (const [name, data] of tensors) dict.set(`${prefix}/${name}`, { dtype: "F32", shape: [data.length], data });
  };
  add("values", values);
  add("optim", optimizer);
  if (best) add("best", best);
  const metadata = { progress: JSON.stringify(progress), identity: JSON.stringify(identity) };
  writeSafetensors(fileOf(dir), dict, { metadata });
}

/**
 * Reads what {@link saveFineTune} wrote; null when there is nothing.
 * @param optimizer - receives the slots
 * @throws {@link ResumeMismatchError} naming what differs from `identity`, SafetensorsFormatError for a damaged file
 */
export function loadFineTune(
  dir: string,
  identity: FineTuneIdentity,
  optimizer: OptimizerState,
): { values: Map<string, Float32Array>; best: Map<string, Float32Array> | null; progress: FineTuneProgress } | null {
  const path = fileOf(dir);
  if (!existsSync(path)) return null;
  const file = readSafetensors(path);
  const stored = JSON.parse(file.metadata["identity"] ?? "{}") as Record<string, unknown>;
  const differences = Object.keys({ ...identity, ...stored })
    .filter((key) => JSON.stringify(stored[key]) !== JSON.stringify(identity[key]))
    .map((key) => ({ key, saved: stored[key], current: identity[key] }));
  if (differences.length > 0) throw new ResumeMismatchError({ differences });
  const values = new Map<string, Float32Array>();
  const best = new Map<string, Float32Array>();
  for (const [key, { data }] of file.toStateDict()) {
    const [kind] = key.split("/", 1);
    const name = key.slice(kind!.length + 1);
    if (kind === "optim") optimizer.set(name, Float32Array.from(data as Float32Array));
    else (kind === "best" ? best : values).set(name, Float32Array.from(data as Float32Array));
  }
  const progress = JSON.parse(file.metadata["progress"]!) as FineTuneProgress;
  return { values, best: best.size > 0 ? best : null, progress };
}

/** A finished run leaves no checkpoint. */
export function removeFineTune(dir: string): void {
  rmSync(fileOf(dir), { force: true });
}
