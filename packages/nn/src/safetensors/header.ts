import { SafetensorsFormatError } from "../errors.js";
import { DTYPE_BYTES, type TensorDtype } from "../weights/dtype.js";

/** One header entry; offsets are bytes from the start of the data section. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A validated header. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In data order. */
  readonly entries: readonly TensorEntry[];
}

/** The limit of the reference library: a longer header means a damaged or hostile file. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Length of the JSON header, from the first 8 bytes (little-endian uint64).
 * @throws {@link SafetensorsFormatError}
 */
export function parseHeaderLength(prefix: Uint8Array, fileBytes: number, path: string | null): number {
  const fail = (reason: string): never => {
    throw new SafetensorsFormatError({ reason, path });
  };
  if (prefix.length < 8) return fail(`${prefix.length} bytes, shorter than the 8-byte header length`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) return fail(`header length ${length} exceeds ${MAX_HEADER_BYTES} bytes`);
  if (Number(length) > fileBytes - 8)
    return fail(`header length ${length} runs past the end of the file (${fileBytes} bytes)`);
  return Number(length);
}

/**
 * Parses and checks a header: every tensor's byte range equals its shape and dtype, and the ranges cover the data section without
 * hole, overlap or rest.
 * @param dataBytes - length of the data section
 * @throws {@link SafetensorsFormatError}
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string | null): Header {
  const fail = (reason: string, cause?: unknown): never => {
    throw new SafetensorsFormatError({ reason, path, cause });
  };
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    fail("the header is not UTF-8", error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    fail("the header is not JSON", error);
  }
  if (!isRecord(json) || !text.startsWith("{")) return fail("the header is not a JSON object");
  const duplicate = findDuplicateKey(text);
  if (duplicate !== null) fail(`the header names "${duplicate}" twice`);

  let metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      if (!isRecord(value) || !Object.values(value).every((v) => typeof v === "string"))
        fail("__metadata__ is not a map of strings");
      metadata = value as Record<string, string>;
      continue;
    }
    if (!isRecord(value)) return fail(`the entry of tensor "${name}" is not an object`);
    const { dtype, shape, data_offsets: offsets } = value;
    if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
      return fail(
        `tensor "${name}" has dtype ${JSON.stringify(dtype)}, expected one of ${Object.keys(DTYPE_BYTES).join(", ")}`,
      );
    }
    if (!isSizes(shape))
      return fail(`tensor "${name}" has shape ${JSON.stringify(shape)}, expected non-negative integers`);
    if (!isSizes(offsets) || offsets.length !== 2) {
      return fail(`tensor "${name}" has data_offsets ${JSON.stringify(offsets)}, expected two non-negative integers`);
    }
    const [begin = 0, end = 0] = offsets;
    let expected: number = DTYPE_BYTES[dtype as TensorDtype];
    for (const size of shape) {
      expected *= size;
      if (!Number.isSafeInteger(expected))
        fail(`the size of tensor "${name}" with shape [${shape.join(",")}] overflows`);
    }
    if (end - begin !== expected) {
      fail(
        `tensor "${name}" (${dtype} [${shape.join(",")}]) needs ${expected} bytes, its offsets ${begin}..${end} span ${end - begin}`,
      );
    }
    entries.push({ name, dtype: dtype as TensorDtype, shape, begin, end });
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      fail(
        `tensor "${name}" begins at byte ${begin} of the data, expected ${position} (${begin > position ? "hole" : "overlap"})`,
      );
    }
    position = end;
  }
  if (position !== dataBytes) {
    fail(
      `the tensors cover ${position} bytes, the file holds ${dataBytes} (${position > dataBytes ? "truncated" : "trailing bytes"})`,
    );
  }
  return { metadata, entries };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}

/** First key that some object of the JSON text holds twice, which JSON.parse hides; null if there is none. `text` must be valid JSON. */
export function findDuplicateKey(text: string): string | null {
  const objects: (Set<string> | null)[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === "{") objects.push(new Set());
    else if (token === "[") objects.push(null);
    else if (token === "}" || token === "]") objects.pop();
    else if (token.endsWith(":")) {
      const key = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
      const keys = objects.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return null;
}
