import * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import type { Call } from "./define.js";

/** Attributes that tfjs's fused kernels share. */
export interface FusedAttrs {
  readonly activation?: string | null;
  readonly leakyreluAlpha?: number;
}

const kernelOf: Readonly<Record<string, string>> = { relu: "Relu", relu6: "Relu6", elu: "Elu", sigmoid: "Sigmoid" };

/** activation(y + bias), the tail of tfjs's fused kernels; the bias broadcasts over the last axis. */
export function epilogue(
  call: Call,
  y: Value,
  { activation, leakyreluAlpha = 0.2 }: FusedAttrs,
  bias: Value | undefined,
  slope: Value | undefined,
): Value {
  const { shape, dtype } = y;
  const then = (op: string, inputs: readonly Value[]): Value => call.record(op, inputs, [{ shape, dtype }])[0]!;
  const sum = bias ? then("Add", [y, bias]) : y;
  if (!activation || activation === "linear") return sum;
  if (activation === "leakyrelu") return then("LeakyRelu", [sum, call.scalar(leakyreluAlpha)]);
  if (activation === "prelu") return then("Prelu", [sum, slope!]);
  const op = kernelOf[activation];
  tf.util.assert(
    op !== undefined,
    () => `Activation ${activation} has not been implemented for the onnxruntime backend.`,
  );
  return then(op!, [sum]);
}

/** {@link epilogue} of a call's own bias and slope, for a convolution in NHWC; the slope may be in the data format. */
export function convEpilogue(call: Call, y: Value): Value {
  const { bias, preluActivationWeights: weights } = call.inputs as Record<string, tf.TensorInfo | undefined>;
  const attrs = call.attrs as unknown as FusedAttrs & { dataFormat?: string };
  let slope = weights && call.value(weights);
  if (slope && attrs.dataFormat === "NCHW" && slope.shape.length === 3) {
    const [channels, height, width] = slope.shape as [number, number, number];
    const outputs = [{ shape: [height, width, channels], dtype: slope.dtype }];
    slope = call.record("Transpose", [slope], outputs, { perm: [1, 2, 0] })[0]!;
  }
  return epilogue(call, y, attrs, bias && call.value(bias), slope);
}
