import { INTEGER_RANGES, type IntegerRange } from "./parameters.js";

/**
 * Target of an INT8 artefact. `x64`: uint8 activations (AVX-512 VNNI, AVX-VNNI). `x64-avx2`: the same with weights in 7 bits, because
 * without VNNI the sums of two products saturate at 16 bits. `arm`: int8 activations. `tensorrt`: symmetric int8 with a pair per consumer, float
 * biases; slow on CPUs. `tflite`: the numbers of a TFLite INT8 model as ONNX, to judge its accuracy without its runtime.
 */
export type QuantPreset = "x64" | "x64-avx2" | "arm" | "tensorrt" | "tflite";

/** Number formats and rules of placement of a preset. */
export interface PresetFormat {
  readonly activation: "uint8" | "int8";
  readonly activationRange: IntegerRange;
  /** Zero point in the middle of the integers, 0 for int8. */
  readonly symmetric: boolean;
  readonly weightRange: IntegerRange;
  /** int32 at scale s_in * s_w, or as it was. */
  readonly bias: "int32" | "float";
  /**
   * `tensor`: one pair behind each activation. `consumer`: a pair of its own in front of every operator that computes in integers, none in
   * front of activations functions, so that they fuse with their convolution.
   */
  readonly placement: "tensor" | "consumer";
  /** Inputs and output of a Concat have one scale: inputs of no other use take the output's range, others are requantised. */
  readonly concatSharesScale: boolean;
  /** Sigmoid results have scale 1/256 and zero point -128. */
  readonly fixedSigmoid: boolean;
}

const { uint8, int8 } = INTEGER_RANGES;
const cpu = {
  activation: "uint8",
  activationRange: uint8,
  symmetric: false,
  weightRange: INTEGER_RANGES["int8-symmetric"],
  bias: "int32",
  placement: "tensor",
  concatSharesScale: false,
  fixedSigmoid: false,
} as const satisfies PresetFormat;

/** Every preset's format. */
export const QUANT_PRESETS: Readonly<Record<QuantPreset, PresetFormat>> = {
  x64: cpu,
  "x64-avx2": { ...cpu, weightRange: INTEGER_RANGES["int8-reduced"] },
  arm: { ...cpu, activation: "int8", activationRange: int8 },
  tensorrt: {
    ...cpu,
    activation: "int8",
    activationRange: INTEGER_RANGES["int8-symmetric"],
    symmetric: true,
    bias: "float",
    placement: "consumer",
    concatSharesScale: true,
  },
  tflite: { ...cpu, activation: "int8", activationRange: int8, concatSharesScale: true, fixedSigmoid: true },
};
