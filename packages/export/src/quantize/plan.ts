import { DataType, type Graph, intAttribute, type Node } from "@seg/onnx";
import { indexGraph } from "../graph-index.js";

/** Operators that keep values as they are: output and input share parameters. */
const SHARING: ReadonlySet<string> = new Set([
  "Reshape",
  "Transpose",
  "Squeeze",
  "Unsqueeze",
  "Flatten",
  "Resize",
  "MaxPool",
  "AveragePool",
  "Slice",
  "Split",
  "Gather",
]);
/** Operators whose float inputs and outputs have parameters of their own. */
const OWN: ReadonlySet<string> = new Set(["Add", "Mul", "Sigmoid", "Concat"]);

/** A convolution with its constants. */
export interface WeightedNode {
  node: Node;
  weight: string;
  /** Output-channel axis of the weight. */
  axis: number;
  bias?: string;
}

/** What will be quantised, before any range is known. */
export interface QuantPlan {
  /** Activation tensors that need a range of their own, in graph order. */
  activations: string[];
  /** Constant float operands of elementwise operators. */
  constants: string[];
  /** tensor -> the tensor whose parameters it takes; never a chain. */
  shared: Map<string, string>;
  weighted: WeightedNode[];
}

/** Output-channel axis of the weight of a weighted operator; null for any other, and for grouped transposed convolutions. */
function weightAxis(node: Node): number | null {
  if (node.opType === "Conv") return 0;
  if (node.opType === "ConvTranspose") return intAttribute(node, "group", 1) === 1 ? 1 : null;
  if (node.opType === "Gemm") return intAttribute(node, "transB", 0) === 1 ? 0 : 1;
  return node.opType === "MatMul" ? 1 : null;
}

/**
 * Decides which tensors get quantise / dequantise pairs: every node outside `excluded` whose operator has a quantised form.
 * @param excluded - node names that stay float
 */
export function planQuantization(graph: Graph, excluded: ReadonlySet<string>): QuantPlan {
  const index = indexGraph(graph);
  const activations = new Set<string>();
  const constants = new Set<string>();
  const shared = new Map<string, string>();
  const weighted: WeightedNode[] = [];
  const isQuantized = (name: string): boolean => activations.has(name) || shared.has(name) || constants.has(name);
  const want = (name: string): void => {
    if (name !== "" && !isQuantized(name)) (index.initializers.has(name) ? constants : activations).add(name);
  };
  for (const node of graph.nodes) {
    if (node.domain !== "" || excluded.has(node.name)) continue;
    const [x = "", weight = "", bias = ""] = node.inputs;
    const axis = weightAxis(node);
    const kernel = index.initializers.get(weight);
    // Shape arithmetic uses the same operators on integers.
    const hasIntegers = node.inputs.some(
      (name) => (index.initializers.get(name)?.dataType ?? DataType.FLOAT) !== DataType.FLOAT,
    );
    if (axis !== null && kernel !== undefined) {
      if (kernel.dims.length < 2 || (node.opType === "MatMul" && kernel.dims.length !== 2)) continue;
      want(x);
      weighted.push({ node, weight, axis, ...(bias === "" ? {} : { bias }) });
      want(node.outputs[0]!);
    } else if ((OWN.has(node.opType) || node.opType === "MatMul") && !hasIntegers) {
      for (const input of node.inputs) want(input);
      want(node.outputs[0]!);
    } else if (SHARING.has(node.opType) && isQuantized(x) && !constants.has(x)) {
      const source = shared.get(x) ?? x;
      for (const output of node.outputs) if (output !== "" && !isQuantized(output)) shared.set(output, source);
    } else if (node.opType === "Softmax") {
      want(x);
      want(node.outputs[0]!);
    }
  }
  return { activations: [...activations], constants: [...constants], shared, weighted };
}
