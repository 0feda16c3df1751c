import { ModelTooLargeError } from "./errors.js";
import { isMarked, typeKey, wireInfo } from "./hidden.js";
import type { Attribute, Dim, Graph, Model, Node, Tensor, ValueInfo } from "./model.js";
import { WireWriter } from "./wire-writer.js";

/** Protobuf's limit of one message, 2 GiB - 1. */
export const MAX_MESSAGE_BYTES = 0x7fffffff;

/**
 * Serialises a model: known fields in field order, then the kept unknown ones; repeated scalars packed.
 *
 * @throws {@link ModelTooLargeError} above 2 GiB - 1 bytes.
 */
export function encodeModel(model: Model): Uint8Array {
  const chunks = encodeChunks(model);
  if (chunks.length === 1) return chunks[0]!;
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * {@link encodeModel} as chunks in file order, for `writev`: payloads of 2 KiB and more are the model's own arrays, not copies.
 *
 * @throws {@link ModelTooLargeError} above 2 GiB - 1 bytes.
 */
export function encodeChunks(model: Model): Uint8Array[] {
  const w = new WireWriter();
  writeModel(w, model);
  if (w.length > MAX_MESSAGE_BYTES) throw new ModelTooLargeError({ bytes: w.length });
  return w.chunks();
}

/** Wire form of one attribute, node or tensor alone; for hashes and comparisons. */
export function encodePart(part: { node: Node } | { tensor: Tensor }): Uint8Array[] {
  const w = new WireWriter(1024);
  if ("node" in part) writeNode(w, part.node);
  else writeTensor(w, part.tensor);
  return w.chunks();
}

// Everything below writes backwards: unknown fields first, then known fields from the highest number down.

function writeModel(w: WireWriter, model: Model): void {
  writeUnknown(w, model.unknown);
  for (let i = model.metadataProps.length - 1; i >= 0; i--) writeEntry(w, 14, model.metadataProps[i]!);
  for (let i = model.opsetImport.length - 1; i >= 0; i--) {
    const opset = model.opsetImport[i]!;
    const mark = w.length;
    writeUnknown(w, wireInfo(opset)?.unknown);
    if (opset.version !== 0 || isMarked(opset, 2)) w.intField(2, opset.version);
    writeString(w, opset, 1, opset.domain);
    w.close(8, mark);
  }
  const mark = w.length;
  writeGraph(w, model.graph);
  if (w.length > mark || !isMarked(model, 7)) w.close(7, mark);
  if (model.docString !== undefined) w.stringField(6, model.docString);
  if (model.modelVersion !== undefined) w.intField(5, model.modelVersion);
  if (model.domain !== undefined) w.stringField(4, model.domain);
  if (model.producerVersion !== undefined) w.stringField(3, model.producerVersion);
  if (model.producerName !== undefined) w.stringField(2, model.producerName);
  if (model.irVersion !== 0 || isMarked(model, 1)) w.intField(1, model.irVersion);
}

function writeUnknown(w: WireWriter, unknown: readonly Uint8Array[] | undefined): void {
  if (unknown) for (let i = unknown.length - 1; i >= 0; i--) w.raw(unknown[i]!);
}

/** A string that is left out when empty, unless the source had it. */
function writeString(w: WireWriter, owner: object, field: number, text: string): void {
  if (text !== "" || isMarked(owner, field)) w.stringField(field, text);
}

function writeEntry(w: WireWriter, field: number, entry: { key: string; value: string }): void {
  const mark = w.length;
  writeUnknown(w, wireInfo(entry)?.unknown);
  writeString(w, entry, 2, entry.value);
  writeString(w, entry, 1, entry.key);
  w.close(field, mark);
}

function writeGraph(w: WireWriter, graph: Graph): void {
  writeUnknown(w, graph.unknown);
  writeValueInfos(w, 13, graph.valueInfo);
  writeValueInfos(w, 12, graph.outputs);
  writeValueInfos(w, 11, graph.inputs);
  if (graph.docString !== undefined) w.stringField(10, graph.docString);
  for (let i = graph.initializers.length - 1; i >= 0; i--) {
    const mark = w.length;
    writeTensor(w, graph.initializers[i]!);
    w.close(5, mark);
  }
  writeString(w, graph, 2, graph.name);
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const mark = w.length;
    writeNode(w, graph.nodes[i]!);
    w.close(1, mark);
  }
}

