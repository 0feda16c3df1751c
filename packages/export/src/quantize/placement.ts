import type { Graph, Node } from "@seg/onnx";
import { type GraphIndex, indexGraph } from "../graph-index.js";
import { DisjointSets } from "../prune/disjoint-sets.js";
import type { QuantPlan } from "./plan.js";
import type { PresetFormat } from "./presets.js";

/** A quantise / dequantise pair in front of one input of one node. */
export interface EdgePair {
  readonly node: Node;
  readonly position: number;
  readonly tensor: string;
  /** The tensor whose parameters the pair has. */
  readonly parametersOf: string;
}

/** Where pairs go, and which tensors have one scale. */
export interface Placement {
  /** Activations with a pair that all consumers share, in graph order. */
  readonly tensors: readonly string[];
  readonly edges: readonly EdgePair[];
  /** The tensor that names the parameters of `tensor`. */
  ownerOf(tensor: string): string;
  /** Tensors whose ranges the parameters of an owner must cover. */
  membersOf(owner: string): readonly string[];
}

/** Operators in front of which TensorRT wants pairs beside those with weights. */
const PAIRED_INPUTS: ReadonlySet<string> = new Set(["Concat", "MaxPool", "AveragePool", "Resize"]);

/**
 * Places quantise / dequantise pairs for a preset.
 * @param excluded - names of the nodes that stay float
 */
export function placePairs({
  graph,
  plan,
  format,
  excluded,
}: {
  graph: Graph;
  plan: QuantPlan;
  format: PresetFormat;
  excluded: ReadonlySet<string>;
}): Placement {
  const all = [...plan.activations, ...plan.shared.keys()];
  const isQuantized = new Set(all);
  const index = indexGraph(graph);
  const scales = sameScale({ graph, plan, all, format, excluded, index });
  const edges: EdgePair[] = [];
  const weighted = new Set(plan.weighted.map(({ node }) => node.name));
  for (const node of graph.nodes) {
    if (node.domain !== "" || excluded.has(node.name)) continue;
    const pair = (position: number, parametersOf = node.inputs[position]!): void => {
      const tensor = node.inputs[position]!;
      if (isQuantized.has(tensor)) edges.push({ node, position, tensor, parametersOf });
    };
    if (format.placement === "consumer") {
      if (weighted.has(node.name)) pair(0);
      else if (PAIRED_INPUTS.has(node.opType)) {
        const count = node.opType === "Concat" ? node.inputs.length : 1;
        for (let i = 0; i < count; i++) pair(i);
      } else if (
        (node.opType === "Add" || node.opType === "MatMul") &&
        node.inputs.every((name) => isQuantized.has(name))
      ) {
        pair(0);
        pair(1);
      }
    } else if (format.concatSharesScale && node.opType === "Concat" && isQuantized.has(node.outputs[0]!)) {
      node.inputs.forEach((tensor, i) => {
        if (scales.ownerOf(tensor) !== scales.ownerOf(node.outputs[0]!)) pair(i, node.outputs[0]!);
      });
    }
  }
  return { tensors: format.placement === "tensor" ? all : [], edges, ...scales };
}

/** Sets of tensors with one scale, each named by its first member in graph order. */
function sameScale({
  graph,
  plan,
  all,
  format,
  excluded,
  index,
}: {
  graph: Graph;
  plan: QuantPlan;
  all: readonly string[];
  format: PresetFormat;
  excluded: ReadonlySet<string>;
  index: GraphIndex;
}): Pick<Placement, "ownerOf" | "membersOf"> {
  const names = [...all, ...plan.constants];
  const sets = new DisjointSets();
  const numbers = new Map(names.map((name) => [name, sets.add()]));
  const tie = (a: string, b: string): void => {
    const [x, y] = [numbers.get(a), numbers.get(b)];
    if (x !== undefined && y !== undefined) sets.union(x, y);
  };
  for (const [tensor, owner] of plan.shared) tie(tensor, owner);
  if (format.concatSharesScale) {
    for (const node of graph.nodes) {
      if (node.opType !== "Concat" || excluded.has(node.name)) continue;
      for (const tensor of node.inputs) {
        // TensorRT wants equal scales on every input. Elsewhere a tensor of other uses keeps its finer scale and is requantised here.
        const isOwn = format.placement === "consumer" || (index.consumers.get(tensor)?.length ?? 0) === 1;
        if (isOwn) tie(tensor, node.outputs[0]!);
      }
    }
  }
  const ownerOf = (tensor: string): string => {
    const number = numbers.get(tensor);
    return number === undefined ? tensor : names[sets.find(number)]!;
  };
  const members = new Map<string, string[]>();
  for (const name of names) {
    const owner = ownerOf(name);
    const list = members.get(owner);
    if (list === undefined) members.set(owner, [name]);
    else list.push(name);
  }
  return { ownerOf, membersOf: (owner) => members.get(owner) ?? [owner] };
}
