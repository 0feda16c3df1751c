import { ExportError } from "../errors.js";

/** `graph` of ModelProto, which every model has. */
const GRAPH = 7;
/** `metadata_props` of ModelProto, and the fields of its entries. */
const METADATA_PROPS = 14;
const KEY = 1;
const VALUE = 2;

/**
 * `metadata_props` of an ONNX file, read past everything else: a detector needs three of them and no graph. Entries of a damaged file end where the
 * damage begins; the runtime that loads the graph says the rest.
 *
 * @throws ExportError `METADATA_MISSING` for a file without a graph: it is something else
 */
export function onnxMetadata(bytes: Uint8Array): Record<string, string> {
  const entries: Record<string, string> = {};
  let hasGraph = false;
  for (const { field, content } of fields(bytes)) {
    hasGraph ||= field === GRAPH && content !== null;
    if (field !== METADATA_PROPS || content === null) continue;
    const entry = new Map([...fields(content)].map((part) => [part.field, part.content]));
    const text = (part: number): string => new TextDecoder().decode(entry.get(part) ?? new Uint8Array(0));
    entries[text(KEY)] = text(VALUE);
  }
  if (!hasGraph)
    throw new ExportError({
      code: "METADATA_MISSING",
      message: "The file is no ONNX model.",
      details: { key: "graph" },
    });
  return entries;
}

/** Top-level fields of a protobuf message; `content` of length-delimited ones. */
function* fields(bytes: Uint8Array): Generator<{ field: number; content: Uint8Array | null }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) varint();
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType !== 2) return;
    if (wireType !== 2) {
      yield { field, content: null };
      continue;
    }
    const length = varint();
    if (!(at + length <= bytes.length)) return;
    yield { field, content: bytes.subarray(at, at + length) };
    at += length;
  }
}
