import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import type { CocoDataset } from "../document.js";
import { CocoFileNotFoundError, CocoParseError } from "../errors.js";
import { checkDocument } from "./check-document.js";
import { locateJsonError } from "./locate-json-error.js";

/** V8 strings end at 2^29 - 24 characters; a longer file cannot be parsed in one piece. */
const MAX_TEXT_BYTES = 2 ** 29 - 25;

/**
 * Reads a COCO document from a path (`.json`, gzipped as well), the bytes of one, or an already parsed object. Key order and unknown keys
 * are kept. Orphan references and broken geometry load: `validateDataset` reports them, `assertUsable` refuses them.
 *
 * @throws CocoFileNotFoundError `coco/file-not-found`
 * @throws CocoParseError `coco/parse`, with byte offset, line and column
 * @throws CocoSchemaError `coco/schema`, with a JSON pointer in `path`
 * @example const dataset = await loadDataset("annotations.json");
 */
export async function loadDataset(source: string | Uint8Array | object): Promise<CocoDataset> {
  if (typeof source === "string") return checkDocument(parseDocument(await read(source), source));
  if (source instanceof Uint8Array) return checkDocument(parseDocument(source, "The document"));
  return checkDocument(source);
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
      message: `${name} has ${plain.length} bytes, more than one string can hold (${MAX_TEXT_BYTES}). Split it by images first.`,
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
