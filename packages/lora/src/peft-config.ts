import { z } from "zod";
import { type LoraConfig, loraConfigSchema } from "./config.js";
import { UnsupportedAdapterError } from "./errors.js";

/** Every field of PEFT 0.21's LoraConfig with its default, as `save_pretrained` writes it. */
const PEFT_DEFAULTS = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: null,
  bias: "none",
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  monteclora_config: null,
  peft_type: "LORA",
  peft_version: "0.21.0",
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: null,
  target_parameters: null,
  task_type: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
} as const;

/** Our field for each PEFT field that we interpret. */
const FIELDS = {
  alpha_pattern: "alphaPattern",
  base_model_name_or_path: "baseModelNameOrPath",
  bias: "bias",
  exclude_modules: "excludeModules",
  init_lora_weights: "initLoraWeights",
  layers_pattern: "layersPattern",
  layers_to_transform: "layersToTransform",
  lora_alpha: "loraAlpha",
  lora_bias: "loraBias",
  lora_dropout: "loraDropout",
  modules_to_save: "modulesToSave",
  r: "r",
  rank_pattern: "rankPattern",
  target_modules: "targetModules",
  task_type: "taskType",
  use_dora: "useDora",
  use_rslora: "useRslora",
} as const satisfies Record<string, keyof LoraConfig>;

/** Fields that change the computation when set; we have none of them. Every `*_config` counts, too. */
const MUST_BE_FALSY = [
  "use_qalora",
  "use_bdlora",
  "layer_replication",
  "target_parameters",
  "alora_invocation_tokens",
  "trainable_token_indices",
];

/** Python's truth value. */
function isTruthy(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/**
 * Reads the content of `adapter_config.json`; unknown fields pass through in `extra`.
 * @param acceptConverted - take adapters whose initialisation changes the base (PiSSA, OLoRA, ...): only right once they were converted to plain
 * LoRA, or on the changed base. @defaultValue false
 * @throws {@link UnsupportedAdapterError} for another method than LoRA, fields that we would have to implement, or malformed values
 */
export function fromPeftConfig(
  json: unknown,
  { acceptConverted = false }: { acceptConverted?: boolean } = {},
): LoraConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UnsupportedAdapterError({ field: "adapter_config.json", reason: "not a JSON object" });
  }
  const file: Record<string, unknown> = { ...json };
  if (file["peft_type"] !== "LORA") {
    throw new UnsupportedAdapterError({
      field: "peft_type",
      reason: `${JSON.stringify(file["peft_type"])}, expected "LORA"`,
    });
  }
  for (const [field, value] of Object.entries(file)) {
    if ((MUST_BE_FALSY.includes(field) || field.endsWith("_config")) && isTruthy(value)) {
      throw new UnsupportedAdapterError({ field, reason: `${JSON.stringify(value)} is not implemented` });
    }
  }
  const init = file["init_lora_weights"] ?? true;
  const isPlain = typeof init === "boolean" || init === "gaussian" || init === "eva";
  if (!isPlain && !acceptConverted) {
    const reason = `${JSON.stringify(init)} changes the base weights, so the adapter is wrong on the original base; convert it with PEFT and pass acceptConverted`;
    throw new UnsupportedAdapterError({ field: "init_lora_weights", reason });
  }
  // How A and B began does not matter once they are loaded.
  file["init_lora_weights"] = typeof init === "boolean" || init === "gaussian" ? init : true;

  const config: Record<string, unknown> = { taskType: null };
  const extra: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(file)) {
    if (!Object.hasOwn(FIELDS, field)) extra[field] = value;
    // PEFT writes absent maps and lists as null in older versions; null means the default everywhere.
    else if (value !== null) config[FIELDS[field as keyof typeof FIELDS]] = value;
  }
  const result = loraConfigSchema.safeParse({ ...config, extra });
  if (!result.success) {
    throw new UnsupportedAdapterError({ field: "adapter_config.json", reason: z.prettifyError(result.error) });
  }
  return result.data;
}

/**
 * The content of `adapter_config.json` for PEFT 0.21, keys sorted.
 * @param targetPaths - full paths of the adapted modules: names that any PEFT version resolves alike, so exclusions, layer filters, globs
 * and aliases need not be repeated
 */
export function toPeftConfig(config: LoraConfig, targetPaths: readonly string[]): Record<string, unknown> {
  const file: Record<string, unknown> = { ...PEFT_DEFAULTS, ...config.extra };
  for (const [field, name] of Object.entries(FIELDS)) file[field] = config[name];
  file["target_modules"] = [...targetPaths].sort();
  file["exclude_modules"] = null;
  file["layers_to_transform"] = null;
  file["layers_pattern"] = null;
  file["inference_mode"] = true;
  if (config.taskType !== null) file["auto_mapping"] = null;
  return Object.fromEntries(Object.entries(file).sort(([a], [b]) => (a < b ? -1 : 1)));
}
