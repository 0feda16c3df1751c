import { floatAttribute, intAttribute } from "../attributes.js";
import type { GraphView } from "../graph-view.js";
import { DataType, type Model, type Node, type Tensor } from "../model.js";
import { elementCount, tensorData, tensorFrom } from "../tensor.js";
import { editGraph, type PassResult } from "./pass.js";

/** y = x * scale[c] + shift[c], in float64. */
interface ChannelAffine {
  scale: Float64Array;
  shift: Float64Array;
  node: Node;
}

/**
 * Folds what follows a convolution into its weights: BatchNormalization at inference (W' = W g / sqrt(v + eps),
 * b' = (b - mu) g / sqrt(v + eps) + beta; eps read from the node) and Add, Sub, Mul, Div with a constant per channel. Conv and ConvTranspose
 * with constant float32 parameters; computed in float64, rounded once. A weight that other nodes share gets a copy.
 */
export function foldBatchNorm(model: Model): PassResult {
  return editGraph(model, (view) => {
    for (const original of view.walk()) {
      let conv: Node | undefined = original;
      while (conv) conv = foldNext(view, conv);
    }
  });
}

/** Folds the consumer of `conv` and returns the new convolution, undefined if there is nothing to fold. */
function foldNext(view: GraphView, conv: Node): Node | undefined {
  if (!view.has(conv) || conv.domain !== "" || (conv.opType !== "Conv" && conv.opType !== "ConvTranspose"))
    return undefined;
  const weight = floatConstant(view, conv.inputs[1]);
  const biasName = conv.inputs[2] ?? "";
  const bias = biasName === "" ? undefined : floatConstant(view, biasName);
  if (!weight || (biasName !== "" && !bias)) return undefined;
  const groups = intAttribute(conv, "group", 1);
  const isTransposed = conv.opType === "ConvTranspose";
  const channels = isTransposed ? weight.dims[1]! * groups : weight.dims[0]!;
  const next = view.soleConsumer(conv.outputs[0]!);
  if (next?.outputs.length !== 1) return undefined;
  const affine = affineOf(view, next, conv.outputs[0]!, { channels, rank: weight.dims.length });
  if (!affine) return undefined;

  const source = tensorData(weight) as Float32Array;
  const scaled = new Float32Array(source.length);
  const inner = elementCount(weight.dims.slice(2));
  const [rows, columns] = [weight.dims[0]!, weight.dims[1]!];
  const rowsPerGroup = rows / groups;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const channel = isTransposed ? Math.floor(row / rowsPerGroup) * columns + column : row;
      const factor = affine.scale[channel]!;
      const from = (row * columns + column) * inner;
      for (let i = from; i < from + inner; i++) scaled[i] = source[i]! * factor;
    }
  const oldBias = bias ? (tensorData(bias) as Float32Array) : new Float32Array(channels);
  const shifted = Float32Array.from(oldBias, (b, c) => b * affine.scale[c]! + affine.shift[c]!);

  const weightName = ownName(view, conv.inputs[1]!, conv);
  const newBiasName =
    biasName === ""
      ? view.freshName(conv.inputs[1]!.replace(/([._/]?)weight$/, "$1bias").replace(/^(?!.*bias$).*$/, "$&_bias"))
      : ownName(view, biasName, conv);
  view.setInitializer(tensorFrom({ name: weightName, dataType: DataType.FLOAT, dims: weight.dims, data: scaled }));
  view.setInitializer(tensorFrom({ name: newBiasName, dataType: DataType.FLOAT, dims: [channels], data: shifted }));
  const folded: Node = { ...conv, inputs: [conv.inputs[0]!, weightName, newBiasName], outputs: [...next.outputs] };
  view.remove(next);
  view.replace(conv, folded);
  return folded;
}

function floatConstant(view: GraphView, name: string | undefined): Tensor | undefined {
  const tensor = name ? view.constant(name) : undefined;
  return tensor?.dataType === DataType.FLOAT && tensor.rawData ? tensor : undefined;
}

/** The name to store a changed parameter under: its own if `conv` alone uses it as an initializer, else a fresh one. */
function ownName(view: GraphView, name: string, conv: Node): string {
  const isOwn =
    view.initializer(name) &&
    view.soleConsumer(name) === conv &&
    conv.inputs.indexOf(name) === conv.inputs.lastIndexOf(name);
  return isOwn ? name : view.freshName(`${name}_folded`);
}

function affineOf(
  view: GraphView,
  node: Node,
  input: string,
  { channels, rank }: { channels: number; rank: number },
): ChannelAffine | undefined {
  if (node.domain !== "") return undefined;
  const scale = new Float64Array(channels).fill(1);
  const shift = new Float64Array(channels);
  if (node.opType === "BatchNormalization") {
    if (intAttribute(node, "training_mode", 0) !== 0 || node.inputs[0] !== input) return undefined;
    const parameters = node.inputs.slice(1, 5).map((name) => floatConstant(view, name));
    if (parameters.length !== 4 || parameters.some((tensor) => !tensor || tensor.dims[0] !== channels))
      return undefined;
    const [gamma, beta, mean, variance] = parameters.map((tensor) => tensorData(tensor!) as Float32Array) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const epsilon = floatAttribute(node, "epsilon", 1e-5);
    for (let c = 0; c < channels; c++) {
      scale[c] = gamma[c]! / Math.sqrt(variance[c]! + epsilon);
      shift[c] = beta[c]! - mean[c]! * scale[c]!;
    }
    return { scale, shift, node };
  }
  const isFirst = node.inputs[0] === input;
  const otherName = node.inputs[isFirst ? 1 : 0];
  if (node.inputs.length !== 2 || otherName === input) return undefined;
  const other = floatConstant(view, otherName);
  const values = other && perChannel(other, channels, rank);
  if (!values) return undefined;
  for (let c = 0; c < channels; c++) {
    const value = values[c]!;
    if (node.opType === "Add") shift[c] = value;
    else if (node.opType === "Mul") scale[c] = value;
    else if (node.opType === "Sub" && isFirst) shift[c] = -value;
    else if (node.opType === "Sub") [scale[c], shift[c]] = [-1, value];
    else if (node.opType === "Div" && isFirst && value !== 0) scale[c] = 1 / value;
    else return undefined;
  }
  return { scale, shift, node };
}

/** Values of a constant that broadcasts along the channel axis 1 of a rank-`rank` activation only; undefined otherwise. */
function perChannel(tensor: Tensor, channels: number, rank: number): Float64Array | undefined {
  const { dims } = tensor;
  if (dims.length > rank) return undefined;
  const data = tensorData(tensor) as Float32Array;
  if (data.length === 1) return new Float64Array(channels).fill(data[0]!);
  const axis = 1 - rank + dims.length;
  if (data.length !== channels || axis < 0 || dims[axis] !== channels) return undefined;
  return Float64Array.from(data);
}
