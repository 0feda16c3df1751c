import type { Graph, Node, Tensor } from "@seg/onnx";
import { floatValues, type GraphIndex, indexGraph } from "../graph-index.js";

const WITH_WEIGHTS: ReadonlySet<string> = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul"]);

/** The frozen kernel of the distribution focal loss decoder is 0, 1, ..., n-1: an expectation, not a learned layer. */
function isRamp(tensor: Tensor): boolean {
  return floatValues(tensor).every((value, index) => value === index);
}

/** True for a convolution or product with a trained constant. */
function hasLearnedWeights(node: Node, { initializers }: GraphIndex): boolean {
  if (!WITH_WEIGHTS.has(node.opType) || node.domain !== "") return false;
  const constants = node.inputs.slice(0, 2).map((name) => initializers.get(name));
  const weight = constants[1] ?? (node.opType === "MatMul" ? constants[0] : undefined);
  return weight !== undefined && !isRamp(weight);
}

/**
 * Nodes of the decode head, which must stay float: everything between a graph output and the first learned convolution above it.
 *
 * One scale over box pixels (0..640), probabilities (0..1) and coefficients would round every probability to zero; the rule is structural,
 * so no name of a layer matters.
 *
 * @returns node names per graph output, each node once, under the first output that reaches it
 */
export function headNodes(graph: Graph): Map<string, string[]> {
  const index = indexGraph(graph);
  const seen = new Set<string>();
  const perOutput = new Map<string, string[]>();
  for (const output of graph.outputs) {
    const names: string[] = [];
    const open = [output.name];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      const node = index.producers.get(value);
      if (node === undefined || seen.has(node.name) || hasLearnedWeights(node, index)) continue;
      seen.add(node.name);
      names.push(node.name);
      open.push(...node.inputs);
    }
    perOutput.set(output.name, names);
  }
  return perOutput;
}
