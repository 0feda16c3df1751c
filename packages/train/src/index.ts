/**
 * Training dynamics: optimisers, schedules, averaging, clipping, crash-safe checkpoints, the run directory and the loop.
 * @module
 */
export { Ema } from "./ema.js";
export {
  CheckpointCorruptError,
  CheckpointWriteError,
  ConfigError,
  NonFiniteGradientError,
  NonFiniteLossError,
  ResumeMismatchError,
} from "./errors.js";
export { freezeBatchNorm } from "./freeze-batch-norm.js";
export { type ClipOptions, clipCoefficient, clipGradNorm, type GradStats, gradStats } from "./grad-norm.js";
export { LossScaler, type LossScalerState } from "./loss-scaler.js";
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
export { type ScheduleOptions, schedule, type WarmupOptions, warmup, warmupLength, yoloWarmup } from "./schedule.js";
export {
  type LossFunction,
  type StepResult,
  TrainingManager,
  type TrainingManagerOptions,
  type TrainingScalars,
} from "./training-manager.js";
export { withState } from "./with-state.js";
