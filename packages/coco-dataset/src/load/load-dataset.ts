import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import type { CocoDataset, CocoResult } from "../document.js";
import { CocoFileNotFoundError, CocoParseError, CocoSchemaError } from "../errors.js";
import { checkDocument } from "./check-document.js";
import type { JsonPiece } from "./json-stream.js";
import { locateJsonError } from "./locate-json-error.js";
import { probeFile, readPieces, type StreamOptions } from "./read-pieces.js";

/** V8 strings end at 2^29 - 24 characters; a longer text cannot be parsed in one piece. */
const MAX_TEXT_BYTES = 2 ** 29 - 25;
/** From here on the text beside the document costs more than taking it apart does. */
const STREAM_BYTES = 400e6;

/** Options of {@link loadDataset}. */
export interface LoadOptions extends StreamOptions {
  /** Of several images with one id keep the last, as pycocotools does; otherwise validation reports them. @defaultValue false */
  readonly lenient?: boolean;
}

/**
 * Reads a COCO document from a path (`.json`, gzipped as well), the bytes of one, or an already parsed object. Key order and unknown keys
 * are kept. Orphan references and broken geometry load: `validateDataset` reports them, `assertUsable` refuses them. Files above 400 MB
 * and gzip files are taken apart while they are read, so that neither their text nor Node's longest string is a limit.
 *
 * @throws CocoFileNotFoundError `coco/file-not-found`
 * @throws CocoParseError `coco/parse`, with byte offset, line and column
 * @throws CocoSchemaError `coco/schema`, with a JSON pointer in `path`
 * @example const dataset = await loadDataset("annotations.json");
 */
export async function loadDataset(
  source: string | Uint8Array | object,
  { lenient = false, ...options }: LoadOptions = {},
): Promise<CocoDataset> {
  const dataset = checkDocument(await readJson(source, "The document", options));
  return lenient
    ? { ...dataset, images: [...new Map(dataset.images.map((image) => [image.id, image])).values()] }
    : dataset;
}

/**
 * Reads a results file: a list of detections, from a path, bytes or a parsed array. Only the list is checked here; `evaluate` and
 * `resultFindings` look at the rows.
 * @throws CocoFileNotFoundError, CocoParseError, CocoSchemaError
 */
export async function loadResults(
  source: string | Uint8Array | object,
  options: StreamOptions = {},
): Promise<CocoResult[]> {
  const rows = await readJson(source, "The results file", options);
  if (!Array.isArray(rows)) throw new CocoSchemaError({ path: "", expected: "a list of detections", got: rows });
  rows.forEach((row, index) => {
    if (typeof row === "object" && row !== null && !Array.isArray(row)) return;
    throw new CocoSchemaError({ path: `/${index}`, expected: "a detection", got: row });
  });
  return rows as CocoResult[];
}

async function readJson(source: string | Uint8Array | object, name: string, options: StreamOptions): Promise<unknown> {
  options.signal?.throwIfAborted();
  if (source instanceof Uint8Array) return parseDocument(source, name);
  if (typeof source !== "string") return source;
  const { isGzip, size } = await probeFile(source);
  if (isGzip || size > STREAM_BYTES) return collect(readPieces(source, options));
  return parseDocument(await read(source), source);
}

/** The document of a stream of pieces; of a repeated key the last value stays, as with JSON.parse. */
async function collect(pieces: AsyncIterable<JsonPiece>): Promise<unknown> {
  const document: Record<string, unknown> = {};
  let rows: unknown[] | null = null;
  let list: unknown[] = [];
  for await (const { key, index, value } of pieces) {
    if (key === null) {
      rows ??= [];
      if (index >= 0) rows.push(value);
    } else if (index < 0) {
      if (Array.isArray(value)) list = value;
      setOwn(document, key, value);
    } else list.push(value);
  }
  return rows ?? document;
}

/** Also for the key `__proto__`, which an assignment would take for the prototype. */
function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new CocoFileNotFoundError({ file, cause });
  }
}

/** JSON of the bytes (gunzipped, BOM dropped). */
export function parseDocument(bytes: Uint8Array, name: string): unknown {
  let plain = bytes;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      plain = gunzipSync(bytes);
    } catch (cause) {
      throw new CocoParseError({
        reason: "encoding",
        byteOffset: 0,
        message: `${name} begins like gzip but cannot be unpacked. The file may be cut off; fetch it again.`,
        cause,
      });
    }
  }
  if (plain.length > MAX_TEXT_BYTES) {
    throw new CocoParseError({
      reason: "too-large",
      message: `${name} has ${plain.length} bytes, more than one string can hold (${MAX_TEXT_BYTES}). Pass its path instead, or split it by images first.`,
    });
  }
  let text: string;
  try {
    // Drops a BOM; fatal, because silently replaced bytes would corrupt names.
    text = new TextDecoder("utf-8", { fatal: true }).decode(plain);
  } catch (cause) {
    throw new CocoParseError({
      reason: "encoding",
      message: `${name} is not UTF-8 text. Save it as UTF-8 JSON.`,
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw jsonError({ text, name, hasBom: plain[0] === 0xef && plain[1] === 0xbb, cause });
  }
}

function jsonError(input: { text: string; name: string; hasBom: boolean; cause: unknown }): CocoParseError {
  const { text, name, hasBom, cause } = input;
  const { index, expected } = locateJsonError(text) ?? { index: 0, expected: "JSON" };
  const before = text.slice(0, index);
  const line = before.split("\n").length;
  const column = index - before.lastIndexOf("\n");
  const byteOffset = Buffer.byteLength(before) + (hasBom ? 3 : 0);
  const found = index >= text.length ? "the end of the file" : JSON.stringify(text[index]);
  const todo =
    index >= text.length
      ? "The file is cut off: export or download it again."
      : "Fix it there or export the file again.";
  return new CocoParseError({
    reason: "json",
    byteOffset,
    line,
    column,
    cause,
    message: `${name} is not JSON: expected ${expected}, got ${found} at line ${line}, column ${column} (byte ${byteOffset}). ${todo}`,
  });
}
