import { CheckFailedError } from "./errors.js";
import { externalPathProblem } from "./external-path.js";
import type { Graph, Model, Tensor } from "./model.js";
import { DataType } from "./model.js";
import { irVersionFor } from "./opsets.js";
import { canonicalDomain, subgraphs, usedNames } from "./scopes.js";
import { elementCount, payloadBytes } from "./tensor.js";
import { WireReader } from "./wire-reader.js";

/** What {@link checkModel} can find. */
export type IssueCode =
  | "not-sorted"
  | "duplicate-value"
  | "unknown-input"
  | "unknown-output"
  | "missing-opset"
  | "unused-opset"
  | "attribute-without-type"
  | "io-without-type"
  | "duplicate-node-name"
  | "empty-node-name"
  | "ir-opset-mismatch"
  | "tensor-size"
  | "external-path";

/** One finding of {@link checkModel}. */
export interface Issue {
  readonly code: IssueCode;
  readonly severity: "error" | "warning";
  /** What, where, expected, got. */
  readonly message: string;
  readonly node?: string;
  /** Value, tensor or domain that the finding is about. */
  readonly subject?: string;
}

/** Checks a model and returns every finding; an empty list means that nothing is wrong. Never throws for a bad model. */
export function checkModel(model: Model): Issue[] {
  const issues: Issue[] = [];
  checkOpsets(model, issues);
  checkGraph(model.graph, new Set(), new Set(), true, issues);
  return issues;
}

/**
 * {@link checkModel} for callers that cannot go on with a wrong model.
 * @throws {@link CheckFailedError} with all findings of severity "error".
 */
export function assertModel(model: Model): void {
  const issues = checkModel(model).filter(({ severity }) => severity === "error");
  if (issues.length > 0) throw new CheckFailedError({ issues });
}

function domainsOf(graph: Graph, domains = new Map<string, string>()): Map<string, string> {
  for (const node of graph.nodes) {
    const domain = canonicalDomain(node.domain);
    if (!domains.has(domain)) domains.set(domain, node.name || node.opType);
    for (const inner of subgraphs(node)) domainsOf(inner, domains);
  }
  return domains;
}

function checkOpsets(model: Model, issues: Issue[]): void {
  const imported = new Map(model.opsetImport.map(({ domain, version }) => [canonicalDomain(domain), version]));
  const used = domainsOf(model.graph);
  for (const [domain, node] of used)
    if (!imported.has(domain)) {
      const message = `Node "${node}" needs domain "${domain}", which the model does not import.`;
      issues.push({ code: "missing-opset", severity: "error", message, node, subject: domain });
    }
  // Function bodies (ModelProto field 25) are kept raw, so what they use is not known.
  const hasFunctions = model.unknown?.some((raw) => raw[0] === 0xca && raw[1] === 0x01) ?? false;
  for (const domain of imported.keys())
    if (domain !== "" && !used.has(domain) && !hasFunctions) {
      const message = `Domain "${domain}" is imported and not used; run pruneOpsets.`;
      issues.push({ code: "unused-opset", severity: "warning", message, subject: domain });
    }
  const opset = imported.get("");
  if (opset !== undefined && model.irVersion < irVersionFor(opset)) {
    const message = `Opset ${opset} needs IR version ${irVersionFor(opset)} or later, the model says ${model.irVersion}.`;
    issues.push({ code: "ir-opset-mismatch", severity: "error", message });
  }
}

