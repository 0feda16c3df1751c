import { createHash } from "node:crypto";
import { encodePart } from "./encode.js";
import { typeKey } from "./hidden.js";
import type { Attribute, Graph, Model, Node, Tensor } from "./model.js";
import { topoSort } from "./passes/topo-sort.js";
import { canonicalDomain } from "./scopes.js";

const digest = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part); // the length keeps ["a","b"] apart from ["ab"]
  return hash.digest("hex");
};

/**
 * Canonical SHA-256 (hex) of what a model computes: opsets in use, the named and typed interface, operators, attributes, constants and wiring.
 * Names of nodes and inner values, node order, unused nodes, value_info, doc strings, producer and metadata do not count.
 *
 * @throws {@link CheckFailedError} if the graph has a cycle.
 */
export function modelHash(model: Model): string {
  const { graph } = topoSort(model).model;
  const opsets = model.opsetImport.map(({ domain, version }) => `${canonicalDomain(domain)}=${version}`).sort();
  const functions = (model.unknown ?? []).filter((raw) => raw[0] === 0xca && raw[1] === 0x01);
  return digest("seg-onnx-model-1", ...opsets, "functions", ...functions, graphHash(graph, new Map()));
}

function graphHash(graph: Graph, outer: ReadonlyMap<string, string>): string {
  const values = new Map(outer);
  for (const input of graph.inputs)
    values.set(input.name, digest("input", input.name, typeKey(input), input.rawType ?? ""));
  const overridable = new Set(graph.inputs.map(({ name }) => name));
  const defaults: string[] = [];
  for (const tensor of graph.initializers) {
    const hash = tensorHash(tensor);
    if (overridable.has(tensor.name)) defaults.push(digest("default", tensor.name, hash));
    else values.set(tensor.name, hash);
  }
  for (const node of graph.nodes) {
    const hash = nodeHash(node, values);
    for (const [i, output] of node.outputs.entries())
      if (output !== "") values.set(output, digest("output", String(i), hash));
  }
  const inputs = graph.inputs.map(({ name }) => values.get(name)!);
  const outputs = graph.outputs.map((output) =>
    digest(output.name, typeKey(output), values.get(output.name) ?? "absent"),
  );
  return digest("graph", ...inputs, "defaults", ...defaults.sort(), "outputs", ...outputs);
}

function tensorHash(tensor: Tensor): string {
  const { docString: _, ...rest } = tensor;
  return digest("tensor", ...encodePart({ tensor: { ...rest, name: "" } }));
}

function nodeHash(node: Node, values: ReadonlyMap<string, string>): string {
  const inputs = node.inputs.map((name) => (name === "" ? "" : (values.get(name) ?? `free:${name}`)));
  const attributes = node.attributes
    .map((attribute) => digest(attribute.name, attributeHash(attribute, values)))
    .sort();
  return digest(
    "node",
    canonicalDomain(node.domain),
    node.opType,
    String(node.outputs.length),
    ...inputs,
    "attributes",
    ...attributes,
    ...(node.unknown ?? []),
  );
}

function attributeHash(attribute: Attribute, values: ReadonlyMap<string, string>): string {
  if (attribute.type === "GRAPH") return graphHash(attribute.value, values);
  if (attribute.type === "TENSOR") return tensorHash(attribute.value);
  const { docString: _, ...rest } = attribute;
  const node: Node = { opType: "", domain: "", name: "", inputs: [], outputs: [], attributes: [rest as Attribute] };
  return digest(...encodePart({ node }));
}
