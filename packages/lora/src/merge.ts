import type { Module } from "@seg/nn";
import { adaptersOf, applySaved, forgetAdapters } from "./adapters.js";
import { MergeError, UnknownAdapterError } from "./errors.js";
import { type AdaptedLayer, loraLayers } from "./layers/lora-layers.js";

/**
 * Adds adapters to their base weights, W + B A s (with DoRA m/n (W + B A s)), so that inference costs what the base costs. All or nothing.
 *
 * @param adapters - names, merged in this order. @defaultValue the active one
 * @throws {@link MergeError} when there is nothing to merge, a layer is merged already, the base is quantised, or a result is not finite;
 * UnknownAdapterError
 */
export function mergeAdapter(model: Module, { adapters }: { adapters?: readonly string[] } = {}): void {
  const layers = adapted(model);
  const already = [...layers].filter(([, layer]) => layer.merged).map(([path]) => path);
  if (already.length > 0)
    throw new MergeError({ reason: "Adapters are merged already; call unmergeAdapter first", paths: already });
  const known = new Set([...layers.values()].flatMap((layer) => layer.adapterNames));
  const unknown = adapters?.find((name) => !known.has(name));
  if (unknown !== undefined) throw new UnknownAdapterError({ adapter: unknown, known: [...known] });
  const results = [...layers].flatMap(([path, layer]) => {
    const names = adapters ?? (layer.activeAdapter === null ? [] : [layer.activeAdapter]);
    return names.some((name) => layer.partsOf(name)) ? [{ path, layer, weights: layer.mergedWeights(names) }] : [];
  });
  const broken = results.filter(
    ({ weights }) => !isFinite32(weights.weight) || (weights.bias && !isFinite32(weights.bias)),
  );
  if (broken.length > 0) {
    throw new MergeError({ reason: "Merged weights would not be finite", paths: broken.map(({ path }) => path) });
  }
  for (const { layer, weights } of results) layer.merge(weights);
}

/**
 * Restores the base weights that {@link mergeAdapter} kept, byte for byte.
 * @throws {@link MergeError} when adapters are not merged
 */
export function unmergeAdapter(model: Module): void {
  const layers = [...adapted(model)];
  if (!layers.some(([, layer]) => layer.merged)) {
    throw new MergeError({ reason: "Adapters are not merged", paths: layers.map(([path]) => path) });
  }
  for (const [, layer] of layers) if (layer.merged) layer.unmerge();
}

/**
 * Merges (unless merged already) and puts the original layers back: the tree and its state-dict names are those from before injection, all
 * adapter tensors are freed, saved modules keep their trained values. Parameters stay frozen. Handles of this model must not be used afterwards.
 *
 * @param adapters - see {@link mergeAdapter}
 * @throws {@link MergeError}
 */
export function mergeAndUnload(model: Module, options: { adapters?: readonly string[] } = {}): void {
  const layers = adapted(model);
  setAdaptersEnabled(model, true);
  if (![...layers.values()].some((layer) => layer.merged)) mergeAdapter(model, options);
  for (const [path, layer] of layers) {
    model.setModule(path, layer.base_layer);
    layer.disposeAdapters();
  }
  for (const parameter of model.namedParameters().values()) parameter.requiresGrad = false;
  forgetAdapters(model);
}

/**
 * Switches all adapters and saved modules of `model`; switched off, it computes what the pristine base computes, also while merged. Base biases
 * that an adapter trained stay as they are, as in PEFT.
 */
export function setAdaptersEnabled(model: Module, on: boolean): void {
  for (const layer of loraLayers(model).values()) layer.enabled = on;
  const adapters = adaptersOf(model);
  if (!adapters) return;
  adapters.enabled = on;
  applySaved(adapters);
}

/** Runs `fn` (which may be asynchronous) with all adapters off and restores the previous state. @returns what `fn` returns */
export function withAdaptersDisabled<T>(model: Module, fn: () => T): T {
  const before = [...loraLayers(model).values()].map((layer) => ({ layer, enabled: layer.enabled }));
  const wasEnabled = adaptersOf(model)?.enabled ?? true;
  const restore = () => {
    for (const { layer, enabled } of before) layer.enabled = enabled;
    const adapters = adaptersOf(model);
    if (!adapters) return;
    adapters.enabled = wasEnabled;
    applySaved(adapters);
  };
  setAdaptersEnabled(model, false);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    restore();
    throw error;
  }
  if (result instanceof Promise) return result.finally(restore) as T;
  restore();
  return result;
}

function adapted(model: Module): Map<string, AdaptedLayer> {
  const layers = loraLayers(model);
  if (layers.size === 0) throw new MergeError({ reason: "The model has no adapters", paths: [] });
  return layers;
}

function isFinite32(values: Float32Array): boolean {
  return values.every(Number.isFinite);
}
