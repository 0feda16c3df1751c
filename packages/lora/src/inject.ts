import { at, Conv2d, Linear, type Module, type Parameter } from "@seg/nn";
import { type LoraConfig, type LoraConfigInput, loraConfigSchema } from "./config.js";
import { LoraTargetError, UnsupportedAdapterError } from "./errors.js";
import { LoraConv2d, LoraLinear, loraScaling } from "./lora-layer.js";
import { type LoraTarget, resolveTargets, type SkippedTarget } from "./targets.js";

/** A model with adapters in it. */
export interface LoraHandle {
  readonly model: Module;
  readonly config: LoraConfig;
  readonly targets: readonly LoraTarget[];
  readonly skipped: readonly SkippedTarget[];
  /** Adapted layers by module path. */
  readonly layers: ReadonlyMap<string, LoraLinear | LoraConv2d>;
  /** Names of trainable parameters that are no adapter tensors (biases); the `allow` of {@link verifyFreezing}. */
  readonly allow: readonly string[];
  /** The parameters to train, by state-dict name. */
  trainableParameters(): Map<string, Parameter>;
}

/**
 * Replaces the targeted layers by adapted ones, freezes everything else and switches the model to evaluation mode, in which LoRA trains:
 * no base dropout, and running statistics stay. The model computes bit for bit what it did before.
 *
 * @param seed - of lora_A; each layer draws from its own path
 * @throws {@link LoraTargetError} when targets cannot be resolved, {@link UnsupportedAdapterError} for settings that are not implemented,
 * ZodError for malformed settings. The model is unchanged then.
 * @example
 * const handle = injectLora(sam, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }, { seed: 0 });
 * verifyFreezing(sam);
 */
export function injectLora(model: Module, config: LoraConfigInput, { seed }: { seed: number }): LoraHandle {
  const parsed = loraConfigSchema.parse(config);
  if (parsed.loraDropout !== 0) {
    throw new UnsupportedAdapterError({
      field: "lora_dropout",
      reason: `${parsed.loraDropout} cannot be trained yet, use 0`,
    });
  }
  return inject(model, parsed, resolveTargets(model, parsed), seed);
}

/** @throws UnsupportedAdapterError */
export function refuseUnsupported({ useDora, modulesToSave }: LoraConfig): void {
  if (useDora)
    throw new UnsupportedAdapterError({ field: "use_dora", reason: "weight-decomposed adapters are not implemented" });
  if (modulesToSave !== null && modulesToSave.length > 0) {
    const reason = `fully trained modules (${modulesToSave.join(", ")}) are not implemented`;
    throw new UnsupportedAdapterError({ field: "modules_to_save", reason });
  }
}

/** {@link injectLora} after parsing and target resolution. */
export function inject(
  model: Module,
  config: LoraConfig,
  { targets, skipped }: { targets: readonly LoraTarget[]; skipped: readonly SkippedTarget[] },
  seed: number,
): LoraHandle {
  refuseUnsupported(config);
  if (config.loraBias) {
    const without = targets.find(({ path }) => !(model.getModule(path) as Linear | Conv2d).bias);
    if (without) throw new LoraTargetError({ target: without.path, reason: "loraBias needs a base layer with a bias" });
  }
  for (const [, parameter] of model.namedParameters()) parameter.requiresGrad = false;
  const layers = new Map<string, LoraLinear | LoraConv2d>();
  const { loraBias, initLoraWeights, useRslora } = config;
  for (const { path, rank, alpha } of targets) {
    const base = model.getModule(path);
    const scaling = loraScaling({ rank, alpha, useRslora });
    const options = { rank, scaling, loraBias, initLoraWeights, init: at({ seed, path: "lora" }, path) };
    let layer: LoraLinear | LoraConv2d;
    if (base instanceof Linear) layer = new LoraLinear(base, options);
    else if (base instanceof Conv2d) layer = new LoraConv2d(base, options);
    else throw new LoraTargetError({ target: path, reason: "it is neither Linear nor Conv2d" });
    model.setModule(path, layer);
    layers.set(path, layer);
  }
  model.train(false);
  const biases = trainableBiases(model, layers, config.bias);
  for (const parameter of biases.values()) parameter.requiresGrad = true;
  return {
    model,
    config,
    targets,
    skipped,
    layers,
    allow: [...biases.keys()],
    trainableParameters: () => new Map([...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad)),
  };
}

/** Base biases that `bias` makes trainable, by their name with adapters in place. */
export function trainableBiases(
  model: Module,
  layers: ReadonlyMap<string, LoraLinear | LoraConv2d>,
  bias: LoraConfig["bias"],
): Map<string, Parameter> {
  const result = new Map<string, Parameter>();
  if (bias === "none") return result;
  for (const [name, parameter] of model.namedParameters()) {
    if (!name.endsWith(".bias") || name.endsWith(".lora_B.bias")) continue;
    if (bias === "all" || layers.has(name.slice(0, -".base_layer.bias".length))) result.set(name, parameter);
  }
  return result;
}
