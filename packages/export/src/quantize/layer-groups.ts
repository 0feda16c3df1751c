import type { Graph } from "@seg/onnx";
import { planQuantization } from "./plan.js";

/** A layer with weights and what follows it up to the next layers with weights: the unit that stays float or becomes integer. */
export interface LayerGroup {
  /** Name of the weight. */
  readonly layer: string;
  /** Names of the nodes. */
  readonly nodes: readonly string[];
}

/**
 * Cuts the nodes that quantisation would change into groups, one a layer with weights, in graph order. Operators without weights belong to the
 * layer that makes their first input.
 * @param excluded - names of the nodes that stay float anyway
 */
export function layerGroups(graph: Graph, excluded: ReadonlySet<string>): LayerGroup[] {
  const weights = new Map(planQuantization(graph, excluded).weighted.map(({ node, weight }) => [node.name, weight]));
  const groups = new Map<string, string[]>();
  const groupOf = new Map<string, string[]>();
  for (const node of graph.nodes) {
    if (excluded.has(node.name)) continue;
    const weight = weights.get(node.name);
    const inherited = node.inputs.map((name) => groupOf.get(name)).find((group) => group !== undefined);
    const group = weight === undefined ? inherited : (groups.get(weight) ?? []);
    if (group === undefined) continue;
    if (weight !== undefined) groups.set(weight, group);
    group.push(node.name);
    for (const output of node.outputs) groupOf.set(output, group);
  }
  return [...groups].map(([layer, nodes]) => ({ layer, nodes }));
}