function writeNode(w: WireWriter, node: Node): void {
  writeUnknown(w, node.unknown);
  writeString(w, node, 7, node.domain);
  if (node.docString !== undefined) w.stringField(6, node.docString);
  for (let i = node.attributes.length - 1; i >= 0; i--) {
    const mark = w.length;
    writeAttribute(w, node.attributes[i]!);
    w.close(5, mark);
  }
  writeString(w, node, 4, node.opType);
  writeString(w, node, 3, node.name);
  for (let i = node.outputs.length - 1; i >= 0; i--) w.stringField(2, node.outputs[i]!);
  for (let i = node.inputs.length - 1; i >= 0; i--) w.stringField(1, node.inputs[i]!);
}

const attributeType = { FLOAT: 1, INT: 2, STRING: 3, TENSOR: 4, GRAPH: 5, FLOATS: 6, INTS: 7, STRINGS: 8 } as const;

function writeAttribute(w: WireWriter, attribute: Attribute): void {
  writeUnknown(w, attribute.unknown);
  w.intField(20, attributeType[attribute.type]);
  if (attribute.docString !== undefined) w.stringField(13, attribute.docString);
  switch (attribute.type) {
    case "FLOAT":
      if (attribute.value !== 0 || !isMarked(attribute, 2)) {
        w.floatBits(attribute.value);
        w.tag(2, 5);
      }
      break;
    case "INT":
      if (attribute.value !== 0 || !isMarked(attribute, 3)) w.intField(3, attribute.value);
      break;
    case "STRING":
      if (attribute.value !== "" || !isMarked(attribute, 4)) w.stringField(4, attribute.value);
      break;
    case "TENSOR": {
      const mark = w.length;
      writeTensor(w, attribute.value);
      w.close(5, mark);
      break;
    }
    case "GRAPH": {
      const mark = w.length;
      writeGraph(w, attribute.value);
      w.close(6, mark);
      break;
    }
    case "FLOATS":
      if (attribute.value.length > 0) {
        const mark = w.length;
        for (let i = attribute.value.length - 1; i >= 0; i--) w.floatBits(attribute.value[i]!);
        w.close(7, mark);
      }
      break;
    case "INTS":
      writePacked(w, 8, attribute.value);
      break;
    case "STRINGS":
      for (let i = attribute.value.length - 1; i >= 0; i--) w.stringField(9, attribute.value[i]!);
  }
  writeString(w, attribute, 1, attribute.name);
}

function writePacked(w: WireWriter, field: number, values: readonly (number | bigint)[]): void {
  if (values.length === 0) return;
  const mark = w.length;
  for (let i = values.length - 1; i >= 0; i--) w.int64(values[i]!);
  w.close(field, mark);
}

function writeTensor(w: WireWriter, tensor: Tensor): void {
  writeUnknown(w, tensor.unknown);
  const { externalData } = tensor;
  if (externalData) {
    w.intField(14, 1);
    for (let i = externalData.length - 1; i >= 0; i--) writeEntry(w, 13, externalData[i]!);
  } else if (isMarked(tensor, 14)) w.intField(14, 0);
  if (tensor.docString !== undefined) w.stringField(12, tensor.docString);
  if (tensor.rawData) w.bytesField(9, tensor.rawData);
  writeString(w, tensor, 8, tensor.name);
  if (tensor.strings) for (let i = tensor.strings.length - 1; i >= 0; i--) w.bytesField(6, tensor.strings[i]!);
  if (tensor.dataType !== 0 || isMarked(tensor, 2)) w.intField(2, tensor.dataType);
  writePacked(w, 1, tensor.dims);
}

function writeValueInfos(w: WireWriter, field: number, values: readonly ValueInfo[]): void {
  for (let i = values.length - 1; i >= 0; i--) {
    const value = values[i]!;
    const mark = w.length;
    writeUnknown(w, value.unknown);
    if (value.docString !== undefined) w.stringField(3, value.docString);
    writeType(w, value);
    writeString(w, value, 1, value.name);
    w.close(field, mark);
  }
}

function writeType(w: WireWriter, value: ValueInfo): void {
  const kept = wireInfo(value)?.type;
  if (kept && kept.key === typeKey(value)) {
    w.bytesField(2, kept.bytes);
    return;
  }
  if (value.rawType && value.dataType === 0) {
    w.bytesField(2, value.rawType);
    return;
  }
  if (value.dataType === 0 && !value.shape) return;
  const mark = w.length;
  if (value.shape) {
    const shapeMark = w.length;
    for (let i = value.shape.length - 1; i >= 0; i--) writeDim(w, value.shape[i]!);
    w.close(2, shapeMark);
  }
  if (value.dataType !== 0) w.intField(1, value.dataType);
  w.close(1, mark);
  w.close(2, mark);
}

function writeDim(w: WireWriter, dim: Dim): void {
  const mark = w.length;
  if (typeof dim === "number") w.intField(1, dim);
  else if (dim !== null && dim !== "") w.stringField(2, dim);
  w.close(1, mark);
}
