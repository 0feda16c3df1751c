import { decodeTensor } from "./decode-tensor.js";
import { decodeEntry, decodeValueInfo } from "./decode-value.js";
import { ensureWireInfo, markPresence } from "./hidden.js";
import type { Attribute, Graph, Model, Node, Tensor } from "./model.js";
import { WireReader, WireType } from "./wire-reader.js";

/** Subgraphs deeper than this are refused: protobuf runtimes stop at 100 nested messages, three per subgraph level. */
const MAX_GRAPH_DEPTH = 33;

const attributeTypes = ["", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS"] as const;

/**
 * Reads a serialised ModelProto. Payloads are views into `bytes` (no copy); unknown fields of every message are kept in wire form.
 *
 * @throws {@link MalformedProtobufError} if the bytes are cut short or no protobuf.
 */
export function decodeModel(bytes: Uint8Array): Model {
  const r = new WireReader(bytes);
  const graph = emptyGraph();
  const model: Model = { irVersion: 0, opsetImport: [], graph, metadataProps: [] };
  let hasGraph = false;
  while (r.next()) {
    const key = r.field * 8 + r.wireType;
    switch (key) {
      case 8:
        model.irVersion = r.safeInteger();
        if (model.irVersion === 0) markPresence(model, 1);
        break;
      case 18:
        model.producerName = r.string();
        break;
      case 26:
        model.producerVersion = r.string();
        break;
      case 34:
        model.domain = r.string();
        break;
      case 40:
        model.modelVersion = r.int64();
        break;
      case 50:
        model.docString = r.string();
        break;
      case 58:
        hasGraph = true;
        r.message(() => decodeGraph(r, graph, 0));
        break;
      case 66:
        model.opsetImport.push(r.message(decodeOpset));
        break;
      case 114:
        model.metadataProps.push(r.message(decodeEntry));
        break;
      default:
        keep(model, r.raw());
    }
  }
  if (!hasGraph) markPresence(model, 7);
  return model;
}

function emptyGraph(): Graph {
  return { name: "", nodes: [], initializers: [], inputs: [], outputs: [], valueInfo: [] };
}

function keep(message: { unknown?: Uint8Array[] }, raw: Uint8Array): void {
  if (message.unknown) message.unknown.push(raw);
  else message.unknown = [raw];
}

function decodeOpset(r: WireReader): { domain: string; version: number } {
  const opset = { domain: "", version: 0 };
  while (r.next()) {
    if (r.field === 1 && r.wireType === WireType.BYTES) {
      opset.domain = r.string();
      if (opset.domain === "") markPresence(opset, 1);
    } else if (r.field === 2 && r.wireType === WireType.VARINT) {
      opset.version = r.safeInteger();
      if (opset.version === 0) markPresence(opset, 2);
    } else {
      const info = ensureWireInfo(opset);
      info.unknown = [...(info.unknown ?? []), r.raw()];
    }
  }
  return opset;
}

function decodeGraph(r: WireReader, graph: Graph, depth: number): Graph {
  if (depth > MAX_GRAPH_DEPTH) r.fail(`subgraphs nested deeper than ${MAX_GRAPH_DEPTH}`);
  while (r.next()) {
    switch (r.field * 8 + r.wireType) {
      case 10:
        graph.nodes.push(r.message(() => decodeNode(r, depth)));
        break;
      case 18:
        graph.name = r.string();
        if (graph.name === "") markPresence(graph, 2);
        break;
      case 42:
        graph.initializers.push(r.message(decodeTensor));
        break;
      case 82:
        graph.docString = r.string();
        break;
      case 90:
        graph.inputs.push(r.message(decodeValueInfo));
        break;
      case 98:
        graph.outputs.push(r.message(decodeValueInfo));
        break;
      case 106:
        graph.valueInfo.push(r.message(decodeValueInfo));
        break;
      default:
        keep(graph, r.raw());
    }
  }
  return graph;
}

function decodeNode(r: WireReader, depth: number): Node {
  const node: Node = { opType: "", domain: "", name: "", inputs: [], outputs: [], attributes: [] };
  while (r.next()) {
    switch (r.field * 8 + r.wireType) {
      case 10:
        node.inputs.push(r.string());
        break;
      case 18:
        node.outputs.push(r.string());
        break;
      case 26:
        node.name = r.string();
        if (node.name === "") markPresence(node, 3);
        break;
      case 34:
        node.opType = r.string();
        if (node.opType === "") markPresence(node, 4);
        break;
      case 42: {
        const { tagStart } = r;
        const attribute = r.message(() => decodeAttribute(r, depth));
        if (attribute) node.attributes.push(attribute);
        else keep(node, r.bytes.subarray(tagStart, r.position));
        break;
      }
      case 50:
        node.docString = r.string();
        break;
      case 58:
        node.domain = r.string();
        if (node.domain === "") markPresence(node, 7);
        break;
      default:
        keep(node, r.raw());
    }
  }
  return node;
}

/** Values that one AttributeProto may carry, before its type says which one counts. */
interface AttributeFields {
  f?: number;
  i?: number | bigint;
  s?: string | null;
  t?: Tensor;
  g?: Graph;
  floats?: number[];
  ints?: (number | bigint)[];
  strings?: (string | null)[];
}

/** null for an attribute that the data type cannot hold: no or another type, text that is no UTF-8, several values. Its node keeps it raw. */
function decodeAttribute(r: WireReader, depth: number): Attribute | null {
  let name = "";
  let type = 0;
  let hasName = false;
  const fields: AttributeFields = {};
  let docString: string | undefined;
  let unknown: Uint8Array[] | undefined;
  const text = (): string | null => {
    const length = r.uint();
    r.need(length);
    const value = r.textAt(r.position, length);
    r.position += length;
    return value;
  };
  while (r.next()) {
    switch (r.field * 8 + r.wireType) {
      case 10:
        name = r.string();
        hasName = true;
        break;
      case 21:
        fields.f = r.float();
        break;
      case 24:
        fields.i = r.int64();
        break;
      case 34:
        fields.s = text();
        break;
      case 42:
        fields.t = r.message(decodeTensor);
        break;
      case 50: {
        const graph = fields.g ?? emptyGraph();
        fields.g = graph;
        r.message(() => decodeGraph(r, graph, depth + 1));
        break;
      }
      case 58: {
        fields.floats ??= [];
        const list = fields.floats;
        r.message(() => {
          while (r.position < r.end) list.push(r.float());
        });
        break;
      }
      case 61:
        fields.floats ??= [];
        fields.floats.push(r.float());
        break;
      case 66: {
        fields.ints ??= [];
        const list = fields.ints;
        r.message(() => {
          while (r.position < r.end) list.push(r.int64());
        });
        break;
      }
      case 64:
        fields.ints ??= [];
        fields.ints.push(r.int64());
        break;
      case 74:
        fields.strings ??= [];
        fields.strings.push(text());
        break;
      case 106:
        docString = r.string();
        break;
      case 160:
        type = r.safeInteger();
        break;
      default:
        unknown ??= [];
        unknown.push(r.raw());
    }
  }
  const value = attributeValue(type, fields);
  if (!value) return null;
  const attribute = { name, ...value } as Attribute;
  if (docString !== undefined) attribute.docString = docString;
  if (unknown) attribute.unknown = unknown;
  if (hasName && name === "") markPresence(attribute, 1);
  if (type <= 3 && Object.keys(fields).length === 0) markPresence(attribute, type + 1);
  return attribute;
}

function attributeValue(type: number, fields: AttributeFields): { type: string; value: unknown } | null {
  const name = attributeTypes[type];
  if (!name) return null;
  const key = (["f", "i", "s", "t", "g", "floats", "ints", "strings"] as const)[type - 1]!;
  // More than the declared value would be lost, so the whole attribute stays raw.
  for (const present of Object.keys(fields)) if (present !== key) return null;
  switch (name) {
    case "FLOAT":
      return { type: name, value: fields.f ?? 0 };
    case "INT":
      return { type: name, value: fields.i ?? 0 };
    case "STRING":
      return fields.s === null ? null : { type: name, value: fields.s ?? "" };
    case "TENSOR":
      return fields.t ? { type: name, value: fields.t } : null;
    case "GRAPH":
      return fields.g ? { type: name, value: fields.g } : null;
    case "FLOATS":
      return { type: name, value: fields.floats ?? [] };
    case "INTS":
      return { type: name, value: fields.ints ?? [] };
    default:
      return fields.strings?.includes(null) ? null : { type: name, value: fields.strings ?? [] };
  }
}
