import { at, Conv2d, Embedding, Linear, type Module, type Parameter, RandomSource } from "@seg/nn";
import { type AdapterRecord, ensureAdapters, setAdapter, trainableBiases } from "./adapters.js";
import { baseHash } from "./base-weights.js";
import { type LoraConfig, type LoraConfigInput, parseLoraConfig } from "./config.js";
import { LoraTargetError, MergeError, UnsupportedAdapterError } from "./errors.js";
import { LoraConv2d } from "./layers/lora-conv2d.js";
import { LoraEmbedding } from "./layers/lora-embedding.js";
import { loraScaling } from "./layers/lora-layer.js";
import { type AdaptedLayer, isAdapted, loraLayers } from "./layers/lora-layers.js";
import { LoraLinear } from "./layers/lora-linear.js";
import { QuantizedConv2d } from "./quantize/quantized-conv2d.js";
import { QuantizedLinear } from "./quantize/quantized-linear.js";
import { SavedModule } from "./saved-module.js";
import { type LoraTarget, resolveTargets, type SkippedTarget } from "./targets.js";

/** One adapter of a model. */
export interface LoraHandle {
  readonly model: Module;
  readonly adapterName: string;
  readonly config: LoraConfig;
  /** Seed of the initial values and of dropout. */
  readonly seed: number;
  readonly targets: readonly LoraTarget[];
  readonly skipped: readonly SkippedTarget[];
  /** Layers that carry this adapter, by module path. */
  readonly layers: ReadonlyMap<string, AdaptedLayer>;
  /** Modules that train in full (`modulesToSave`). */
  readonly savedModules: readonly SavedModule[];
  /** Names of trainable parameters that are no adapter tensors (biases, saved modules); the `allow` of `verifyFreezing`. */
  readonly allow: readonly string[];
  /** Where dropout gets its numbers: call `random.setStep(n)` before step n of a run with dropout. */
  readonly random: RandomSource;
  /** The parameters to train while this adapter is active, by state-dict name. */
  trainableParameters(): Map<string, Parameter>;
  /**
   * Switches adapter dropout and saved modules to training mode (or back), and everything else to evaluation mode: the frozen base has no
   * dropout and keeps its running statistics, so it is deterministic and its results may be cached.
   */
  train(on?: boolean): void;
}

/**
 * Replaces the targeted layers by adapted ones, freezes everything else, makes the new adapter active, and switches the model to evaluation
 * mode (see {@link LoraHandle.train}). The model computes bit for bit what it did before. Further adapters go onto the same model under other
 * names; `setAdapter` chooses between them.
 *
 * @param adapterName - @defaultValue "default"
 * @param seed - of initial values and dropout; each layer draws from its own path
 * @throws {@link LoraTargetError} when targets cannot be resolved, {@link UnsupportedAdapterError} for settings that exclude each other,
 * {@link MergeError} while adapters are merged, ZodError for malformed settings. The model is unchanged then.
 * @example
 * const handle = injectLora(sam, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }, { seed: 0 });
 * verifyFreezing(sam);
 */
export function injectLora(
  model: Module,
  config: LoraConfigInput,
  { seed, adapterName = "default" }: { seed: number; adapterName?: string },
): LoraHandle {
  const parsed = parseLoraConfig(config);
  return inject(model, parsed, resolveTargets(model, parsed, { adapterName }), { seed, adapterName });
}

/** @throws UnsupportedAdapterError for settings that exclude each other */
export function refuseUnsupported({ useDora, loraBias }: LoraConfig): void {
  if (useDora && loraBias) {
    throw new UnsupportedAdapterError({
      field: "use_dora",
      reason: "DoRA has no place for lora_bias; choose one of them",
    });
  }
}

