/**
 * Training dynamics: optimisers, schedules, averaging, clipping, crash-safe checkpoints, the run directory and the loop.
 * @module
 */

export { type AutoBatch, autoBatch } from "./auto-batch.js";
export { type CheckpointConfig, MONITOR_METRICS } from "./checkpoint-config.js";
export { CHECKPOINT_FORMAT, type CheckpointState, type CheckpointTensors } from "./checkpoint-file.js";
export {
  type BestCheckpoint,
  type CheckpointContent,
  CheckpointManager,
  type LoadedCheckpoint,
  type SaveReport,
} from "./checkpoint-manager.js";
export type { JsonObject, JsonValue } from "./config.js";
export { adam, dampedSgd, rmsprop } from "./coupled-optimizers.js";
export type { WriteFileSystem } from "./durable-file.js";
export { Ema } from "./ema.js";
export {
  CheckpointCorruptError,
  CheckpointWriteError,
  ConfigError,
  NonFiniteGradientError,
  NonFiniteLossError,
  ResumeMismatchError,
} from "./errors.js";
export { fit } from "./fit.js";
export { freezeBatchNorm } from "./freeze-batch-norm.js";
export { type ClipOptions, clipCoefficient, clipGradNorm, type GradStats, gradStats } from "./grad-norm.js";
export { type ResidentKernels, residentKernels, type VectorKernels } from "./kernels/kernels.js";
export { LossScaler, type LossScalerState } from "./loss-scaler.js";
export { readNanCapture } from "./nan-capture.js";
export {
  adamw,
  type Optimizer,
  type OptimizerState,
  type ParameterValues,
  sgd,
  type UpdateInput,
} from "./optimizer.js";
export { type AutoOptimizer, optimizerAuto } from "./optimizer-auto.js";
export { type ParameterGroup, paramGroups } from "./param-groups.js";
export { confusionPlots, curvePlots } from "./plots/curve-plots.js";
export { labelsPlot } from "./plots/labels-plot.js";
export { type MosaicPicture, pictureMosaic } from "./plots/picture-mosaic.js";
export { resultsPlot } from "./plots/results-plot.js";
export { type ReportInput, writeReport } from "./plots/write-report.js";
export { type EpochRecord, type ResultTerms, resultsColumns } from "./results-csv.js";
export { RunDirectory } from "./run-directory.js";
export { type ScheduleOptions, schedule, type WarmupOptions, warmup, warmupLength, yoloWarmup } from "./schedule.js";
export { type BoardEvent, encodeEventFile } from "./tensorboard/event-file.js";
export { EVENT_FILE, writeTensorBoard } from "./tensorboard/write-tensorboard.js";
export type { CallbackName, FitResult, TrainEvent, TrainProgress } from "./train-events.js";
export type { FitConfig, FitOptions, TrainBatch, TrainTask } from "./train-task.js";
export {
  type BatchTensors,
  type LossFunction,
  type StepResult,
  TrainingManager,
  type TrainingManagerOptions,
  type TrainingScalars,
} from "./training-manager.js";
export { withState } from "./with-state.js";
export { toYaml } from "./yaml.js";
