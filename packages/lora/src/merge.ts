import type { Module } from "@seg/nn";
import { MergeError } from "./errors.js";
import { type LoraConv2d, type LoraLinear, loraLayers } from "./lora-layer.js";

/**
 * Adds every adapter to its base weight, W + B A s, so that inference costs what the base costs. All or nothing.
 * @throws {@link MergeError} when there is nothing to merge, a layer is merged already, or a result is not finite
 */
export function mergeAdapter(model: Module): void {
  const layers = adapted(model);
  const already = [...layers].filter(([, layer]) => layer.merged).map(([path]) => path);
  if (already.length > 0)
    throw new MergeError({ reason: "Adapters are merged already; call unmergeAdapter first", paths: already });
  const results = [...layers].map(([path, layer]) => ({ path, layer, weights: layer.mergedWeights() }));
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
  const layers = adapted(model);
  const not = [...layers].filter(([, layer]) => !layer.merged).map(([path]) => path);
  if (not.length > 0) throw new MergeError({ reason: "Adapters are not merged", paths: not });
  for (const layer of layers.values()) layer.unmerge();
}

/**
 * Merges (unless merged already) and puts the original layers back: the tree and its state-dict names are those from before injection, the
 * adapter tensors are freed. Parameters stay frozen. Handles of this model must not be used afterwards.
 * @throws {@link MergeError}
 */
export function mergeAndUnload(model: Module): void {
  const layers = adapted(model);
  if (![...layers.values()].every((layer) => layer.merged)) mergeAdapter(model);
  for (const [path, layer] of layers) {
    layer.enabled = true;
    model.setModule(path, layer.base_layer);
    layer.lora_A.dispose();
    layer.lora_B.dispose();
  }
}

/** Switches all adapters of `model`; switched off, it computes what the pristine base computes, also while merged. */
export function setAdaptersEnabled(model: Module, on: boolean): void {
  for (const layer of loraLayers(model).values()) layer.enabled = on;
}

/** Runs `fn` (which may be asynchronous) with all adapters off and restores each layer's previous state. @returns what `fn` returns */
export function withAdaptersDisabled<T>(model: Module, fn: () => T): T {
  const before = [...loraLayers(model).values()].map((layer) => ({ layer, enabled: layer.enabled }));
  const restore = () => {
    for (const { layer, enabled } of before) layer.enabled = enabled;
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

function adapted(model: Module): Map<string, LoraLinear | LoraConv2d> {
  const layers = loraLayers(model);
  if (layers.size === 0) throw new MergeError({ reason: "The model has no adapters", paths: [] });
  return layers;
}

function isFinite32(values: Float32Array): boolean {
  return values.every(Number.isFinite);
}
