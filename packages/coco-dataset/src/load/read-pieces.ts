import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { CocoFileNotFoundError, CocoParseError } from "../errors.js";
import { type JsonPiece, JsonStream } from "./json-stream.js";

/** Bytes per read: fewer reads than elements, small beside any document that is streamed. */
const CHUNK_BYTES = 2 ** 20;

/** Options of streaming readers. */
export interface StreamOptions {
  readonly signal?: AbortSignal;
}

/** Whether a file begins like gzip; its size in bytes. */
export async function probeFile(file: string): Promise<{ isGzip: boolean; size: number }> {
  try {
    const handle = await open(file);
    try {
      const head = new Uint8Array(2);
      await handle.read(head, 0, 2, 0);
      const info = await handle.stat();
      if (!info.isFile()) throw new Error(`${file} is not a file`);
      return { isGzip: head[0] === 0x1f && head[1] === 0x8b, size: info.size };
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new CocoFileNotFoundError({ file, cause });
  }
}

/**
 * The pieces of a JSON file (gunzipped where it is gzip) as they are read, in constant memory.
 *
 * @param wants - keys whose values are parsed
 * @throws CocoFileNotFoundError, CocoParseError with byte offset, line and column in the unpacked text
 */
export async function* readPieces(
  file: string,
  { signal, wants }: StreamOptions & { wants?: (key: string | null) => boolean } = {},
): AsyncGenerator<JsonPiece> {
  const probe = await probeFile(file);
  const stream = new JsonStream(file, wants === undefined ? {} : { wants });
  try {
    for await (const chunk of readBytes(file, probe.isGzip)) {
      signal?.throwIfAborted();
      yield* stream.push(chunk);
    }
    stream.finish();
  } catch (error) {
    throw await withPosition(error, file, probe.isGzip);
  }
}

async function* readBytes(file: string, isGzip: boolean): AsyncGenerator<Uint8Array> {
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  if (!isGzip) {
    yield* source as AsyncIterable<Uint8Array>;
    return;
  }
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  // Errors of either side arrive in the loop below.
  pipeline(source, gunzip, () => {});
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new CocoParseError({
      reason: "encoding",
      byteOffset: 0,
      message: `${file} begins like gzip but cannot be unpacked. The file may be cut off; fetch it again.`,
      cause,
    });
  }
}

/** The same error with line and column, which are counted only now, by reading the file again up to the offending byte. */
async function withPosition(error: unknown, file: string, isGzip: boolean): Promise<unknown> {
  if (!(error instanceof CocoParseError) || error.reason !== "json" || error.byteOffset < 0) return error;
  let line = 1;
  let column = 1;
  let left = error.byteOffset;
  for await (const chunk of readBytes(file, isGzip)) {
    for (let i = 0; i < chunk.length && left > 0; i++, left--) {
      const byte = chunk[i]!;
      if (byte === 10) {
        line++;
        column = 1;
      } // Characters, not bytes: continuation bytes of UTF-8 do not count.
      else if ((byte & 0xc0) !== 0x80) column++;
    }
    if (left === 0) break;
  }
  const { byteOffset, reason, cause } = error;
  const message = error.message.replace(
    ` at byte ${byteOffset}.`,
    ` at line ${line}, column ${column} (byte ${byteOffset}).`,
  );
  return new CocoParseError({ message, reason, byteOffset, line, column, cause });
}
