import type { Model, Node } from "../model.js";
import { usedNames } from "../scopes.js";
import type { PassResult } from "./pass.js";

/** Drops nodes and initializers that no graph output depends on. Graph inputs stay: they are the interface. */
export function removeDead(model: Model): PassResult {
  const { graph } = model;
  const producers = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== "") producers.set(output, node);
  const live = new Set<Node>();
  const names = new Set<string>();
  const pending = graph.outputs.map(({ name }) => name);
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (names.has(name)) continue;
    names.add(name);
    const node = producers.get(name);
    if (!node || live.has(node)) continue;
    live.add(node);
    pending.push(...usedNames(node));
  }
  const nodes = graph.nodes.filter((node) => live.has(node));
  const initializers = graph.initializers.filter(({ name }) => names.has(name));
  const kept = new Set([...initializers.map(({ name }) => name), ...nodes.flatMap(({ outputs }) => outputs)]);
  const valueInfo = graph.valueInfo.filter(({ name }) => kept.has(name));
  if (
    nodes.length === graph.nodes.length &&
    initializers.length === graph.initializers.length &&
    valueInfo.length === graph.valueInfo.length
  )
    return { model, changed: false };
  return { model: { ...model, graph: { ...graph, nodes, initializers, valueInfo } }, changed: true };
}
