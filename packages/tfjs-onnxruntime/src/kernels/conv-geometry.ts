import * as tf from "@tensorflow/tfjs";
import type { Value } from "../graph.js";
import type { Call } from "./define.js";

/** Geometry of a convolution, per spatial axis. */
export interface Geometry {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** ONNX order: all before, then all after; those after are what the last window needs, whatever the rounding. */
  readonly pads: readonly number[];
  readonly kernel: readonly number[];
}

/** Pads after each axis such that `out` windows fit exactly; 0 where the input has a tail that no window reaches. */
export function padsAfter({
  before,
  strides,
  dilations,
  kernel,
  input,
  out,
}: Record<"before" | "strides" | "dilations" | "kernel" | "input" | "out", readonly number[]>): number[] {
  return out.map((o, i) =>
    Math.max(0, (o - 1) * strides[i]! + (kernel[i]! - 1) * dilations[i]! + 1 - input[i]! - before[i]!),
  );
}

const NHWC_FROM_NCHW = [0, 2, 3, 1] as const;
const NCHW_FROM_NHWC = [0, 3, 1, 2] as const;

/** A two-dimensional convolution as a kernel sees it: whatever the data format, values are in NHWC. */
export interface Convolution {
  readonly geometry: Geometry;
  /** Shapes in NHWC. */
  readonly inShape: number[];
  readonly outShape: number[];
  /** A tensor's value in NHWC. */
  value(info: tf.TensorInfo): Value;
  /** The tensor of an NHWC value, in the data format. */
  tensor(value: Value): tf.TensorInfo;
}

/** Reads the attributes of tfjs's convolution kernels. `inShape` is in the data format. */
export function convolution(
  call: Call,
  inShape: readonly number[],
  filterShape: readonly number[],
  depthwise = false,
): Convolution {
  const { strides, pad, dilations, dimRoundingMode, dataFormat } = call.attrs as {
    strides: number;
    pad: number;
    dilations?: number;
    dimRoundingMode?: "floor";
    dataFormat?: "NHWC" | "NCHW";
  };
  const first = dataFormat === "NCHW";
  const info = tf.backend_util.computeConv2DInfo(
    inShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides,
    dilations ?? 1,
    pad,
    dimRoundingMode,
    depthwise,
    first ? "channelsFirst" : "channelsLast",
  );
  if (depthwise) {
    tf.util.assert(
      tf.backend_util.eitherStridesOrDilationsAreOne(strides, dilations ?? 1),
      () =>
        "Error in depthwiseConv2d: Either strides or dilations must be 1. " +
        `Got strides ${strides} and dilations '${dilations}'`,
    );
  }
  const size = {
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    kernel: [info.filterHeight, info.filterWidth],
  };
  const before = [info.padInfo.top, info.padInfo.left];
  const after = padsAfter({
    ...size,
    before,
    input: [info.inHeight, info.inWidth],
    out: [info.outHeight, info.outWidth],
  });
  const turn = (value: Value, perm: readonly number[]) =>
    call.record("Transpose", [value], [{ shape: perm.map((p) => value.shape[p]!), dtype: value.dtype }], { perm })[0]!;
  return {
    geometry: { ...size, pads: [...before, ...after] },
    inShape: [info.batchSize, info.inHeight, info.inWidth, info.inChannels],
    outShape: [info.batchSize, info.outHeight, info.outWidth, info.outChannels],
    value: (tensor) => (first ? turn(call.value(tensor), NHWC_FROM_NCHW) : call.value(tensor)),
    tensor: (value) => call.tensor(first ? turn(value, NCHW_FROM_NHWC) : value),
  };
}

/** The part of `dy` that the output shape has; tfjs ignores what goes beyond it. */
export function cropped(call: Call, dy: Value, outShape: readonly number[]): Value {
  if (dy.shape.every((d, i) => d <= outShape[i]!)) return dy;
  const size = dy.shape.map((d, i) => Math.min(d, outShape[i]!));
  return call.record("Slice", [dy], [{ shape: size, dtype: dy.dtype }], { begin: size.map(() => 0), size })[0]!;
}
