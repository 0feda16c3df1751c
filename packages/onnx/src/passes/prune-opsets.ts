import type { Graph, Model } from "../model.js";
import { canonicalDomain, subgraphs } from "../scopes.js";
import type { PassResult } from "./pass.js";

/**
 * Drops opset imports of domains that no node uses (runtimes add about nine when they save an optimised model). The standard domain stays;
 * a model with local functions, whose bodies the codec keeps raw, is left alone.
 */
export function pruneOpsets(model: Model): PassResult {
  // Tag of ModelProto.functions (field 25, length-delimited): 25 << 3 | 2 = 202 as a varint.
  if (model.unknown?.some((raw) => raw[0] === 0xca && raw[1] === 0x01)) return { model, changed: false };
  const used = new Set<string>([""]);
  const visit = (graph: Graph): void => {
    for (const node of graph.nodes) {
      used.add(canonicalDomain(node.domain));
      for (const inner of subgraphs(node)) visit(inner);
    }
  };
  visit(model.graph);
  const seen = new Set<string>();
  const opsetImport = model.opsetImport.filter(({ domain }) => {
    const name = canonicalDomain(domain);
    const isKept = used.has(name) && !seen.has(name);
    seen.add(name);
    return isKept;
  });
  if (opsetImport.length === model.opsetImport.length) return { model, changed: false };
  return { model: { ...model, opsetImport }, changed: true };
}
