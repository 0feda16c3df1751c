import type { StateDict } from "@seg/nn";
import type { BestCheckpoint } from "./checkpoint-manager.js";

/** Where the run stands; part of every event. */
export interface TrainProgress {
  /** Batches seen. */
  readonly step: number;
  /** Current epoch, 1-based; 0 before the first. */
  readonly epoch: number;
  readonly totalEpochs: number;
  /** Estimate from the batches of this process; null before the first one. */
  readonly etaSeconds: number | null;
  /** Over the batches of this process; null before the first one. */
  readonly imgPerSec: number | null;
  /** Loss parts: of the batch in a `step` event, else means over the epoch. */
  readonly losses: Readonly<Record<string, number>>;
}

/** How a run ended. */
export interface FitResult {
  readonly reason: "completed" | "early-stop" | "aborted";
  /** Finished epochs. */
  readonly epoch: number;
  readonly step: number;
  readonly best: BestCheckpoint | null;
  /** Metrics of the last evaluated epoch of this process, or null. */
  readonly metrics: Readonly<Record<string, number>> | null;
  /** The weights to use: averaged ones, or the best ones after an early stop that restores them. */
  readonly state: StateDict;
  readonly directory: string;
}

/** What {@link fit} reports, at most ten `step` events per second. */
export type TrainEvent = TrainProgress &
  (
    | { readonly type: "run"; readonly directory: string; readonly resumedFrom: string | null }
    | {
        readonly type: "step";
        readonly loss: number;
        readonly gradNorm: number | null;
        readonly lr: Readonly<Record<string, number>>;
      }
    | { readonly type: "epoch"; readonly gradNorm: number | null; readonly lr: Readonly<Record<string, number>> }
    | { readonly type: "eval"; readonly metrics: Readonly<Record<string, number>> }
    | {
        readonly type: "checkpoint";
        readonly files: readonly string[];
        readonly improved: boolean;
        readonly best: BestCheckpoint | null;
      }
    | { readonly type: "early-stop"; readonly best: BestCheckpoint | null; readonly patience: number }
    | { readonly type: "warning"; readonly message: string }
    | { readonly type: "end"; readonly result: FitResult }
  );

/** Moments at which {@link fit} calls back; one that throws is a warning. */
export type CallbackName =
  | "on_train_start"
  | "on_train_epoch_end"
  | "on_fit_epoch_end"
  | "on_model_save"
  | "on_train_end";
