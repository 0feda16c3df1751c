/**
 * PEFT-compatible LoRA adapters for `@seg/nn` modules.
 *
 * @example
 * const handle = injectLora(model, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }, { seed: 0 });
 * verifyFreezing(model); // then train handle.trainableParameters()
 * saveAdapter(handle, "teachers/sam_lora");
 * @module
 */
export { loadAdapter, saveAdapter } from "./adapter-files.js";
export { type LoraConfig, type LoraConfigInput, loraConfigSchema } from "./config.js";
export { AdapterMismatchError, FreezingError, LoraTargetError, MergeError, UnsupportedAdapterError } from "./errors.js";
export { type FreezingCounts, trainableSummary, verifyFreezing } from "./freezing.js";
export { injectLora, type LoraHandle } from "./inject.js";
export { LoraConv2d, LoraLayer, type LoraLayerOptions, LoraLinear, loraLayers, loraScaling } from "./lora-layer.js";
export { mergeAdapter, mergeAndUnload, setAdaptersEnabled, unmergeAdapter, withAdaptersDisabled } from "./merge.js";
export { fromPeftConfig, toPeftConfig } from "./peft-config.js";
export { type LoraTarget, resolveTargets, type SkippedTarget } from "./targets.js";
