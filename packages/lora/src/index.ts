/**
 * PEFT-compatible LoRA adapters for `@seg/nn` modules.
 *
 * @example
 * const handle = injectLora(model, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }, { seed: 0 });
 * verifyFreezing(model); // then train handle.trainableParameters()
 * saveAdapter(handle, "teachers/sam_lora");
 * @module
 */
export { type LoadAdapterOptions, loadAdapter, type SaveAdapterOptions, saveAdapter } from "./adapter-files.js";
export { activeAdapter, adapterNames, setAdapter } from "./adapters.js";
export { baseHash, baseWeights } from "./base-weights.js";
export { type LoraConfig, type LoraConfigInput, loraConfigSchema, parseLoraConfig } from "./config.js";
export { type ConvertedAdapter, convertSamedAdapter } from "./convert-samed.js";
export {
  AdapterMismatchError,
  FreezingError,
  LoraConfigError,
  LoraTargetError,
  MergeError,
  UnknownAdapterError,
  UnsupportedAdapterError,
} from "./errors.js";
export { type FreezingCounts, trainableSummary, verifyFreezing } from "./freezing.js";
export { injectLora, type LoraHandle } from "./inject.js";
export { LoraConv2d } from "./layers/lora-conv2d.js";
export { LoraEmbedding } from "./layers/lora-embedding.js";
export { LoraLayer, type LoraLayerOptions, type LoraParts, loraScaling } from "./layers/lora-layer.js";
export { type AdaptedLayer, loraLayers } from "./layers/lora-layers.js";
export { LoraLinear } from "./layers/lora-linear.js";
export { mergeAdapter, mergeAndUnload, setAdaptersEnabled, unmergeAdapter, withAdaptersDisabled } from "./merge.js";
export { fromPeftConfig, toPeftConfig } from "./peft-config.js";
export { type QuantizationReport, quantizeFrozen } from "./quantize/quantize-frozen.js";
export { QuantizedConv2d } from "./quantize/quantized-conv2d.js";
export { QuantizedLayer } from "./quantize/quantized-layer.js";
export { QuantizedLinear } from "./quantize/quantized-linear.js";
export { type Bits, QuantizedWeight } from "./quantize/quantized-weight.js";
export { SavedModule } from "./saved-module.js";
export { type LoraTarget, resolveTargets, type SkippedTarget } from "./targets.js";