/** {@link injectLora} after parsing and target resolution. */
export function inject(
  model: Module,
  config: LoraConfig,
  { targets, skipped }: { targets: readonly LoraTarget[]; skipped: readonly SkippedTarget[] },
  { seed, adapterName }: { seed: number; adapterName: string },
): LoraHandle {
  refuseUnsupported(config);
  const merged = [...loraLayers(model)].filter(([, layer]) => layer.merged).map(([path]) => path);
  if (merged.length > 0) {
    throw new MergeError({ reason: "Adapters are merged; call unmergeAdapter before adding another", paths: merged });
  }
  if (config.loraBias) {
    const without = targets.find(({ path }) => !("bias" in baseOf(model, path) && baseOf(model, path).bias));
    if (without) throw new LoraTargetError({ target: without.path, reason: "loraBias needs a base layer with a bias" });
  }
  const savedPaths = findSaved(model, config.modulesToSave);
  const adapters = ensureAdapters(model);
  // Biases change in place: what the base was must be known before.
  if (config.bias !== "none") adapters.baseHash = baseHash(model);
  const random = new RandomSource(seed);
  // Here, because a compiled function must not create variables.
  if (config.loraDropout > 0) random.setStep(0);
  const layers = new Map<string, AdaptedLayer>();
  const { loraBias, initLoraWeights, useRslora, useDora, loraDropout: dropout } = config;
  for (const { path, rank, alpha } of targets) {
    const layer = adapt(model, path);
    const scaling = loraScaling({ rank, alpha, useRslora });
    const init = at({ seed, path: "lora" }, path);
    layer.addAdapter(adapterName, { rank, scaling, loraBias, useDora, initLoraWeights, dropout, random, init });
    layers.set(path, layer);
  }
  const saved = savedPaths.map((path) => {
    const known = adapters.saved.get(path) ?? new SavedModule(path, model.getModule(path)!);
    adapters.saved.set(path, known);
    known.add(adapterName);
    return known;
  });
  const record: AdapterRecord = { config, saved, random };
  adapters.records.set(adapterName, record);
  setAdapter(model, adapterName);
  model.train(false);
  return {
    model,
    adapterName,
    config,
    seed,
    targets,
    skipped,
    layers,
    savedModules: saved,
    allow: [...trainableBiases(model, adapterName, config.bias).keys(), ...savedPaths],
    random,
    trainableParameters: () => new Map([...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad)),
    train: (on = true) => {
      model.train(false);
      // Only the layer itself: its base stays in evaluation mode.
      for (const layer of layers.values()) layer.training = on;
      for (const { module } of saved) module.train(on);
    },
  };
}

function baseOf(model: Module, path: string): Module & { bias?: Parameter } {
  const module = model.getModule(path)!;
  return isAdapted(module) ? module.base_layer : module;
}

/** The adapted layer at `path`, put there if it is not adapted yet. */
function adapt(model: Module, path: string): AdaptedLayer {
  const base = model.getModule(path);
  if (isAdapted(base)) return base;
  let layer: AdaptedLayer;
  if (base instanceof Linear || base instanceof QuantizedLinear) layer = new LoraLinear(base);
  else if (base instanceof Conv2d || base instanceof QuantizedConv2d) layer = new LoraConv2d(base);
  else if (base instanceof Embedding) layer = new LoraEmbedding(base);
  else throw new LoraTargetError({ target: path, reason: "it is neither Linear, Conv2d nor Embedding" });
  model.setModule(path, layer);
  return layer;
}

/** Outermost modules whose path ends in one of `names`; one of several aliases of the same tensors. @throws LoraTargetError for a name without match */
function findSaved(model: Module, names: readonly string[] | null): string[] {
  const result: string[] = [];
  const taken = new Set<unknown>();
  const found = new Set<string>();
  for (const [path, module] of model.namedModules()) {
    const name = names?.find((candidate) => path === candidate || path.endsWith(`.${candidate}`));
    if (name === undefined) continue;
    found.add(name);
    const leaves = [...module.namedLeaves()].map(([, leaf]) => leaf);
    if (leaves.length === 0 || leaves.every((leaf) => taken.has(leaf))) continue;
    if (isAdapted(module) || loraLayers(module).size > 0) {
      throw new LoraTargetError({ target: name, reason: `${path} carries adapters, so it cannot train in full` });
    }
    for (const leaf of leaves) taken.add(leaf);
    result.push(path);
  }
  const lost = names?.find((name) => !found.has(name));
  if (lost !== undefined)
    throw new LoraTargetError({ target: lost, reason: "modulesToSave names no module of this model" });
  return result;
}
