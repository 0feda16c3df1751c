import { formatCheckpointName, safetensorsName } from "./checkpoint-name.js";
import { checkBoolean, checkInteger, checkKeys, checkNonNegative, nearestName } from "./config.js";
import { ConfigError } from "./errors.js";

/** `checkpointing.*` of a configuration file. */
export interface CheckpointConfig {
  /** Epochs between kept files; epochs are 1-based. null: none. @defaultValue 5 */
  readonly save_interval?: number | null;
  /** Batches between `step_*` files inside epochs. @defaultValue null */
  readonly save_interval_steps?: number | null;
  /** @defaultValue true */
  readonly save_last?: boolean;
  /** @defaultValue true */
  readonly save_best?: boolean;
  /** Newest interval and step files that stay; null: all. @defaultValue 5 */
  readonly max_keep_checkpoints?: number | null;
  /** @defaultValue "mAP50" */
  readonly monitor_metric?: string;
  /** @defaultValue "min" for losses, else "max" */
  readonly mode?: "max" | "min";
  /** Strict: better means beyond the best by more than this. @defaultValue 0.001 */
  readonly min_delta?: number;
  /** @defaultValue true */
  readonly save_optimizer?: boolean;
  /** @defaultValue true */
  readonly save_scheduler?: boolean;
  /** @defaultValue true */
  readonly save_scaler?: boolean;
  /** @defaultValue true */
  readonly save_rng_state?: boolean;
  readonly early_stopping?: {
    /** @defaultValue true */
    readonly enabled?: boolean;
    /** Epochs without improvement. @defaultValue 15 */
    readonly patience?: number;
    /** @defaultValue 0.001 */
    readonly min_delta?: number;
    /** @defaultValue true */
    readonly restore_best_weights?: boolean;
  };
  /** @defaultValue "epoch_{epoch:04d}_map{mAP50:.4f}.safetensors" */
  readonly checkpoint_format?: string;
  /** @defaultValue "best.safetensors" */
  readonly best_checkpoint_name?: string;
  /** @defaultValue "last.safetensors" */
  readonly last_checkpoint_name?: string;
}

/** {@link CheckpointConfig} with every default filled in. */
export interface ResolvedCheckpointConfig {
  readonly saveInterval: number | null;
  readonly saveIntervalSteps: number | null;
  readonly saveLast: boolean;
  readonly saveBest: boolean;
  readonly maxKeep: number | null;
  readonly monitor: string;
  readonly mode: "max" | "min";
  readonly minDelta: number;
  readonly save: {
    readonly optimizer: boolean;
    readonly scheduler: boolean;
    readonly scaler: boolean;
    readonly rng: boolean;
  };
  readonly earlyStopping: {
    readonly enabled: boolean;
    readonly patience: number;
    readonly minDelta: number;
    readonly restoreBestWeights: boolean;
  };
  readonly format: string;
  readonly bestName: string;
  readonly lastName: string;
  /** Things the user should know once, such as a replaced extension. */
  readonly notices: readonly string[];
}

/** Metrics that every evaluation of a detector or segmenter may give. */
export const MONITOR_METRICS = [
  "mAP50",
  "mAP50-95",
  "mask_IoU",
  "val_loss",
  "fitness",
  "mask_mAP50",
  "mask_mAP50-95",
] as const;

const KEYS = [
  "save_interval",
  "save_interval_steps",
  "save_last",
  "save_best",
  "max_keep_checkpoints",
  "monitor_metric",
  "mode",
  "min_delta",
  "save_optimizer",
  "save_scheduler",
  "save_scaler",
  "save_rng_state",
  "early_stopping",
  "checkpoint_format",
  "best_checkpoint_name",
  "last_checkpoint_name",
];

/**
 * Fills in defaults and checks every value.
 * @param metrics - names that may be monitored beside {@link MONITOR_METRICS}
 * @throws {@link ConfigError}
 */
export function resolveCheckpointConfig(
  config: CheckpointConfig = {},
  { metrics = [] }: { metrics?: readonly string[] } = {},
): ResolvedCheckpointConfig {
  checkKeys(config, KEYS);
  const early = config.early_stopping ?? {};
  checkKeys(early, ["enabled", "patience", "min_delta", "restore_best_weights"], "early_stopping.");
  const flag = (key: string, value: boolean | undefined) => checkBoolean(key, value ?? true);
  const optional = (key: string, value: number | null, min: number) =>
    value === null ? null : checkInteger(key, value, min);

  const monitor = config.monitor_metric ?? "mAP50";
  const known = [...MONITOR_METRICS, ...metrics];
  if (!known.includes(monitor)) {
    throw new ConfigError({
      key: "monitor_metric",
      nearest: nearestName(monitor, known),
      message: `monitor_metric is "${monitor}", expected one of ${known.join(", ")}.`,
    });
  }
  const natural = /(^|[_/])loss$/.test(monitor) ? "min" : "max";
  const mode = config.mode ?? natural;
  if (mode !== "min" && mode !== "max") {
    throw new ConfigError({ key: "mode", message: `mode is ${JSON.stringify(mode)}, expected "max" or "min".` });
  }
  // Only for known metrics is the better direction certain.
  if (mode !== natural && (natural === "min" || (MONITOR_METRICS as readonly string[]).includes(monitor))) {
    throw new ConfigError({
      key: "mode",
      message: `mode "${mode}" contradicts monitor_metric "${monitor}", which is better when ${natural === "min" ? "lower" : "higher"}. Leave mode out.`,
    });
  }

  const notices: string[] = [];
  const named = (key: string, name: string) => {
    const result = safetensorsName(name);
    formatCheckpointName(result.name, {});
    if (result.replaced) {
      notices.push(
        `${key} "${name}" becomes "${result.name}": .pt and .pth promise a Python pickle, these files are safetensors.`,
      );
    }
    return result.name;
  };
  return {
    saveInterval: optional("save_interval", config.save_interval === undefined ? 5 : config.save_interval, 1),
    saveIntervalSteps: optional("save_interval_steps", config.save_interval_steps ?? null, 1),
    saveLast: flag("save_last", config.save_last),
    saveBest: flag("save_best", config.save_best),
    maxKeep: optional(
      "max_keep_checkpoints",
      config.max_keep_checkpoints === undefined ? 5 : config.max_keep_checkpoints,
      0,
    ),
    monitor,
    mode,
    minDelta: checkNonNegative("min_delta", config.min_delta ?? 0.001),
    save: {
      optimizer: flag("save_optimizer", config.save_optimizer),
      scheduler: flag("save_scheduler", config.save_scheduler),
      scaler: flag("save_scaler", config.save_scaler),
      rng: flag("save_rng_state", config.save_rng_state),
    },
    earlyStopping: {
      enabled: flag("early_stopping.enabled", early.enabled),
      patience: checkInteger("early_stopping.patience", early.patience ?? 15, 1),
      minDelta: checkNonNegative("early_stopping.min_delta", early.min_delta ?? 0.001),
      restoreBestWeights: flag("early_stopping.restore_best_weights", early.restore_best_weights),
    },
    format: named("checkpoint_format", config.checkpoint_format ?? "epoch_{epoch:04d}_map{mAP50:.4f}.safetensors"),
    bestName: named("best_checkpoint_name", config.best_checkpoint_name ?? "best.safetensors"),
    lastName: named("last_checkpoint_name", config.last_checkpoint_name ?? "last.safetensors"),
    notices,
  };
}
