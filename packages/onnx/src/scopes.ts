import type { Attribute, Graph, Node, Tensor } from "./model.js";

/** Subgraphs that a node carries (If, Loop, Scan). */
export function subgraphs(node: Node): Graph[] {
  const graphs: Graph[] = [];
  for (const attribute of node.attributes) if (attribute.type === "GRAPH") graphs.push(attribute.value);
  return graphs;
}

/** Names that a graph (subgraphs included) uses and does not define: those come from the outer scope. */
export function freeNames(graph: Graph): Set<string> {
  const defined = new Set<string>([...graph.inputs, ...graph.initializers].map(({ name }) => name));
  for (const node of graph.nodes) for (const output of node.outputs) defined.add(output);
  const free = new Set<string>();
  const use = (name: string): void => {
    if (name !== "" && !defined.has(name)) free.add(name);
  };
  for (const node of graph.nodes) for (const name of usedNames(node)) use(name);
  for (const { name } of graph.outputs) use(name);
  return free;
}

/** Inputs of a node and the outer names that its subgraphs use; "" left out. */
export function usedNames(node: Node): Set<string> {
  const names = new Set<string>();
  for (const input of node.inputs) if (input !== "") names.add(input);
  for (const graph of subgraphs(node)) for (const name of freeNames(graph)) names.add(name);
  return names;
}

/** A copy of `node` whose uses (not outputs) of `from` read `to`, also inside subgraphs unless shadowed there. */
export function renameUse(node: Node, from: string, to: string): Node {
  const inputs = node.inputs.map((input) => (input === from ? to : input));
  if (!node.attributes.some(({ type }) => type === "GRAPH")) return { ...node, inputs };
  const attributes = node.attributes.map((attribute): Attribute => {
    if (attribute.type !== "GRAPH" || !freeNames(attribute.value).has(from)) return attribute;
    return { ...attribute, value: renameFree(attribute.value, from, to) };
  });
  return { ...node, inputs, attributes };
}

function renameFree(graph: Graph, from: string, to: string): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map((node) => renameUse(node, from, to)),
    outputs: graph.outputs.map((output) => (output.name === from ? { ...output, name: to } : output)),
  };
}

/** Every tensor of a graph: initializers and tensor attributes, subgraphs included. */
export function* tensorsOf(graph: Graph): Generator<Tensor> {
  yield* graph.initializers;
  for (const node of graph.nodes)
    for (const attribute of node.attributes) {
      if (attribute.type === "TENSOR") yield attribute.value;
      else if (attribute.type === "GRAPH") yield* tensorsOf(attribute.value);
    }
}

/** A copy of the graph with every tensor (see {@link tensorsOf}) replaced by `change(tensor)`. */
export function mapTensors(graph: Graph, change: (tensor: Tensor) => Tensor): Graph {
  return {
    ...graph,
    initializers: graph.initializers.map(change),
    nodes: graph.nodes.map((node) => {
      if (!node.attributes.some(({ type }) => type === "TENSOR" || type === "GRAPH")) return node;
      const attributes = node.attributes.map((attribute): Attribute => {
        if (attribute.type === "TENSOR") return { ...attribute, value: change(attribute.value) };
        if (attribute.type === "GRAPH") return { ...attribute, value: mapTensors(attribute.value, change) };
        return attribute;
      });
      return { ...node, attributes };
    }),
  };
}

/** Domain names with the alias of the standard domain resolved. */
export function canonicalDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}
