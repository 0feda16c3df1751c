/**
 * Module trees with PyTorch state-dict names over TensorFlow.js, weight files, and the YOLOv8 networks.
 * @module
 */

export { float16ToFloat32, float32ToFloat16 } from "@seg/onnx";
export { bfloat16ToFloat32 } from "./bfloat16.js";
export {
  CheckpointFormatError,
  SafetensorsFormatError,
  SegError,
  StateDictError,
  type StateMismatch,
  UnsafePickleError,
} from "./errors.js";
export { gelu, silu } from "./functional/activations.js";
export { type GridSampleOptions, gridSample } from "./functional/grid-sample.js";
export { type InterpolateOptions, interpolate } from "./functional/interpolate.js";
export { at, type InitContext, normal, uniform } from "./init.js";
export { KeyMap, type KeyMapReport, type KeyOrigin, type KeyRule } from "./key-map.js";
export {
  Conv2d,
  type Conv2dOptions,
  ConvTranspose2d,
  type ConvTranspose2dOptions,
  type Padding,
  type PerAxis,
} from "./layers/conv2d.js";
export { Dropout, DropPath } from "./layers/dropout.js";
export { Embedding } from "./layers/embedding.js";
export { GroupNorm } from "./layers/group-norm.js";
export { Linear } from "./layers/linear.js";
export { BatchNorm2d, LayerNorm } from "./layers/norm.js";
export { Buffer, Counter, Module, ModuleList, Parameter, type StateTensor } from "./module.js";
export { RandomSource } from "./random-source.js";
export { readSafetensors, type SafetensorsFile } from "./safetensors/read.js";
export { encodeSafetensors, type WriteSafetensorsOptions, writeSafetensors } from "./safetensors/write.js";
export {
  type LoadReport,
  type LoadStateDictOptions,
  loadStateDict,
  moduleWeights,
  type StateDict,
  stateDict,
} from "./state-dict.js";
export { PickleObject } from "./torch-checkpoint/pickle-values.js";
export { type ReadTorchCheckpointOptions, readTorchCheckpoint, type TorchCheckpoint } from "./torch-checkpoint/read.js";
export type { TensorDtype } from "./weights/dtype.js";
export { openSharded, type ShardedFile } from "./weights/open-sharded.js";
export { openWeights } from "./weights/open-weights.js";
export { type TensorSource, toTensorSource } from "./weights/tensor-source.js";
export type { TensorInfo, WeightFile } from "./weights/weight-file.js";
export { weightsHash } from "./weights-hash.js";
export { writeFileAtomic } from "./write-file-atomic.js";
export { Bottleneck, C2f, Concat, ConvBlock, type NormOptions, Sppf, Upsample } from "./yolov8/blocks.js";
export { anchorPoints, deployForward, type HeadTensors, headTensors } from "./yolov8/decode.js";
export { Dfl, Head, type HeadLevel, MASK_COEFFICIENTS, Proto, STRIDES } from "./yolov8/head.js";
export { type LayerWidths, layerWidths, setLayerWidths } from "./yolov8/layer-widths.js";
export { createYolov8, Yolov8, type Yolov8Options, type Yolov8Output } from "./yolov8/model.js";
export { scaleChannels, scaleRepeats, YOLOV8_SCALES, type Yolov8Scale, type Yolov8ScaleName } from "./yolov8/scales.js";
