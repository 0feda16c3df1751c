/**
 * Module trees with PyTorch state-dict names over TensorFlow.js, weight files, and the YOLOv8 networks.
 * @module
 */
export { SafetensorsFormatError, SegError, StateDictError } from "./errors.js";
export { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16 } from "./float16.js";
export { at, type InitContext, normal, uniform } from "./init.js";
export { Conv2d, ConvTranspose2d } from "./layers/conv2d.js";
export { Embedding } from "./layers/embedding.js";
export { Linear } from "./layers/linear.js";
export { BatchNorm2d, LayerNorm } from "./layers/norm.js";
export { Buffer, Counter, Module, ModuleList, Parameter, type StateTensor } from "./module.js";
export type { SafetensorsDtype } from "./safetensors/header.js";
export { readSafetensors, type SafetensorsFile } from "./safetensors/read.js";
export { encodeSafetensors, type WriteSafetensorsOptions, writeSafetensors } from "./safetensors/write.js";
export { type LoadReport, loadStateDict, type StateDict, stateDict } from "./state-dict.js";
export { writeFileAtomic } from "./write-file-atomic.js";