function checkGraph(
  graph: Graph,
  outer: ReadonlySet<string>,
  nodeNames: Set<string>,
  isMain: boolean,
  issues: Issue[],
): void {
  const defined = new Set<string>();
  const define = (name: string, node?: string): void => {
    if (name === "") return;
    if (defined.has(name)) {
      const message = `Value "${name}" is produced twice${node === undefined ? "" : `, again by node "${node}"`}.`;
      issues.push({
        code: "duplicate-value",
        severity: "error",
        message,
        ...(node !== undefined && { node }),
        subject: name,
      });
    }
    defined.add(name);
  };
  for (const { name } of graph.inputs) define(name);
  const tensorNames = new Set<string>();
  for (const tensor of graph.initializers) {
    if (tensorNames.has(tensor.name)) {
      const message = `Initializer "${tensor.name}" exists twice.`;
      issues.push({ code: "duplicate-value", severity: "error", message, subject: tensor.name });
    }
    tensorNames.add(tensor.name);
    defined.add(tensor.name); // may repeat a graph input: its default value
    checkTensor(tensor, issues);
  }
  const later = new Set(graph.nodes.flatMap(({ outputs }) => outputs));
  for (const [index, node] of graph.nodes.entries()) {
    const label = node.name || `${node.opType}#${index}`;
    if (node.name === "") {
      const message = `Node ${index} (${node.opType}) has no name; quantisation excludes nodes by name. Run nameNodes.`;
      issues.push({ code: "empty-node-name", severity: "error", message, node: label });
    } else if (nodeNames.has(node.name)) {
      const message = `Node name "${node.name}" is used twice. Run nameNodes.`;
      issues.push({ code: "duplicate-node-name", severity: "error", message, node: label });
    }
    nodeNames.add(node.name);
    for (const name of usedNames(node)) {
      if (defined.has(name) || outer.has(name)) continue;
      const isLater = later.has(name);
      const message = isLater
        ? `Node "${label}" uses "${name}" before it is produced. Run topoSort.`
        : `Node "${label}" uses "${name}", which nothing produces.`;
      issues.push({
        code: isLater ? "not-sorted" : "unknown-input",
        severity: "error",
        message,
        node: label,
        subject: name,
      });
    }
    for (const attribute of node.attributes) if (attribute.type === "TENSOR") checkTensor(attribute.value, issues);
    for (const name of untypedAttributes(node.unknown)) {
      const message = `Attribute "${name}" of node "${label}" has no type; IR version 2 and later require one.`;
      issues.push({ code: "attribute-without-type", severity: "error", message, node: label, subject: name });
    }
    for (const inner of subgraphs(node)) checkGraph(inner, new Set([...outer, ...defined]), nodeNames, false, issues);
    for (const output of node.outputs) define(output, label);
  }
  for (const { name } of graph.outputs)
    if (!defined.has(name) && !outer.has(name))
      issues.push({
        code: "unknown-output",
        severity: "error",
        message: `Nothing produces graph output "${name}".`,
        subject: name,
      });
  // Outputs of a subgraph may leave their type to inference.
  for (const value of isMain ? [...graph.inputs, ...graph.outputs] : [])
    if (value.dataType === 0 && !value.rawType) {
      const message = `Graph ${graph.inputs.includes(value) ? "input" : "output"} "${value.name}" has no element type.`;
      issues.push({ code: "io-without-type", severity: "error", message, subject: value.name });
    }
}

function checkTensor(tensor: Tensor, issues: Issue[]): void {
  const { name, dataType, dims, rawData, strings, externalData } = tensor;
  const sizeIssue = (message: string): void => {
    issues.push({ code: "tensor-size", severity: "error", message: `Tensor "${name}": ${message}.`, subject: name });
  };
  if (dims.some((dim) => dim < 0)) {
    sizeIssue(`negative dimension in [${dims.join(",")}]`);
    return;
  }
  if (dataType === DataType.STRING) {
    const count = strings?.length ?? 0;
    if (count !== elementCount(dims)) sizeIssue(`${count} strings, expected ${elementCount(dims)}`);
    return;
  }
  const expected = payloadBytes(dataType, dims);
  if (expected === null) {
    sizeIssue(`unknown element type ${dataType}`);
    return;
  }
  if (!externalData) {
    const bytes = rawData?.length ?? 0;
    if (bytes !== expected)
      sizeIssue(`${bytes} payload bytes, expected ${expected} for type ${dataType} and [${dims.join(",")}]`);
    return;
  }
  const entry = (key: string): string | undefined => externalData.find((e) => e.key === key)?.value;
  const problem = externalPathProblem(entry("location"));
  if (problem) {
    const message = `External data of tensor "${name}": ${problem}.`;
    issues.push({ code: "external-path", severity: "error", message, subject: name });
  }
  const length = entry("length");
  if (length !== undefined && Number(length) !== expected)
    sizeIssue(`external length ${length}, expected ${expected} bytes`);
  const offset = entry("offset");
  if (offset !== undefined && !/^\d+$/.test(offset)) sizeIssue(`external offset "${offset}" is no number`);
}

/** Names of attributes that the codec kept raw (NodeProto field 5) because they carry no type. */
function untypedAttributes(unknown: readonly Uint8Array[] | undefined): string[] {
  const names: string[] = [];
  for (const raw of unknown ?? []) {
    const r = new WireReader(raw);
    if (!r.next() || r.field !== 5 || r.wireType !== 2) continue;
    r.message(() => {
      let name = "";
      let hasType = false;
      while (r.next()) {
        if (r.field === 1 && r.wireType === 2) name = r.string();
        else if (r.field === 20 && r.wireType === 0) hasType = r.int64() !== 0;
        else r.skip();
      }
      if (!hasType) names.push(name);
    });
  }
  return names;
}
