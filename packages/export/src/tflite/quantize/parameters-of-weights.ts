import { floatTensor } from "../../graph-index.js";
import { biasScaleFloor, quantizeBias, quantizeWeight } from "../../quantize/weights.js";
import { constantFloats, type LiteOp, type LiteTensor } from "../graph.js";
import { isRamp } from "../is-ramp.js";

/** Positions of weights and bias, and the weights' axis of output channels. */
export const WEIGHTED_OPS: Readonly<Record<string, { weight: number; bias: number; axis: number; input: number }>> = {
  CONV_2D: { input: 0, weight: 1, bias: 2, axis: 0 },
  DEPTHWISE_CONV_2D: { input: 0, weight: 1, bias: 2, axis: 3 },
  TRANSPOSE_CONV: { input: 2, weight: 1, bias: 3, axis: 0 },
};

const bytesOf = (view: Int8Array | Int32Array): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/**
 * Int8 weights with one symmetric scale per output channel, and the int32 bias of scale s_in * s_w[c].
 * @param inputScale - absent: weights only, the bias stays float32
 */
export function quantizeWeights(op: LiteOp, inputScale?: number): { weight: LiteTensor; bias: LiteTensor | undefined } {
  const { weight: position, bias: biasPosition, axis } = WEIGHTED_OPS[op.op]!;
  const source = op.inputs[position]!;
  const bias = op.inputs[biasPosition] ?? undefined;
  const values = constantFloats(source);
  const tensor = floatTensor(source.name, values, source.shape);
  const biasTensor = bias && floatTensor(bias.name, constantFloats(bias), bias.shape);
  const minimumScales =
    biasTensor === undefined || inputScale === undefined ? undefined : biasScaleFloor({ bias: biasTensor, inputScale });
  // With scale 1 the integers of the box decoder's ramp are exact.
  const quantized = isRamp(values)
    ? { values: Int8Array.from(values), scales: new Float32Array(source.shape[axis]!).fill(1) }
    : quantizeWeight({ tensor, axis, ...(minimumScales ? { minimumScales } : {}) });
  const scale = Array.from(quantized.scales);
  const weight: LiteTensor = {
    name: source.name,
    shape: source.shape,
    type: "int8",
    data: bytesOf(quantized.values),
    quantization: { scale, zeroPoint: scale.map(() => 0), dimension: axis },
  };
  if (biasTensor === undefined || inputScale === undefined) return { weight, bias };
  const integers = quantizeBias({ bias: biasTensor, inputScale, weightScales: quantized.scales });
  const biasScale = Array.from(integers.scales);
  return {
    weight,
    bias: {
      name: bias!.name,
      shape: bias!.shape,
      type: "int32",
      data: bytesOf(integers.values),
      quantization: { scale: biasScale, zeroPoint: biasScale.map(() => 0), dimension: 0 },
    },
  };
}
