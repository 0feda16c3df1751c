import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { type CheckpointConfig, type ResolvedCheckpointConfig, resolveCheckpointConfig } from "./checkpoint-config.js";
import {
  type CheckpointState,
  type CheckpointTensors,
  encodeCheckpoint,
  headerBytes,
  peekCheckpoint,
  readCheckpoint,
} from "./checkpoint-file.js";
import { formatCheckpointName, safetensorsName } from "./checkpoint-name.js";
import type { JsonObject } from "./config.js";
import {
  listDirectory,
  removeStaleTemporaries,
  syncDirectory,
  type WriteFileSystem,
  writeFileDurably,
} from "./durable-file.js";
import { CheckpointCorruptError, CheckpointWriteError } from "./errors.js";
import { EarlyStopping, type EarlyStoppingState, isBetter } from "./improvement.js";

/** What {@link CheckpointManager.save} is given. */
export interface CheckpointContent {
  /** Finished epochs. */
  readonly epoch: number;
  /** Batches seen. */
  readonly step: number;
  readonly tensors: CheckpointTensors;
  /** Further state; `scheduler`, `scaler` and `rng` obey the `save_*` options. */
  readonly state?: JsonObject;
}

/** The best evaluated epoch so far. */
export interface BestCheckpoint extends JsonObject {
  readonly epoch: number;
  readonly step: number;
  readonly value: number;
  readonly metric: string;
}

/** What one save did. */
export interface SaveReport {
  /** Written files, absolute. */
  readonly files: readonly string[];
  readonly improved: boolean;
  readonly warnings: readonly string[];
}

/** A verified checkpoint. */
export interface LoadedCheckpoint {
  readonly path: string;
  readonly epoch: number;
  readonly step: number;
  readonly tensors: CheckpointTensors;
  readonly state: CheckpointState;
  /** Parts that were not saved, so that resuming is not bit-exact. */
  readonly lost: readonly string[];
  readonly warnings: readonly string[];
}

interface IndexedFile extends JsonObject {
  readonly file: string;
  readonly kind: "last" | "best" | "interval";
  readonly epoch: number;
  readonly step: number;
  readonly sha256: string;
  readonly bytes: number;
}

type Target = readonly [file: string, kind: IndexedFile["kind"]];

/**
 * Writes, keeps, verifies and finds the checkpoints of one run: files in `<dir>/weights`, their list in `<dir>/checkpoints.json`. A file
 * carries its final name only when it is complete and on disk. Temporary files of an interrupted run are removed by the constructor.
 */
export class CheckpointManager {
  readonly config: ResolvedCheckpointConfig;
  readonly directory: string;
  /** Things to tell the user once. */
  readonly notices: readonly string[];
  readonly #root: string;
  readonly #fs: WriteFileSystem | undefined;
  readonly #earlyStopping: EarlyStopping;
  readonly #files = new Map<string, IndexedFile>();
  #best: BestCheckpoint | null = null;

  /**
   * @param metrics - names that may be monitored beside the built-in ones
   * @throws {@link ConfigError}
   */
  constructor(
    dir: string,
    config: CheckpointConfig = {},
    { metrics = [], fs }: { metrics?: readonly string[]; fs?: WriteFileSystem } = {},
  ) {
    this.config = resolveCheckpointConfig(config, { metrics });
    this.notices = this.config.notices;
    this.#root = dir;
    this.directory = join(dir, "weights");
    this.#fs = fs;
    this.#earlyStopping = new EarlyStopping({ ...this.config.earlyStopping, mode: this.config.mode });
    removeStaleTemporaries(dir);
    removeStaleTemporaries(this.directory);
  }

  /** Best evaluated epoch, or null before the first finite metric. */
  get best(): BestCheckpoint | null {
    return this.#best;
  }

  /** Whether the early-stop rule held at the last evaluated epoch. */
  get shouldStop(): boolean {
    return this.config.earlyStopping.enabled && this.#earlyStopping.shouldStop;
  }

