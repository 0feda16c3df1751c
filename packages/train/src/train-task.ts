import type { Module, StateDict } from "@seg/nn";
import type { CheckpointConfig } from "./checkpoint-config.js";
import { checkInteger, checkKeys, type JsonObject } from "./config.js";
import { ConfigError } from "./errors.js";
import type { ResultTerms } from "./results-csv.js";
import type { RunDirectory } from "./run-directory.js";
import type { CallbackName } from "./train-events.js";
import type { BatchTensors, LossFunction, TrainingManager } from "./training-manager.js";

/** One batch. A bare loss function will do. */
export interface TrainBatch {
  readonly loss: LossFunction;
  /** What `loss` is called with; with it the step is compiled, see {@link TrainingManager.step}. */
  readonly inputs?: BatchTensors;
  /** @defaultValue `imagesPerStep` of the task */
  readonly images?: number;
  /** Names of the images, for the report of a loss that is not finite. */
  readonly ids?: readonly string[];
  /** Frees the tensors of the batch. */
  readonly dispose?: () => void;
}

/** What {@link fit} trains. Everything must follow from (epoch, step), so that a resumed run repeats it. */
export interface TrainTask {
  readonly model: Module;
  /** Trained beside the model and saved as `projector/<key>`, for example feature adaptors. */
  readonly projector?: Module;
  readonly stepsPerEpoch: number;
  /** @defaultValue 1 */
  readonly imagesPerStep?: number;
  /** @param epoch - 1-based @param step - 0-based within the epoch */
  batch(epoch: number, step: number): TrainBatch | LossFunction | Promise<TrainBatch | LossFunction>;
  /** Called with the model in inference mode and its own weights; use {@link withState} to evaluate `emaState`. */
  evaluate?(epoch: number, emaState: StateDict): Promise<Readonly<Record<string, number>>>;
  onEpochStart?(epoch: number): void | Promise<void>;
  /** Further state for checkpoints, as it stands at the call; a key `rng` obeys `save_rng_state`. */
  state?(): JsonObject;
  restore?(state: JsonObject): void;
  /** What must not change between a run and its resumption: mapping hash, dataset hash, batch size, cache id. */
  readonly identity?: JsonObject;
  /** Columns of results.csv. @defaultValue from the loss parts and metrics of the first epoch */
  readonly terms?: ResultTerms;
}

/** Configuration of {@link fit}. */
export interface FitConfig {
  readonly epochs: number;
  /** Directory of the run. */
  readonly directory: string | RunDirectory;
  readonly training: TrainingManager;
  readonly checkpoint?: CheckpointConfig;
  /** `interval`: epochs between evaluations; the last epoch always is. @defaultValue 1 */
  readonly evaluation?: { readonly interval?: number };
  /** Goes on from the newest valid checkpoint of `directory`, or begins when there is none. @defaultValue false */
  readonly resume?: boolean;
  /** A loss or gradient that is not finite ends the run, or reloads the newest checkpoint (3 times, never in epoch 1). @defaultValue "stop" */
  readonly on_nan?: "stop" | "rollback";
  /** Names of task metrics that may be monitored beside the built-in ones. */
  readonly metrics?: readonly string[];
  /** The resolved configuration, for `args.yaml` and checkpoints. */
  readonly args?: JsonObject;
  /** A TensorBoard event file beside `results.csv`, with these preprocessing parameters in it. @defaultValue none */
  readonly tensorboard?: { readonly preprocessing?: JsonObject };
}

/** The outside world of {@link fit}. */
export interface FitOptions {
  /** Aborting finishes the current update, saves `last` and ends the run with reason `aborted`. */
  readonly signal?: AbortSignal;
  /** Milliseconds; only for times and rates in events and the time column. @defaultValue performance.now */
  readonly now?: () => number;
  readonly callbacks?: Readonly<
    Partial<Record<CallbackName, (info: { epoch: number; step: number }) => void | Promise<void>>>
  >;
}

/** @throws {@link ConfigError} */
export function checkFitConfig(cfg: FitConfig): void {
  checkKeys(cfg, [
    "epochs",
    "directory",
    "training",
    "checkpoint",
    "evaluation",
    "resume",
    "on_nan",
    "metrics",
    "args",
    "tensorboard",
  ]);
  checkInteger("epochs", cfg.epochs, 1);
  if (cfg.evaluation) {
    checkKeys(cfg.evaluation, ["interval"], "evaluation.");
    checkInteger("evaluation.interval", cfg.evaluation.interval ?? 1, 1);
  }
  if (cfg.on_nan !== undefined && cfg.on_nan !== "stop" && cfg.on_nan !== "rollback") {
    throw new ConfigError({
      key: "on_nan",
      message: `on_nan is ${JSON.stringify(cfg.on_nan)}, expected "stop" or "rollback".`,
    });
  }
}
