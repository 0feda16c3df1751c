import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadStateDict, type Module, readSafetensors, type StateDict, stateDict, writeSafetensors } from "@seg/nn";
import type { OptimizerState } from "@seg/train";

/** What a run needs besides tensors. */
export interface RunState {
  /** Steps done. */
  readonly step: number;
  /** CPU-seconds spent on training steps so far, all threads. */
  readonly cpuSeconds: number;
  /** The options that must be the same on resume. */
  readonly options: Readonly<Record<string, string | number>>;
}

const FILE = "checkpoint.safetensors";

/** Model, optimiser and progress in one file, replaced atomically. */
export function saveCheckpoint(dir: string, model: Module, optimizer: OptimizerState, run: RunState): void {
  const dict: StateDict = new Map();
  for (const [name, tensor] of stateDict(model)) dict.set(`model/${name}`, tensor);
  for (const [name, data] of optimizer) dict.set(`optim/${name}`, { dtype: "F32", shape: [data.length], data });
  writeSafetensors(join(dir, FILE), dict, { metadata: { run: JSON.stringify(run) } });
}

/** Restores what {@link saveCheckpoint} wrote; null when there is none. */
export function loadCheckpoint(dir: string, model: Module, optimizer: OptimizerState): RunState | null {
  const path = join(dir, FILE);
  if (!existsSync(path)) return null;
  const file = readSafetensors(path);
  const weights: StateDict = new Map();
  for (const [key, tensor] of file.toStateDict()) {
    if (key.startsWith("model/")) weights.set(key.slice(6), tensor);
    else optimizer.set(key.slice(6), tensor.data as Float32Array);
  }
  loadStateDict(model, weights);
  return JSON.parse(file.metadata["run"]!) as RunState;
}
