import { intAttribute, intsAttribute, stringAttribute } from "@seg/onnx";
import type { LiteTensor } from "../graph.js";
import { int32Constant } from "../graph.js";
import { channelsLast, type Layout, permuteValues } from "../layout.js";
import { ACTIVATIONS, PADDINGS } from "../operators.js";
import { CannotLower, type LowerContext, type LoweredValue } from "./context.js";

type Pair = [height: number, width: number];
type Pads = [top: number, left: number, bottom: number, right: number];

/** Window geometry of a convolution or pool over two axes. */
export interface Window {
  kernel: Pair;
  strides: Pair;
  dilations: Pair;
  pads: Pads;
}

/** Reads strides, dilations and pads; everything must be explicit and two-dimensional. */
export function readWindow(context: LowerContext, kernel: readonly number[]): Window {
  const { node } = context;
  if (kernel.length !== 2) {
    throw new CannotLower("unsupported_attribute_value", `${kernel.length} spatial axes; two are supported`);
  }
  const automatic = stringAttribute(node, "auto_pad", "NOTSET");
  if (automatic !== "NOTSET") throw new CannotLower("unsupported_attribute_value", `auto_pad ${automatic}`);
  return {
    kernel: kernel as Pair,
    strides: (intsAttribute(node, "strides") ?? [1, 1]) as Pair,
    dilations: (intsAttribute(node, "dilations") ?? [1, 1]) as Pair,
    pads: (intsAttribute(node, "pads") ?? [0, 0, 0, 0]) as Pads,
  };
}

/**
 * True where TFLite's SAME means these pads: stride 1, and d (k - 1) / 2 on every side. With stride 2, SAME pads by the image size, so it never
 * replaces explicit pads.
 */
export function isSame({ kernel, strides, dilations, pads }: Window): boolean {
  return [0, 1].every((axis) => {
    const pad = (dilations[axis]! * (kernel[axis]! - 1)) / 2;
    return strides[axis] === 1 && pads[axis] === pad && pads[axis + 2] === pad;
  });
}

/** Pads a channels-last image with zeros. */
export function padImage(
  context: LowerContext,
  { tensor }: LoweredValue,
  [top, left, bottom, right]: Pads,
): LiteTensor {
  const [batch = 1, height = 0, width = 0, channels = 0] = tensor.shape;
  return context.emit({
    op: "PAD",
    inputs: [tensor, int32Constant(`${context.node.name}/pads`, [0, 0, top, bottom, left, right, 0, 0], [4, 2])],
    name: `${context.node.name}/padded`,
    shape: [batch, height + top + bottom, width + left + right, channels],
    // Zero belongs to every quantised range, so padding does not change one.
    ...(tensor.origin === undefined ? {} : { origin: tensor.origin }),
  });
}

/** A 1x1 convolution treats all places alike, so the order of its spatial axes does not matter. */
function isPointwise({ kernel, strides, pads }: Window): boolean {
  return [...kernel, ...strides].every((value) => value === 1) && pads.every((pad) => pad === 0);
}

/** Conv -> CONV_2D with weights OHWI, or DEPTHWISE_CONV_2D with weights [1, H, W, O]. */
export function lowerConvolution(context: LowerContext): void {
  const { node } = context;
  const weight = context.floats(1);
  const [outputs = 0, perGroup = 0, ...kernel] = weight.dims;
  const window = readWindow(context, kernel);
  const group = intAttribute(node, "group", 1);
  const isDepthwise = group > 1 && perGroup === 1;
  if (group > 1 && !isDepthwise) throw new CannotLower("unsupported_attribute_value", `group ${group}`);
  const source = context.value(node.inputs[0]!);
  const rank = source.layout.length;
  const hasChannelsLast = source.layout[0] === 0 && source.layout[rank - 1] === 1;
  const x =
    isPointwise(window) && hasChannelsLast && !isDepthwise ? source : context.toLayout(source, channelsLast(rank));
  const padding = isSame(window) && window.pads.some((pad) => pad > 0) ? PADDINGS.same : PADDINGS.valid;
  const needsPad = padding === PADDINGS.valid && window.pads.some((pad) => pad > 0);
  const image = needsPad ? padImage(context, x, window.pads) : x.tensor;
  const name = node.inputs[1]!;
  const filterLayout: Layout = isDepthwise ? [1, 2, 3, 0] : [0, 2, 3, 1];
  const filterShape = filterLayout.map((axis) => weight.dims[axis]!);
  const filter = context.constant(name, permuteValues(weight.values, weight.dims, filterLayout), filterShape);
  const bias = context.optionalFloats(2)?.values ?? new Float32Array(outputs);
  context.emitValue({
    op: isDepthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D",
    inputs: [image, filter, context.constant(node.inputs[2] || `${node.name}/bias`, bias, [outputs])],
    layout: x.layout,
    options: {
      padding,
      strideH: window.strides[0],
      strideW: window.strides[1],
      dilationH: window.dilations[0],
      dilationW: window.dilations[1],
      activation: ACTIVATIONS.none,
      ...(isDepthwise ? { multiplier: outputs / group } : {}),
    },
  });
}

/** ConvTranspose -> TRANSPOSE_CONV with weights OHWI, not flipped. */
export function lowerTransposedConvolution(context: LowerContext): void {
  const { node } = context;
  const weight = context.floats(1);
  const [, outputs = 0, ...kernel] = weight.dims;
  const window = readWindow(context, kernel);
  const extra = intsAttribute(node, "output_padding") ?? [0, 0];
  const group = intAttribute(node, "group", 1);
  if (group !== 1 || extra.some((pad) => pad > 0) || window.dilations.some((dilation) => dilation > 1)) {
    throw new CannotLower("unsupported_attribute_value", "groups, dilation or output_padding");
  }
  const x = context.toLayout(context.value(node.inputs[0]!), channelsLast(4));
  const output = node.outputs[0]!;
  const layout = channelsLast(4);
  const shape = layout.map((axis) => context.shape(output)[axis]!);
  // SAME: the output is stride times the input, the surplus of the kernel cut off, the smaller half in front.
  const isCut = [0, 1].every((axis) => {
    const surplus = window.kernel[axis]! - window.strides[axis]!;
    const before = Math.floor(surplus / 2);
    return surplus >= 0 && window.pads[axis] === before && window.pads[axis + 2] === surplus - before;
  });
  const isPlain = window.pads.every((pad) => pad === 0);
  if (!isPlain && !isCut) {
    throw new CannotLower("unsupported_attribute_value", `pads [${window.pads.join(",")}]`);
  }
  const filter = permuteValues(weight.values, weight.dims, [1, 2, 3, 0]);
  const filterShape = [outputs, window.kernel[0], window.kernel[1], weight.dims[0]!];
  const inputs: LiteTensor[] = [
    int32Constant(`${node.name}/shape`, shape, [4]),
    context.constant(node.inputs[1]!, filter, filterShape),
    x.tensor,
  ];
  const bias = context.optionalFloats(2);
  if (bias !== undefined) inputs.push(context.constant(node.inputs[2]!, bias.values, [outputs]));
  context.emitValue({
    op: "TRANSPOSE_CONV",
    inputs,
    layout,
    options: {
      padding: isPlain ? PADDINGS.valid : PADDINGS.same,
      strideH: window.strides[0],
      strideW: window.strides[1],
    },
  });
}
