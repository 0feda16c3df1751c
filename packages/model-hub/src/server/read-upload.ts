import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { Busboy } from "@fastify/busboy";
import type { z } from "zod";
import { HubError } from "../errors.js";
import { parseInput } from "./parse-input.js";

/** Text fields beside the file: names, not content. */
const MAX_FIELD_BYTES = 64 * 1024;
const MAX_FIELDS = 20;
/** Boundaries, part headers and text fields beside the file's own bytes. */
const ENVELOPE_BYTES = 2 * 1024 ** 2;

/** One uploaded file, received whole, in a temporary file of the server. */
export interface ReceivedUpload<Fields> {
  /** Where the bytes lie until {@link ReceivedUpload.discard}. */
  readonly path: string;
  /** The client's name for it: its last part only, never a path. */
  readonly fileName: string;
  readonly bytes: number;
  readonly fields: Fields;
  discard(): Promise<void>;
}

interface ReceivedPart {
  readonly name: string;
  bytes: number;
  readonly written: Promise<void>;
  stop(): void;
}

const tooLarge = (maxBytes: number): HubError =>
  new HubError({
    code: "TOO_LARGE",
    message: `The upload is larger than ${maxBytes} bytes. Nothing was stored. Split the data or raise the server's limit.`,
    details: { max_bytes: maxBytes },
  });

const invalid = (message: string, path = "body"): HubError =>
  new HubError({ code: "INVALID_REQUEST", message, details: { issues: [{ path, message }] } });

/** Passes bytes on until there are more than `max`. */
class CountedBytes extends Transform {
  readonly #max: number;
  readonly #fileBytes: number;
  #count = 0;
  constructor(max: number, fileBytes: number) {
    super();
    this.#max = max;
    this.#fileBytes = fileBytes;
  }
  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.#count += chunk.length;
    if (this.#count > this.#max) done(tooLarge(this.#fileBytes));
    else done(null, chunk);
  }
}

/**
 * Receives a `multipart/form-data` body with one part `file` and text fields before or after it. Bytes are counted as they come, whatever
 * `Content-Length` says; on any fault, and when the client goes away, the temporary file is removed.
 *
 * @throws HubError UNSUPPORTED_TYPE, TOO_LARGE, INVALID_REQUEST
 */
export async function readUpload<Fields extends z.ZodObject>({
  request,
  fields: schema,
  directory,
  maxBytes,
}: {
  request: Request;
  fields: Fields;
  /** For the temporary file; made when missing. */
  directory: string;
  maxBytes: number;
}): Promise<ReceivedUpload<z.output<Fields>>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data\b/i.test(type)) {
    throw new HubError({
      code: "UNSUPPORTED_TYPE",
      message: `Send multipart/form-data with the part "file", for example curl -F file=@data.csv; got "${type.slice(0, 100)}".`,
    });
  }
  if (request.body === null) throw invalid("The body is empty; it needs a part named file.");
  await mkdir(directory, { recursive: true });
  const path = join(directory, `upload-${randomUUID()}.part`);
  const text: Record<string, string> = {};
  let file: ReceivedPart | null = null;
  let fault: HubError | null = null;
  try {
    let form: InstanceType<typeof Busboy>;
    try {
      form = new Busboy({
        headers: { "content-type": type },
        limits: {
          fieldSize: MAX_FIELD_BYTES,
          fields: MAX_FIELDS,
          files: 2,
          fileSize: maxBytes + 1,
          headerSize: 16_384,
        },
      });
    } catch (cause) {
      throw new HubError({ code: "INVALID_REQUEST", message: "The multipart header has no boundary.", cause });
    }
    form.on("field", (name, value, nameCut, valueCut) => {
      if (nameCut || valueCut) fault ??= invalid(`The field ${name} is longer than ${MAX_FIELD_BYTES} bytes.`);
      else if (Object.hasOwn(text, name)) fault ??= invalid(`The field ${name} is given twice.`, `body.${name}`);
      else if (name === "file") fault ??= invalid("The part file has no file name; send it as a file.", "body.file");
      else Object.defineProperty(text, name, { value, enumerable: true });
    });
    form.on("fieldsLimit", () => {
      fault ??= invalid(`More than ${MAX_FIELDS} fields.`);
    });
    form.on("file", (name, stream, fileName) => {
      if (file !== null || name !== "file") {
        fault ??= invalid(file === null ? `Unknown file part ${name}; call it file.` : "Send one file at a time.");
        stream.resume();
        return;
      }
      let bytes = 0;
      stream.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (file !== null) file.bytes = bytes;
        if (bytes > maxBytes) form.destroy(tooLarge(maxBytes));
      });
      const written = pipeline(stream, createWriteStream(path, { flags: "wx", mode: 0o600 }));
      // Awaited below; a failure before that must not count as unhandled.
      written.catch(() => {});
      file = { name: fileName ?? "", bytes, written, stop: () => stream.destroy() };
    });
    try {
      await pipeline(
        Readable.fromWeb(request.body as NodeReadableStream<Uint8Array>),
        new CountedBytes(maxBytes + ENVELOPE_BYTES, maxBytes),
        form,
        { signal: request.signal },
      );
    } catch (cause) {
      if (HubError.isInstance(cause)) throw cause;
      if (request.signal.aborted) throw cause;
      throw new HubError({ code: "INVALID_REQUEST", message: "The multipart body is damaged or ends early.", cause });
    }
    const received = file as ReceivedPart | null;
    if (fault !== null) throw fault;
    if (received === null) throw invalid("The body has no part named file.", "body.file");
    try {
      await received.written;
    } catch (cause) {
      const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
      if (full)
        throw new HubError({ code: "NO_SPACE", message: "The server's disk is full; nothing was stored.", cause });
      throw cause;
    }
    return {
      path,
      fileName: received.name.split(/[/\\]/).at(-1) ?? "",
      bytes: received.bytes,
      fields: parseInput(schema, text, "body"),
      discard: () => rm(path, { force: true }),
    };
  } catch (error) {
    const begun = file as ReceivedPart | null;
    // The parser may be gone without having ended the part.
    begun?.stop();
    await begun?.written.catch(() => {});
    await rm(path, { force: true });
    throw error;
  }
}