  /** Whether the run has checkpoints, valid or not. */
  hasFiles(): boolean {
    return this.#candidates().length > 0;
  }

  /** The monitored value in `metrics`; a box metric that is absent falls back to its mask counterpart. NaN when neither exists. */
  monitored(metrics: Readonly<Record<string, number>>): number {
    return metrics[this.config.monitor] ?? metrics[`mask_${this.config.monitor}`] ?? Number.NaN;
  }

  /**
   * Saves at the end of an epoch: updates the best and early-stop trackers, then writes what the options ask for, then prunes.
   *
   * @param metrics - of this epoch, or null when it was not evaluated
   * @throws {@link CheckpointWriteError}; earlier files are intact then
   */
  async save(content: CheckpointContent, metrics: Readonly<Record<string, number>> | null): Promise<SaveReport> {
    const warnings: string[] = [];
    const improved = metrics !== null && this.#track(content, metrics, warnings);
    const names = this.#namesOf({ ...content, metrics, improved });
    return { files: this.#write(content, { kind: "epoch", metrics, names }), improved, warnings };
  }

  /**
   * Saves inside an epoch as `step_{step:08d}`, kept and pruned with the interval files.
   * @param updates - the number in the name, parameter updates so far
   */
  async saveStep(content: CheckpointContent, updates: number): Promise<SaveReport> {
    const name = formatCheckpointName("step_{step:08d}.safetensors", { step: updates });
    const names: Target[] = this.config.maxKeep === 0 ? [] : [[name, "interval"]];
    return { files: this.#write(content, { kind: "step", metrics: null, names }), improved: false, warnings: [] };
  }

  /** Saves `last` alone, inside an epoch: a run is being aborted. */
  async saveLast(content: CheckpointContent): Promise<SaveReport> {
    const names: Target[] = [[this.config.lastName, "last"]];
    return { files: this.#write(content, { kind: "step", metrics: null, names }), improved: false, warnings: [] };
  }

  /**
   * @param which - `last`, `best` or a path (relative ones are tried under the weights directory; `.pt` and `.pth` mean `.safetensors`)
   * @throws {@link CheckpointCorruptError}
   */
  load(which: string): LoadedCheckpoint {
    const path = this.#resolve(which);
    const decoded = readCheckpoint(path);
    if (!decoded.ok) throw new CheckpointCorruptError({ files: [{ path, reason: decoded.problem }] });
    return loaded(path, decoded, []);
  }

  /**
   * The newest valid checkpoint, with the trackers set as they were; null when there is none at all. A damaged file on the way is
   * renamed to `*.corrupt` and reported in `warnings`.
   *
   * @throws {@link CheckpointCorruptError} when files exist and all are damaged
   */
  resumeLatest(): LoadedCheckpoint | null {
    const warnings: string[] = [];
    const bad: { path: string; reason: string }[] = [];
    for (const { path } of this.#candidates()) {
      const decoded = readCheckpoint(path);
      if (!decoded.ok) {
        renameSync(path, `${path}.corrupt`);
        bad.push({ path, reason: decoded.problem });
        warnings.push(`${path} is damaged (${decoded.problem}); renamed to ${basename(path)}.corrupt.`);
        continue;
      }
      const result = loaded(path, decoded, warnings);
      if (bad.length > 0) warnings.push(`Resuming from ${path}, epoch ${result.epoch}, step ${result.step}.`);
      this.#restore(result.state);
      this.#index();
      this.#complete(path, result.state);
      // A kill may also have come between a write and its pruning.
      this.#prune();
      return result;
    }
    if (bad.length > 0) throw new CheckpointCorruptError({ files: bad });
    return null;
  }

  #track(content: CheckpointContent, metrics: Readonly<Record<string, number>>, warnings: string[]): boolean {
    const { monitor, minDelta, mode } = this.config;
    const value = this.monitored(metrics);
    if (!Number.isFinite(value)) {
      warnings.push(`${monitor} of epoch ${content.epoch} is ${value}; it counts as no improvement.`);
    }
    this.#earlyStopping.update(content.epoch, value);
    if (!isBetter({ value, best: this.#best?.value ?? null, minDelta, mode })) return false;
    this.#best = { epoch: content.epoch, step: content.step, value, metric: monitor };
    return true;
  }

  #restore(state: CheckpointState): void {
    this.#best = (state["best"] as BestCheckpoint | null | undefined) ?? null;
    const early = state["early_stop"] as unknown as EarlyStoppingState | undefined;
    if (early) this.#earlyStopping.load(early);
  }

  /** The files that the end of an epoch asks for, `last` at the end: where it exists, the others do too. */
  #namesOf({
    epoch,
    step,
    metrics,
    improved,
  }: {
    epoch: number;
    step: number;
    metrics: Readonly<Record<string, number>> | null;
    improved: boolean;
  }): Target[] {
    const { saveBest, saveInterval, saveLast, maxKeep, bestName, lastName } = this.config;
    const names: Target[] = [];
    if (saveBest && improved) names.push([bestName, "best"]);
    if (saveInterval !== null && maxKeep !== 0 && epoch % saveInterval === 0) {
      names.push([this.#intervalName({ epoch, step }, metrics ?? {}), "interval"]);
    }
    if (saveLast) names.push([lastName, "last"]);
    return names;
  }

  #write(
    content: CheckpointContent,
    {
      kind,
      metrics,
      names,
    }: { kind: "epoch" | "step"; metrics: Readonly<Record<string, number>> | null; names: readonly Target[] },
  ): string[] {
    if (names.length === 0) return [];
    const { save } = this.config;
    const { scheduler, scaler, rng, ...rest } = content.state ?? {};
    const state: CheckpointState = {
      ...rest,
      ...(save.scheduler && scheduler !== undefined ? { scheduler } : {}),
      ...(save.scaler && scaler !== undefined ? { scaler } : {}),
      ...(save.rng && rng !== undefined ? { rng } : {}),
      epoch: content.epoch,
      step: content.step,
      kind,
      metrics,
      best: this.#best,
      early_stop: { ...this.#earlyStopping.state() },
      bit_exact: save.optimizer && save.scheduler && save.scaler && save.rng,
      lost: Object.entries(save).flatMap(([part, kept]) => (kept ? [] : [part])),
    };
    const bytes = encodeCheckpoint({
      tensors: save.optimizer ? content.tensors : { ...content.tensors, optim: null },
      state,
    });
    return this.#writeFiles(bytes, content, names);
  }

  #writeFiles(bytes: Uint8Array, { epoch, step }: { epoch: number; step: number }, names: readonly Target[]): string[] {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const written: string[] = [];
    for (const [file, kind] of names) {
      const path = join(this.directory, file);
      this.#guard(path, () =>
        writeFileDurably(path, bytes, { verifyBytes: headerBytes(bytes), ...(this.#fs ? { fs: this.#fs } : {}) }),
      );
      this.#files.set(file, { file, kind, epoch, step, sha256, bytes: bytes.length });
      written.push(path);
    }
    this.#writeIndex();
    this.#prune();
    return written;
  }

  /** Writes the files that a kill in the middle of {@link save} left out; all files of one epoch have the same bytes. */
  #complete(path: string, state: CheckpointState): void {
    if (state["kind"] !== "epoch") return;
    const metrics = (state["metrics"] ?? {}) as Record<string, number>;
    const improved = this.#best?.step === state.step;
    const missing = this.#namesOf({ ...state, metrics, improved }).filter(
      ([file]) => this.#files.get(file)?.step !== state.step,
    );
    if (missing.length > 0) this.#writeFiles(readFileSync(path), state, missing);
  }

  #guard(path: string, action: () => void): void {
    try {
      action();
    } catch (cause) {
      throw new CheckpointWriteError({ path, cause });
    }
  }

  #writeIndex(): void {
    const path = join(this.#root, "checkpoints.json");
    const files = [...this.#files.values()].sort((a, b) => a.step - b.step || (a.file < b.file ? -1 : 1));
    const text = `${JSON.stringify({ format: "seg-checkpoints-1", best: this.#best, files }, null, 2)}\n`;
    this.#guard(path, () => writeFileDurably(path, Buffer.from(text), this.#fs ? { fs: this.#fs } : {}));
  }

  /** Removes the oldest interval files beyond the limit, after everything newer is on disk. */
  #prune(): void {
    if (this.config.maxKeep === null) return;
    const kept = [...this.#files.values()].filter((file) => file.kind === "interval").sort((a, b) => b.step - a.step);
    const surplus = kept.slice(this.config.maxKeep);
    if (surplus.length === 0) return;
    for (const { file } of surplus) {
      rmSync(join(this.directory, file), { force: true });
      this.#files.delete(file);
    }
    syncDirectory(this.directory);
    this.#writeIndex();
  }

  #intervalName(content: { epoch: number; step: number }, metrics: Readonly<Record<string, number>>): string {
    const values: Record<string, number> = { ...metrics, epoch: content.epoch, step: content.step };
    for (const name of ["mAP50", "mAP50-95"]) {
      const mask = metrics[`mask_${name}`];
      if (values[name] === undefined && mask !== undefined) values[name] = mask;
    }
    const name = formatCheckpointName(this.config.format, values);
    const stem = name.replace(/\.safetensors$/, "");
    for (let copy = 1; ; copy++) {
      const candidate = copy === 1 ? name : `${stem}-${copy}.safetensors`;
      const path = join(this.directory, candidate);
      const reserved = candidate === this.config.bestName || candidate === this.config.lastName;
      if (!reserved && !existsSync(path)) return candidate;
      // A run that was killed between this file and `last` writes the same epoch again.
      if (!reserved && peekCheckpoint(path)?.step === content.step) return candidate;
    }
  }

  #resolve(which: string): string {
    if (which === "last") return join(this.directory, this.config.lastName);
    if (which === "best") return join(this.directory, this.config.bestName);
    const { name } = safetensorsName(which);
    if (isAbsolute(name)) return name;
    const inside = join(this.directory, name);
    return existsSync(inside) || !existsSync(name) ? inside : name;
  }

  /** Checkpoint files, newest first; of equals `last`, then the others by name. Unreadable ones come first so that they are reported. */
  #candidates(): { path: string; name: string; epoch: number; step: number }[] {
    const result: { path: string; name: string; epoch: number; step: number; damaged: boolean }[] = [];
    for (const name of listDirectory(this.directory)) {
      if (!name.endsWith(".safetensors") || name.startsWith(".")) continue;
      const path = join(this.directory, name);
      const peek = peekCheckpoint(path);
      if (peek) result.push({ path, name, ...peek });
    }
    const rank = (name: string) => (name === this.config.lastName ? 0 : 1);
    return result.sort(
      (a, b) =>
        Number(b.damaged) - Number(a.damaged) ||
        b.step - a.step ||
        b.epoch - a.epoch ||
        rank(a.name) - rank(b.name) ||
        (a.name < b.name ? -1 : 1),
    );
  }

  /** Takes over what lies in the directory, so that pruning goes on across a resume. */
  #index(): void {
    this.#files.clear();
    for (const { path, name, epoch, step } of this.#candidates()) {
      const kind = name === this.config.lastName ? "last" : name === this.config.bestName ? "best" : "interval";
      this.#files.set(name, { file: name, kind, epoch, step, sha256: sha256Of(path), bytes: statSync(path).size });
    }
  }
}

function sha256Of(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function loaded(
  path: string,
  { tensors, state }: { tensors: CheckpointTensors; state: CheckpointState },
  warnings: string[],
): LoadedCheckpoint {
  const lost = (state["lost"] as readonly string[] | undefined) ?? [];
  if (lost.length > 0) {
    warnings.push(`${path} was saved without ${lost.join(", ")}: these start afresh, the run will not be bit-exact.`);
  }
  return { path, epoch: state.epoch, step: state.step, tensors, state, lost, warnings };
}
