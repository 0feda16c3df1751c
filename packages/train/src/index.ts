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
export { type ClipOptions, clipCoefficient, clipGradNorm, type GradStats, gradStats } from "./grad-norm.js";
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
