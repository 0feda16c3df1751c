import { loadStateDict, type StateDict, stateDict } from "@seg/nn";
import { type CheckpointContent, CheckpointManager, type LoadedCheckpoint } from "./checkpoint-manager.js";
import type { JsonObject } from "./config.js";
import { ConfigError } from "./errors.js";
import type { LossScalerState } from "./loss-scaler.js";
import { architectureHash, checkIdentity } from "./resume-identity.js";
import { RunDirectory } from "./run-directory.js";
import type { TrainProgress } from "./train-events.js";
import type { FitConfig, TrainTask } from "./train-task.js";
import type { StepResult } from "./training-manager.js";

/** Sums over the batches of the epoch in progress; JSON, so that a checkpoint inside an epoch can hold it exactly. */
export interface EpochSums {
  /** Batches of the epoch that are done. */
  batches: number;
  parts: Record<string, number>;
  gradNorm: number;
  gradNorms: number;
  lr: Record<string, number>;
}

export const emptySums = (): EpochSums => ({ batches: 0, parts: {}, gradNorm: 0, gradNorms: 0, lr: {} });

/** Adds one batch. */
export function addToSums(sums: EpochSums, { parts, gradNorm, lr }: StepResult): void {
  sums.batches += 1;
  for (const [name, value] of Object.entries(parts)) sums.parts[name] = (sums.parts[name] ?? 0) + value;
  sums.lr = { ...lr };
  addGradNorm(sums, gradNorm);
}

/** Adds one update; overflows under a loss scaler are left out of the mean. */
export function addGradNorm(sums: EpochSums, gradNorm: number | null): void {
  if (gradNorm === null || !Number.isFinite(gradNorm)) return;
  sums.gradNorm += gradNorm;
  sums.gradNorms += 1;
}

/** Means over the epoch so far. */
export function meansOf({ batches, parts, gradNorm, gradNorms }: EpochSums) {
  const losses: Record<string, number> = {};
  for (const [name, value] of Object.entries(parts)) losses[name] = value / Math.max(batches, 1);
  return { losses, gradNorm: gradNorms === 0 ? null : gradNorm / gradNorms };
}

/** What one run of {@link fit} holds: its files, where it stands, and the clock. */
export class FitSession {
  readonly task: TrainTask;
  readonly cfg: FitConfig;
  readonly run: RunDirectory;
  readonly checkpoints: CheckpointManager;
  /** Finished epochs. */
  epoch = 0;
  sums = emptySums();
  rollbacks = 0;
  readonly #now: () => number;
  readonly #identity: JsonObject;
  readonly #start: number;
  #timeOffset = 0;
  #images = 0;
  #batches = 0;

  constructor(task: TrainTask, cfg: FitConfig, now: () => number) {
    this.task = task;
    this.cfg = cfg;
    this.#now = now;
    this.#start = now();
    this.run = typeof cfg.directory === "string" ? new RunDirectory(cfg.directory) : cfg.directory;
    this.checkpoints = new CheckpointManager(this.run.path, cfg.checkpoint ?? {}, {
      metrics: cfg.metrics ?? [],
      ...(this.run.fs ? { fs: this.run.fs } : {}),
    });
    this.#identity = {
      architecture: architectureHash(task.model),
      training: cfg.training.describe(),
      steps_per_epoch: task.stepsPerEpoch,
      ...task.identity,
    };
  }

  /** Begins or resumes; returns the checkpoint resumed from. */
  open(): LoadedCheckpoint | null {
    if (this.cfg.resume) return this.reload();
    if (this.checkpoints.hasFiles()) {
      throw new ConfigError({
        key: "directory",
        message: `${this.run.path} holds the checkpoints of a run. Pass resume: true to go on, or choose another directory.`,
      });
    }
    this.run.truncateAfter(0);
    return null;
  }

  /** Goes to the newest valid checkpoint and drops the log rows after it. */
  reload(): LoadedCheckpoint | null {
    const loaded = this.checkpoints.resumeLatest();
    if (loaded) this.#restore(loaded);
    this.#timeOffset = this.run.truncateAfter(loaded?.epoch ?? 0);
    return loaded;
  }

  /** Seconds since the start of the run. */
  time(): number {
    return this.#timeOffset + (this.#now() - this.#start) / 1000;
  }

  now(): number {
    return this.#now();
  }

  /** Counts a batch for rates. */
  count(images: number): void {
    this.#images += images;
    this.#batches += 1;
  }

  progress(losses: Readonly<Record<string, number>> = meansOf(this.sums).losses): TrainProgress {
    const { training, epochs } = this.cfg;
    const seconds = (this.#now() - this.#start) / 1000;
    const left = Math.max(epochs * this.task.stepsPerEpoch - training.batches, 0);
    return {
      step: training.batches,
      epoch: Math.min(this.epoch + (this.sums.batches > 0 ? 1 : 0), epochs),
      totalEpochs: epochs,
      etaSeconds: this.#batches === 0 ? null : (seconds / this.#batches) * left,
      imgPerSec: this.#batches === 0 || seconds === 0 ? null : this.#images / seconds,
      losses,
    };
  }

  /** The averaged weights, or the model's own without averaging. */
  evaluatedState(): StateDict {
    return this.cfg.training.ema?.state() ?? stateDict(this.task.model);
  }

  /** Everything that a resumed run needs. */
  content(): CheckpointContent {
    const { task, cfg } = this;
    const { batches, updates, emaUpdates, scaler } = cfg.training.scalars();
    const { rng, ...extra } = task.state?.() ?? {};
    return {
      epoch: this.epoch,
      step: batches,
      tensors: {
        model: stateDict(task.model),
        ema: cfg.training.ema?.state() ?? null,
        optim: cfg.training.slots,
        projector: task.projector ? stateDict(task.projector) : null,
      },
      state: {
        identity: this.#identity,
        scheduler: { batches, updates },
        scaler: scaler ? { ...scaler } : null,
        ema: emaUpdates === null ? null : { updates: emaUpdates },
        rng: rng ?? null,
        task: extra,
        progress: this.sums.batches === 0 ? null : { ...this.sums },
        rollbacks: this.rollbacks,
        config: cfg.args ?? null,
      },
    };
  }

  #restore({ tensors, state, epoch, step }: LoadedCheckpoint): void {
    const { task, cfg } = this;
    checkIdentity((state["identity"] ?? {}) as JsonObject, JSON.parse(JSON.stringify(this.#identity)) as JsonObject);
    loadStateDict(task.model, tensors.model);
    if (task.projector && tensors.projector) loadStateDict(task.projector, tensors.projector);
    const scheduler = state["scheduler"] as { batches: number; updates: number } | undefined;
    cfg.training.restore({
      scalars: {
        batches: scheduler?.batches ?? step,
        updates: scheduler?.updates ?? step,
        emaUpdates: (state["ema"] as { updates: number } | null)?.updates ?? 0,
        scaler: (state["scaler"] as LossScalerState | null | undefined) ?? null,
      },
      slots: tensors.optim ?? null,
      ema: tensors.ema ?? tensors.model,
    });
    const { rng } = state;
    task.restore?.({ ...(state["task"] as JsonObject), ...(rng === undefined || rng === null ? {} : { rng }) });
    this.epoch = epoch;
    this.sums = (state["progress"] as unknown as EpochSums | null) ?? emptySums();
    this.rollbacks = Math.max(this.rollbacks, state["rollbacks"] as number);
  }
}
