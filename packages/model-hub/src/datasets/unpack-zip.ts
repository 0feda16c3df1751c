import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Entry, open, type ZipFile } from "yauzl";
import { HubError } from "../errors.js";
import { isSafeRelativePath } from "../internal/safe-path.js";
import type { ArchiveLimits } from "./types.js";

/** Of `spec/model-hub.md` 2.8. */
export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  maxEntries: 200_000,
  maxBytes: 20 * 1024 ** 3,
  maxRatio: 100,
};
/** A small file may compress well without being an attack. */
const RATIO_FREE_BYTES = 1 << 20;
/** High half of the external attributes of an archive made on Unix: the file's mode. */
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

const refused = (
  code: "SCHEMA" | "TOO_LARGE" | "UNSUPPORTED_TYPE",
  message: string,
  details: Record<string, unknown> = {},
): HubError => new HubError({ code, message: `${message} Nothing was stored.`, details });

/**
 * Unpacks an archive into an empty folder. Every entry is counted as it is written, whatever its header says.
 *
 * @returns the paths of the files, in the order of the archive
 * @throws {@link HubError} SCHEMA for entries outside the folder, links and repeated names, TOO_LARGE beyond a limit, UNSUPPORTED_TYPE when
 * it is no readable zip
 */
export async function unpackZip({
  path,
  directory,
  limits = DEFAULT_ARCHIVE_LIMITS,
  signal,
}: {
  path: string;
  directory: string;
  limits?: ArchiveLimits;
  signal?: AbortSignal | undefined;
}): Promise<string[]> {
  const archive = await openZip(path);
  try {
    if (archive.entryCount > limits.maxEntries) {
      throw refused(
        "TOO_LARGE",
        `The archive has ${archive.entryCount} entries, at most ${limits.maxEntries} are allowed.`,
      );
    }
    const files: string[] = [];
    const seen = new Set<string>();
    let total = 0;
    let entries = 0;
    for await (const entry of entriesOf(archive)) {
      signal?.throwIfAborted();
      if (++entries > limits.maxEntries)
        throw refused("TOO_LARGE", `The archive has more than ${limits.maxEntries} entries.`);
      const name = entry.fileName;
      const isDirectory = name.endsWith("/");
      const clean = isDirectory ? name.slice(0, -1) : name;
      if (!isSafeRelativePath(clean)) {
        throw refused("SCHEMA", `The archive's entry ${JSON.stringify(name.slice(0, 200))} could leave its folder.`, {
          entry: name.slice(0, 200),
        });
      }
      const mode = (entry.externalFileAttributes >>> 16) & S_IFMT;
      if (mode !== 0 && mode !== S_IFREG && mode !== S_IFDIR) {
        throw refused("SCHEMA", `The archive's entry ${JSON.stringify(name)} is a link or a device.`, { entry: name });
      }
      if (isDirectory) continue;
      // Also when two differ in case alone: one of them would be lost on some file systems.
      const key = clean.normalize("NFC").toLowerCase();
      if (seen.has(key)) throw refused("SCHEMA", `The archive names ${JSON.stringify(name)} twice.`, { entry: name });
      seen.add(key);
      const target = join(directory, clean);
      await mkdir(dirname(target), { recursive: true });
      let written = 0;
      const counter = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          written += chunk.length;
          total += chunk.length;
          if (total > limits.maxBytes) {
            done(refused("TOO_LARGE", `The archive unpacks to more than ${limits.maxBytes} bytes.`));
          } else if (written > RATIO_FREE_BYTES && written > entry.compressedSize * limits.maxRatio) {
            done(
              refused(
                "TOO_LARGE",
                `The archive's entry ${JSON.stringify(name)} unpacks to more than ${limits.maxRatio} times its size.`,
                { entry: name },
              ),
            );
          } else done(null, chunk);
        },
      });
      try {
        await pipeline(
          await archive.openReadStreamPromise(entry),
          counter,
          createWriteStream(target, { flags: "wx" }),
          { signal },
        );
      } catch (error) {
        throw damaged(error);
      }
      files.push(clean);
    }
    return files;
  } finally {
    archive.close();
  }
}

/** What yauzl and zlib find wrong; system errors, aborts and our own refusals stay what they are. */
function damaged(error: unknown): unknown {
  if (HubError.isInstance(error)) return error;
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (name === "AbortError") return error;
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return error;
  return refused(
    "UNSUPPORTED_TYPE",
    `The archive cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
  );
}

async function openZip(
  path: string,
): Promise<ZipFile & { openReadStreamPromise(entry: Entry): Promise<NodeJS.ReadableStream> }> {
  const archive = await new Promise<ZipFile>((resolve, reject) => {
    // yauzl's own check of names is replaced by ours, which answers with our errors; sizes are checked against the headers as well.
    open(
      path,
      { lazyEntries: true, autoClose: false, strictFileNames: false, validateEntrySizes: true, decodeStrings: true },
      (error, zip) => (error ? reject(damaged(error)) : resolve(zip)),
    );
  });
  return Object.assign(archive, {
    openReadStreamPromise: (entry: Entry) =>
      new Promise<NodeJS.ReadableStream>((resolve, reject) =>
        archive.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream))),
      ),
  });
}

async function* entriesOf(archive: ZipFile): AsyncGenerator<Entry> {
  for (;;) {
    const entry = await new Promise<Entry | null>((resolve, reject) => {
      const clean = () => {
        archive.off("entry", onEntry);
        archive.off("end", onEnd);
        archive.off("error", onError);
      };
      const onEntry = (found: Entry) => {
        clean();
        resolve(found);
      };
      const onEnd = () => {
        clean();
        resolve(null);
      };
      const onError = (error: unknown) => {
        clean();
        // yauzl refuses names that lead outside before we see them.
        const message = error instanceof Error ? error.message : String(error);
        const isName = /invalid (relative path|characters in fileName)|absolute path/.test(message);
        reject(
          isName
            ? refused("SCHEMA", `The archive has an entry that could leave its folder: ${message}.`)
            : damaged(error),
        );
      };
      archive.once("entry", onEntry);
      archive.once("end", onEnd);
      archive.once("error", onError);
      archive.readEntry();
    });
    if (entry === null) return;
    yield entry;
  }
}
