import { type Module, Parameter, type RandomSource } from "@seg/nn";
import type { LoraConfig } from "./config.js";
import { MergeError, UnknownAdapterError } from "./errors.js";
import { isAdapted, loraLayers } from "./layers/lora-layers.js";
import type { SavedModule } from "./saved-module.js";

/** What a model knows of one of its adapters. */
export interface AdapterRecord {
  readonly config: LoraConfig;
  readonly saved: readonly SavedModule[];
  readonly random: RandomSource;
}

/** Adapters of one model. It hangs on the model itself, so copies of this package and of the model's module agree. */
export class Adapters {
  readonly records = new Map<string, AdapterRecord>();
  /** Modules that train in full, by path. */
  readonly saved = new Map<string, SavedModule>();
  active: string | null = null;
  enabled = true;
  /** SHA-256 of the weights before anything was changed; null until it was asked for. */
  baseHash: string | null = null;
}

const key = Symbol.for("@seg/lora/adapters");

/** The adapters of `model`, the module that they were injected into; null before the first. */
export function adaptersOf(model: Module): Adapters | null {
  return (model as { [key]?: Adapters })[key] ?? null;
}

/** As {@link adaptersOf}, created on first use. */
export function ensureAdapters(model: Module): Adapters {
  const known = adaptersOf(model);
  if (known) return known;
  const adapters = new Adapters();
  Object.defineProperty(model, key, { value: adapters, configurable: true, enumerable: false });
  return adapters;
}

/** Forgets the adapters of a model whose layers were put back. */
export function forgetAdapters(model: Module): void {
  const adapters = adaptersOf(model);
  if (!adapters) return;
  for (const { random } of adapters.records.values()) random.dispose();
  delete (model as { [key]?: Adapters })[key];
}

/** Names of the adapters of `model`, in the order in which they were added. */
export function adapterNames(model: Module): string[] {
  return [...(adaptersOf(model)?.records.keys() ?? [])];
}

/** Name of the adapter that is active; null without any. */
export function activeAdapter(model: Module): string | null {
  return adaptersOf(model)?.active ?? null;
}

/**
 * Makes the adapter `name` the active one: its tensors, saved modules and biases are in the forward pass and trainable, those of the others
 * are neither. Layers without an adapter of that name compute what their base computes.
 *
 * @param model - the module that the adapters were injected into
 * @throws UnknownAdapterError; {@link MergeError} while adapters are merged
 */
export function setAdapter(model: Module, name: string): void {
  const adapters = adaptersOf(model);
  const record = adapters?.records.get(name);
  if (!adapters || !record) throw new UnknownAdapterError({ adapter: name, known: adapterNames(model) });
  const layers = loraLayers(model);
  const merged = [...layers].filter(([, layer]) => layer.merged).map(([path]) => path);
  if (merged.length > 0)
    throw new MergeError({ reason: "Adapters are merged; call unmergeAdapter before switching", paths: merged });
  for (const layer of layers.values()) layer.setAdapter(name);
  adapters.active = name;
  applySaved(adapters);
  for (const parameter of model.namedParameters().values()) parameter.requiresGrad = false;
  for (const layer of layers.values()) {
    for (const [, child] of layer.activeParts?.children ?? []) {
      for (const parameter of child instanceof Parameter ? [child] : child.namedParameters().values())
        parameter.requiresGrad = true;
    }
  }
  for (const saved of record.saved)
    for (const [, leaf] of saved.leaves()) if (leaf instanceof Parameter) leaf.requiresGrad = true;
  for (const parameter of trainableBiases(model, name, record.config.bias).values()) parameter.requiresGrad = true;
}

/** Puts the values of saved modules in place that the active adapter and the switch ask for. */
export function applySaved(adapters: Adapters): void {
  for (const saved of adapters.saved.values()) saved.use(adapters.enabled ? adapters.active : null);
}

/** Base biases that `bias` makes trainable, by their name with adapters in place. */
export function trainableBiases(model: Module, adapter: string, bias: LoraConfig["bias"]): Map<string, Parameter> {
  const result = new Map<string, Parameter>();
  if (bias === "none") return result;
  const own = new Set<Parameter>();
  const adaptedBiases = new Set<Parameter>();
  for (const [, module] of model.namedModules()) {
    if (!isAdapted(module)) continue;
    for (const [, child] of module.activeParts?.children ?? []) {
      for (const parameter of child instanceof Parameter ? [child] : child.namedParameters().values())
        own.add(parameter);
    }
    const base = module.base_layer as { bias?: Parameter };
    if (base.bias && module.partsOf(adapter)) adaptedBiases.add(base.bias);
  }
  for (const [name, parameter] of model.namedParameters()) {
    if (!name.endsWith(".bias") || own.has(parameter)) continue;
    if (bias === "all" || adaptedBiases.has(parameter)) result.set(name, parameter);
  }
  return result;
}
