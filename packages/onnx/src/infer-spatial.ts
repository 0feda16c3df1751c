import { intAttribute, intsAttribute, stringAttribute } from "./attributes.js";
import { integers } from "./evaluate.js";
import type { InferContext } from "./infer-rules.js";
import { DataType, type Dim } from "./model.js";
import { tensorData } from "./tensor.js";

/** Window parameters of one spatial axis. */
interface Window {
  kernel: number;
  stride: number;
  dilation: number;
  padBegin: number;
  padEnd: number;
}

function windows({ node }: InferContext, kernel: readonly number[]): Window[] {
  const strides = intsAttribute(node, "strides");
  const dilations = intsAttribute(node, "dilations");
  const pads = intsAttribute(node, "pads");
  return kernel.map((size, i) => ({
    kernel: size,
    stride: strides?.[i] ?? 1,
    dilation: dilations?.[i] ?? 1,
    padBegin: pads?.[i] ?? 0,
    padEnd: pads?.[i + kernel.length] ?? 0,
  }));
}

const extent = ({ kernel, dilation }: Window): number => dilation * (kernel - 1) + 1;

function spatial(shape: readonly Dim[], count: number, size: (input: number, axis: number) => Dim): Dim[] {
  return Array.from({ length: count }, (_, i) => {
    const input = shape[i + 2] ?? null;
    return typeof input === "number" ? size(input, i) : null;
  });
}

/** Kernel sizes from the attribute or the weight's shape; null if neither is known. */
function kernelOf({ node, inputs }: InferContext): number[] | null {
  const given = intsAttribute(node, "kernel_shape");
  if (given) return given;
  const dims = inputs[1]?.shape?.slice(2);
  return dims?.every((dim): dim is number => typeof dim === "number") ? dims : null;
}

/** Conv: floor((in + pads - (d (k - 1) + 1)) / s) + 1, or ceil(in / s) for SAME padding. */
export function convShape(shape: Dim[], context: InferContext): Dim[] | null {
  const kernel = kernelOf(context);
  if (!kernel || kernel.length !== shape.length - 2) return null;
  const autoPad = stringAttribute(context.node, "auto_pad", "NOTSET");
  const window = windows(context, kernel);
  const dims = spatial(shape, kernel.length, (input, i) => {
    const w = window[i]!;
    if (autoPad.startsWith("SAME")) return Math.ceil(input / w.stride);
    const pads = autoPad === "VALID" ? 0 : w.padBegin + w.padEnd;
    return Math.floor((input + pads - extent(w)) / w.stride) + 1;
  });
  return [shape[0]!, context.inputs[1]?.shape?.[0] ?? null, ...dims];
}

/** ConvTranspose: s (in - 1) + output_padding + d (k - 1) + 1 - pads, `output_shape`, or in * s for SAME padding. */
export function convTransposeShape(shape: Dim[], context: InferContext): Dim[] | null {
  const kernel = kernelOf(context);
  if (!kernel || kernel.length !== shape.length - 2) return null;
  const { node, inputs } = context;
  const perGroup = inputs[1]?.shape?.[1] ?? null;
  const channels = typeof perGroup === "number" ? perGroup * intAttribute(node, "group", 1) : null;
  const fixed = intsAttribute(node, "output_shape");
  if (fixed) return [shape[0]!, channels, ...fixed.slice(-kernel.length)];
  const autoPad = stringAttribute(node, "auto_pad", "NOTSET");
  const outputPadding = intsAttribute(node, "output_padding");
  const window = windows(context, kernel);
  const dims = spatial(shape, kernel.length, (input, i) => {
    const w = window[i]!;
    if (autoPad.startsWith("SAME")) return input * w.stride;
    const pads = autoPad === "VALID" ? 0 : w.padBegin + w.padEnd;
    return w.stride * (input - 1) + (outputPadding?.[i] ?? 0) + extent(w) - pads;
  });
  return [shape[0]!, channels, ...dims];
}

/** MaxPool and AveragePool. With ceil_mode, runtimes differ on a last window that starts in the padding: unknown there. */
export function poolShape(shape: Dim[], context: InferContext): Dim[] | null {
  const kernel = intsAttribute(context.node, "kernel_shape");
  if (!kernel || kernel.length !== shape.length - 2) return null;
  const autoPad = stringAttribute(context.node, "auto_pad", "NOTSET");
  const isCeil = intAttribute(context.node, "ceil_mode", 0) !== 0;
  const window = windows(context, kernel);
  const dims = spatial(shape, kernel.length, (input, i) => {
    const w = window[i]!;
    if (autoPad.startsWith("SAME")) return Math.ceil(input / w.stride);
    const pads = autoPad === "VALID" ? 0 : w.padBegin + w.padEnd;
    const steps = (input + pads - extent(w)) / w.stride;
    if (!isCeil) return Math.floor(steps) + 1;
    const size = Math.ceil(steps) + 1;
    return (size - 1) * w.stride >= input + w.padBegin ? null : size;
  });
  return [shape[0]!, shape[1]!, ...dims];
}

/** Resize: given sizes, or floor(in * scale) with the float32 scale. Keep-aspect policies and crops are not covered. */
export function resizeShape(shape: Dim[], context: InferContext): Dim[] | null {
  const { node, opset, constants } = context;
  const isPlain =
    stringAttribute(node, "keep_aspect_ratio_policy", "stretch") === "stretch" &&
    stringAttribute(node, "coordinate_transformation_mode", "half_pixel") !== "tf_crop_and_resize" &&
    !intsAttribute(node, "axes");
  if (!isPlain) return shape.map(() => null);
  const sizes = opset >= 11 ? integers(constants[3]) : undefined;
  if (sizes?.length === shape.length) return sizes;
  const scales = constants[opset >= 11 ? 2 : 1];
  if (scales?.dataType !== DataType.FLOAT || scales.dims[0] !== shape.length) return shape.map(() => null);
  const factors = tensorData(scales) as Float32Array;
  return shape.map((dim, i) => {
    if (factors[i] === 1) return dim;
    return typeof dim === "number" ? Math.floor(dim * factors[i]!) : null;
  });
}
