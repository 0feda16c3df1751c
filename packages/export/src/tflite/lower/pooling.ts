import { intAttribute, intsAttribute, stringAttribute } from "@seg/onnx";
import { int32Constant } from "../graph.js";
import { channelsLast } from "../layout.js";
import { ACTIVATIONS, PADDINGS } from "../operators.js";
import { CannotLower, type LowerContext } from "./context.js";
import { isSame, readWindow } from "./convolution.js";

/** MaxPool and AveragePool. SAME ignores places outside the image, as ONNX does (for averages: without count_include_pad). */
export function lowerPool(context: LowerContext): void {
  const { node } = context;
  const window = readWindow(context, intsAttribute(node, "kernel_shape") ?? []);
  const isPadded = window.pads.some((pad) => pad > 0);
  const refuse = (detail: string): never => {
    throw new CannotLower("unsupported_attribute_value", detail);
  };
  if (intAttribute(node, "ceil_mode", 0) !== 0) refuse("ceil_mode");
  if (window.dilations.some((dilation) => dilation > 1)) refuse("dilations");
  if (node.outputs.length > 1 && node.outputs[1] !== "") refuse("an output of indices");
  if (isPadded && !isSame(window)) refuse(`pads [${window.pads.join(",")}] with strides [${window.strides.join(",")}]`);
  if (isPadded && intAttribute(node, "count_include_pad", 0) !== 0) refuse("count_include_pad");
  context.emitValue({
    op: node.opType === "MaxPool" ? "MAX_POOL_2D" : "AVERAGE_POOL_2D",
    inputs: [context.toLayout(context.value(node.inputs[0]!), channelsLast(4)).tensor],
    layout: channelsLast(4),
    options: {
      padding: isPadded ? PADDINGS.same : PADDINGS.valid,
      strideH: window.strides[0],
      strideW: window.strides[1],
      filterH: window.kernel[0],
      filterW: window.kernel[1],
      activation: ACTIVATIONS.none,
    },
  });
}

/**
 * Resize by nearest neighbour. asymmetric + floor: both flags false; half_pixel + round_prefer_ceil: halfPixelCenters, which floors
 * (x + 0.5) * scale and so rounds half up.
 */
export function lowerResize(context: LowerContext): void {
  const { node } = context;
  const mode = stringAttribute(node, "mode", "nearest");
  const coordinates = stringAttribute(node, "coordinate_transformation_mode", "half_pixel");
  const rounding = stringAttribute(node, "nearest_mode", "round_prefer_floor");
  const isAsymmetric = coordinates === "asymmetric" && rounding === "floor";
  const isHalfPixel = coordinates === "half_pixel" && rounding === "round_prefer_ceil";
  if (mode !== "nearest" || !(isAsymmetric || isHalfPixel)) {
    throw new CannotLower("unsupported_attribute_value", `${mode}, ${coordinates}, ${rounding}`);
  }
  const [batch, channels, height = 0, width = 0] = context.shape(node.outputs[0]!);
  const [batchIn, channelsIn] = context.shape(node.inputs[0]!);
  if (batch !== batchIn || channels !== channelsIn) {
    throw new CannotLower("unsupported_attribute_value", "batch or channels change size");
  }
  context.emitValue({
    op: "RESIZE_NEAREST_NEIGHBOR",
    inputs: [
      context.toLayout(context.value(node.inputs[0]!), channelsLast(4)).tensor,
      int32Constant(`${node.name}/size`, [height, width], [2]),
    ],
    layout: channelsLast(4),
    options: { alignCorners: false, halfPixelCenters: isHalfPixel },
  });
}
