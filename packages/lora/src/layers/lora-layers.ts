import type { Module } from "@seg/nn";
import { LoraConv2d } from "./lora-conv2d.js";
import { LoraEmbedding } from "./lora-embedding.js";
import { LoraLinear } from "./lora-linear.js";

/** A layer that carries adapters. */
export type AdaptedLayer = LoraLinear | LoraConv2d | LoraEmbedding;

export function isAdapted(module: unknown): module is AdaptedLayer {
  return module instanceof LoraLinear || module instanceof LoraConv2d || module instanceof LoraEmbedding;
}

/** The adapted layers below `model`, by path, whichever adapter is active. */
export function loraLayers(model: Module): Map<string, AdaptedLayer> {
  const result = new Map<string, AdaptedLayer>();
  for (const [path, module] of model.namedModules()) if (isAdapted(module)) result.set(path, module);
  return result;
}
