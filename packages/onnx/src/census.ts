import { encodeChunks } from "./encode.js";
import type { Graph, Model } from "./model.js";
import { subgraphs, tensorsOf } from "./scopes.js";
import { elementCount, payloadBytes } from "./tensor.js";

/** What a model consists of. */
export interface Census {
  /** Nodes by operator (`domain.Op` outside the standard domain), most frequent first. Subgraphs included. */
  readonly ops: Readonly<Record<string, number>>;
  readonly nodes: number;
  /** Elements of weights and biases: constants that Conv, ConvTranspose, Gemm, MatMul and normalisations take, also through DequantizeLinear. */
  readonly parameters: number;
  readonly initializers: number;
  /** Payload of all constants. */
  readonly initializerBytes: number;
  /** Size of the encoded model with inline data. */
  readonly bytes: number;
}

const learned = new Set(
  "Conv ConvTranspose Gemm MatMul BatchNormalization LayerNormalization InstanceNormalization GroupNormalization PRelu QLinearConv ConvInteger MatMulInteger QLinearMatMul".split(
    " ",
  ),
);

/** Counts operators, parameters and bytes. */
export function census(model: Model): Census {
  const counts = new Map<string, number>();
  let nodes = 0;
  const visit = (graph: Graph): void => {
    for (const node of graph.nodes) {
      const key = node.domain === "" ? node.opType : `${node.domain}.${node.opType}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      nodes++;
      for (const inner of subgraphs(node)) visit(inner);
    }
  };
  visit(model.graph);
  const sorted = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));

  const elements = new Map(model.graph.initializers.map(({ name, dims }) => [name, elementCount(dims)]));
  const dequantized = new Map<string, string>();
  for (const node of model.graph.nodes)
    if (node.opType === "DequantizeLinear" && elements.has(node.inputs[0]!))
      dequantized.set(node.outputs[0]!, node.inputs[0]!);
  const parameters = new Set<string>();
  for (const node of model.graph.nodes)
    if (learned.has(node.opType))
      for (const [i, input] of node.inputs.entries()) {
        // QLinear operators interleave scales and zero points: (x, s, z, w, s, z, s, z, b).
        if (node.opType.startsWith("QLinear") && i !== 3 && i !== 8) continue;
        const name = dequantized.get(input) ?? input;
        if (elements.has(name)) parameters.add(name);
      }
  let initializerBytes = 0;
  for (const { dataType, dims, strings } of tensorsOf(model.graph))
    initializerBytes += payloadBytes(dataType, dims) ?? strings?.reduce((sum, { length }) => sum + length, 0) ?? 0;
  return {
    ops: Object.fromEntries(sorted),
    nodes,
    parameters: [...parameters].reduce((sum, name) => sum + elements.get(name)!, 0),
    initializers: model.graph.initializers.length,
    initializerBytes,
    bytes: encodeChunks(model).reduce((sum, { length }) => sum + length, 0),
  };
}
