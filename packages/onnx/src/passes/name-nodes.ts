import type { Graph, Model, Node } from "../model.js";
import type { PassResult } from "./pass.js";

/** Gives every node, subgraphs included, a unique non-empty name; names that are fine already stay. */
export function nameNodes(model: Model): PassResult {
  const taken = new Set<string>();
  const reserve = (graph: Graph): void => {
    for (const node of graph.nodes) {
      taken.add(node.name);
      for (const attribute of node.attributes) if (attribute.type === "GRAPH") reserve(attribute.value);
    }
  };
  reserve(model.graph);
  taken.add("");
  const seen = new Set<string>();
  const counters = new Map<string, number>();
  const rename = (graph: Graph): Graph => {
    let isSame = true;
    const nodes = graph.nodes.map((node): Node => {
      let { name } = node;
      if (name === "" || seen.has(name)) {
        const base = name || node.opType;
        let count = counters.get(base) ?? 0;
        do name = `${base}_${count++}`;
        while (taken.has(name));
        counters.set(base, count);
        taken.add(name);
      }
      seen.add(name);
      const attributes = node.attributes.map((attribute) => {
        if (attribute.type !== "GRAPH") return attribute;
        const value = rename(attribute.value);
        return value === attribute.value ? attribute : { ...attribute, value };
      });
      if (name === node.name && attributes.every((attribute, i) => attribute === node.attributes[i])) return node;
      isSame = false;
      return { ...node, name, attributes };
    });
    return isSame ? graph : { ...graph, nodes };
  };
  const graph = rename(model.graph);
  return graph === model.graph ? { model, changed: false } : { model: { ...model, graph }, changed: true };
}
