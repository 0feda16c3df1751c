import { open as openFile, stat, statfs } from "node:fs/promises";
import { basename } from "node:path";
import type { CacheFolder } from "../cache/cache-folder.js";
import type { TreeFile } from "../cache/tree.js";
import type { VerificationRecords } from "../cache/verification-records.js";
import { HubError } from "../errors.js";
import { backOffMs, retryAfterMs } from "../internal/back-off.js";
import { READ_BYTES } from "../internal/direct-fetch.js";
import { errorOfAnswer, type HttpAnswer, type HttpClient } from "../internal/http-client.js";
import { redact } from "../internal/redact.js";
import { BlobLock } from "./blob-lock.js";
import { consumeBody } from "./consume-body.js";
import { type Expectation, findMismatch, hasDigest, integrityError } from "./expectation.js";
import { CHUNK_BYTES, FileDigester, type FileDigests } from "./file-digester.js";
import { hashFile, hashPrefix } from "./hash-file.js";
import { type OpenFile, PartialFile, PartialFileLostError } from "./partial-file.js";
import { unexpectedBody, unexpectedType } from "./unexpected-content.js";

/** `require` refuses what no digest proves; `pin` takes it and the caller records its digest; `warn` takes it as unverified. */
export type VerifyMode = "require" | "pin" | "warn";

/** One file to bring into a cache folder. */
export interface BlobRequest {
  readonly url: string;
  /** Sent to the URL's origin only. */
  readonly token: string | null;
  readonly folder: CacheFolder;
  /** Name for messages: the path in the model. */
  readonly name: string;
  /** Name of the blob; null = its SHA-256, once known. */
  readonly etag: string | null;
  /** Stem of the partial file while `etag` is null. */
  readonly stem: string;
  readonly expected: Expectation;
  /** Compute MD5 although nothing expects one. */
  readonly withMd5: boolean;
  readonly isText: boolean;
  readonly verify: VerifyMode;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?:
    | ((state: { phase: "downloading" | "verifying"; doneBytes: number; totalBytes: number | null }) => void)
    | undefined;
}

export interface FetchedBlob extends FileDigests {
  readonly etag: string;
  readonly path: string;
  readonly bytes: number;
  /** A digest that was known beforehand proves the content. */
  readonly verified: boolean;
  /** It was there already. */
  readonly wasCached: boolean;
  /** Bytes taken over from an interrupted download. */
  readonly resumedFrom: number;
}

/** Attempts without a single new byte before a download is given up. */
const MAX_FRUITLESS = 5;
/**
 * From here on a file goes past the page cache to the disk. Copying 256 MiB into the cache costs 50 to 500 ms of CPU time, by how the system
 * finds the pages, and syncing it 100 ms more; whoever reads the file first then reads it from the disk. See docs/decisions/0030.
 */
const BYPASS_FROM_BYTES = 64 << 20;
/** Share of free space that stays free beside the file itself. */
const SPACE_RESERVE = 0.05;

/** An attempt that may be made again. */
class RetryableError extends Error {
  readonly pauseMs: number | null;
  readonly failure: HubError | null;
  constructor(
    message: string,
    { pauseMs = null, failure = null }: { pauseMs?: number | null; failure?: HubError | null } = {},
  ) {
    super(message);
    this.pauseMs = pauseMs;
    this.failure = failure;
  }
}

/**
 * Brings files into a cache: verified while they stream, resumable within and across processes, published by rename. The invariant, whatever
 * happens to network, process or other writers: a blob under its final name has the digest that was expected of it.
 */
export class Downloader {
  readonly #http: HttpClient;
  readonly #records: VerificationRecords | null;
  readonly #freeBytes: (directory: string) => Promise<number>;
  readonly #headersTimeoutMs: number;
  readonly #idleTimeoutMs: number;
  readonly #open: OpenFile;
  readonly #bypassFromBytes: number;

  /**
   * @param records - remembers which files were hashed; null hashes a cached file every time
   * @param freeBytes - free space of the file system that holds a folder
   * @param idleTimeoutMs - longest pause between two chunks of a body
   * @param bypassFromBytes - length from which files are written past the page cache; Infinity: none
   */
  constructor({
    http,
    records = null,
    freeBytes = freeBytesOf,
    headersTimeoutMs = 10_000,
    idleTimeoutMs = 30_000,
    open = openFile,
    bypassFromBytes = BYPASS_FROM_BYTES,
  }: {
    http: HttpClient;
    records?: VerificationRecords | null;
    freeBytes?: (directory: string) => Promise<number>;
    headersTimeoutMs?: number;
    idleTimeoutMs?: number;
    open?: OpenFile;
    bypassFromBytes?: number;
  }) {
    this.#http = http;
    this.#records = records;
    this.#freeBytes = freeBytes;
    this.#headersTimeoutMs = headersTimeoutMs;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#open = open;
    this.#bypassFromBytes = bypassFromBytes;
  }

  /**
   * The blob, from the cache when it is there and right, else from the network.
   * @throws {@link HubError} `INTEGRITY`, `UNEXPECTED_CONTENT`, `DOWNLOAD_FAILED`, `NO_SPACE`, `RATE_LIMITED`, or what the status means
   */
  async fetch(request: BlobRequest): Promise<FetchedBlob> {
    const { expected, folder, verify, name, signal } = request;
    if (!hasDigest(expected) && verify === "require") {
      throw new HubError({
        code: "INTEGRITY",
        message: `No digest is known for ${name}, so it cannot be verified. Give its SHA-256, or take it as it is with verify "pin" (record what comes) or "warn".`,
        details: { file: name, reason: "no-digest" },
      });
    }
    const cached = await this.#cached(request);
    if (cached !== null) return cached;
    await folder.prepare();
    const stem = request.etag ?? request.stem;
    const blob = request.etag === null ? null : folder.blobPath(request.etag);
    const lock = await BlobLock.acquire({
      path: folder.lockPath(stem),
      clock: this.#http.world.clock,
      signal,
      isDone: async () => blob !== null && (await sizeOf(blob)) !== null,
    });
    try {
      // Another process may have finished it while this one waited.
      return (await this.#cached(request)) ?? (await this.#download(request, stem, lock));
    } finally {
      await lock?.release();
    }
  }

  /**
   * A cached file, hashed unless its record still holds, against what its commit's tree says.
   * @throws {@link HubError} `INTEGRITY` when it is damaged; it stays, since nothing could replace it offline
   */
  async check({
    name,
    path,
    visible,
    entry,
    md5,
    fresh = false,
  }: {
    name: string;
    path: string;
    visible: string;
    entry: TreeFile | undefined;
    md5: boolean;
    /** Hash it whatever its record says. */
    fresh?: boolean;
  }): Promise<{ name: string; path: string; sha256: string; md5: string | null; bytes: number; verified: boolean }> {
    const stem = basename(path);
    const sha256 = entry?.lfs_sha256 ?? (/^[0-9a-f]{64}$/.test(stem) ? stem : null);
    const gitSha1 = sha256 === null ? (entry?.blob_id ?? (/^[0-9a-f]{40}$/.test(stem) ? stem : null)) : null;
    const expected = { bytes: entry?.lfs_size ?? entry?.size ?? null, sha256, gitSha1, md5: null };
    const record = fresh ? null : await this.#records?.find(path);
    const isEnough = record && (!md5 || record.md5 !== null) && (gitSha1 === null || record.gitSha1 !== null);
    const digests = isEnough ? record : await hashFile({ path, md5, gitSha1: gitSha1 !== null });
    if (!isEnough) await this.#note(path, digests);
    const mismatch = findMismatch(expected, digests);
    if (mismatch !== null) {
      throw new HubError({
        code: "INTEGRITY",
        message: `${path} has ${mismatch.what} ${mismatch.actual}, expected ${mismatch.expected}: the cached file is damaged. Download it again with the network open.`,
        details: { file: name, ...mismatch },
      });
    }
    return {
      name,
      path: visible,
      sha256: digests.sha256,
      md5: digests.md5,
      bytes: digests.bytes,
      verified: hasDigest(expected),
    };
  }

  /** The blob if it lies in the cache with the right content; a damaged one is removed. */
  async #cached(request: BlobRequest): Promise<FetchedBlob | null> {
    const { etag, expected, folder, withMd5, signal, onBytes } = request;
    if (etag === null) return null;
    const path = folder.blobPath(etag);
    const bytes = await sizeOf(path);
    if (bytes === null) return null;
    const record = await this.#records?.find(path);
    const wantsMd5 = withMd5 || expected.md5 !== null;
    const wantsGit = expected.gitSha1 !== null;
    const isRecordEnough = record && (!wantsMd5 || record.md5 !== null) && (!wantsGit || record.gitSha1 !== null);
    let digests: FileDigests & { bytes: number };
    if (isRecordEnough) digests = { ...record, bytes };
    else {
      onBytes?.({ phase: "verifying", doneBytes: bytes, totalBytes: bytes });
      digests = await hashFile({ path, md5: wantsMd5, gitSha1: wantsGit, signal });
      await this.#note(path, digests);
    }
    if (findMismatch(expected, digests) !== null) {
      // Its name promises another content: damaged on disk, or accepted by size alone. It is fetched again and replaced.
      return null;
    }
    return { ...pick(digests), etag, path, bytes, verified: hasDigest(expected), wasCached: true, resumedFrom: 0 };
  }

  async #note(path: string, digests: FileDigests): Promise<void> {
    await this.#records?.note(path, pick(digests), new Date(this.#http.world.clock.now()).toISOString());
  }

  async #download(request: BlobRequest, stem: string, lock: BlobLock | null): Promise<FetchedBlob> {
    const { expected, folder, name, signal, withMd5 } = request;
    const { clock, random } = this.#http.world;
    let abandoned = lock?.abandoned ?? null;
    for (let isFirst = true; ; isFirst = false) {
      const partial = await PartialFile.open({
        directory: folder.blobs,
        name: stem,
        clock,
        abandoned: isFirst ? abandoned : null,
        open: this.#open,
      });
      abandoned = null;
      await lock?.note(partial.path);
      const digester = new FileDigester({
        md5: withMd5 || expected.md5 !== null,
        gitBytes: expected.gitSha1 === null ? null : expected.bytes,
        bytes: expected.bytes,
        isAligned: (expected.bytes ?? Number.POSITIVE_INFINITY) >= this.#bypassFromBytes,
      });
      const transfer = new Transfer({
        request,
        partial,
        digester,
        http: this.#http,
        headersTimeoutMs: this.#headersTimeoutMs,
        idleTimeoutMs: this.#idleTimeoutMs,
        freeBytes: this.#freeBytes,
        bypassFromBytes: this.#bypassFromBytes,
      });
      let isOpen = true;
      try {
        await transfer.inherit();
        await runAttempts({ transfer, clock, random, name, signal });
        request.onBytes?.({ phase: "verifying", doneBytes: transfer.position, totalBytes: transfer.position });
        let digests = { ...(await digester.digest()), bytes: transfer.position };
        if (partial.inherited > 0 && transfer.resumedFrom > 0) {
          // Its former writer might have written on after it was taken for dead: what counts is what the disk holds now.
          digester.reset();
          await hashPrefix(partial.handle, transfer.position, digester, signal);
          digests = { ...(await digester.digest()), bytes: (await partial.handle.stat()).size };
        }
        const mismatch = findMismatch(expected, digests);
        if (mismatch !== null) {
          isOpen = false;
          await partial.discard();
          // The inherited part may be what is wrong; without it the source gets one fair attempt.
          if (transfer.resumedFrom > 0 && partial.inherited > 0 && isFirst) continue;
          throw integrityError(name, mismatch);
        }
        const etag = request.etag ?? digests.sha256;
        const path = folder.blobPath(etag);
        isOpen = false;
        await partial.publish(path);
        await this.#note(path, digests);
        return {
          ...pick(digests),
          etag,
          path,
          bytes: digests.bytes,
          verified: hasDigest(expected),
          wasCached: false,
          resumedFrom: transfer.resumedFrom,
        };
      } catch (error) {
        const isLost = error instanceof PartialFileLostError;
        if (isOpen) {
          if (HubError.isInstance(error) && DISCARDED.has(error.code)) await partial.discard();
          else await partial.keep();
        }
        if (isLost && isFirst) continue;
        throw error;
      } finally {
        await digester.close();
      }
    }
  }
}

/** After these errors the bytes are worth nothing, or the disk needs them back. */
const DISCARDED: ReadonlySet<string> = new Set(["INTEGRITY", "UNEXPECTED_CONTENT", "NO_SPACE", "UPSTREAM_CHANGED"]);

const pick = ({ sha256, md5, gitSha1 }: FileDigests): FileDigests => ({ sha256, md5, gitSha1 });

/** Attempts until the transfer is complete; new bytes reset the count of fruitless ones. */
async function runAttempts({
  transfer,
  clock,
  random,
  name,
  signal,
}: {
  transfer: Transfer;
  clock: HttpClient["world"]["clock"];
  random: () => number;
  name: string;
  signal: AbortSignal | undefined;
}): Promise<void> {
  let best = transfer.position;
  for (let fruitless = 0; ; ) {
    try {
      await transfer.attempt();
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const isNetwork = HubError.isInstance(error) && error.details["reason"] === "network";
      if (!(error instanceof RetryableError) && !isNetwork) throw error;
      fruitless = transfer.position > best ? 1 : fruitless + 1;
      best = Math.max(best, transfer.position);
      if (fruitless >= MAX_FRUITLESS) {
        const failure = error instanceof RetryableError ? error.failure : null;
        if (failure?.code === "RATE_LIMITED") throw failure;
        throw new HubError({
          code: "DOWNLOAD_FAILED",
          message: `${name} could not be downloaded: ${MAX_FRUITLESS} attempts brought no new byte (${error.message}). ${transfer.position} bytes are kept; run it again to continue from there.`,
          cause: failure ?? error,
          details: { file: name, url: redact(transfer.url), doneBytes: transfer.position },
        });
      }
      const asked = error instanceof RetryableError ? error.pauseMs : null;
      await clock.sleep(asked ?? backOffMs(fruitless - 1, random), signal);
    }
  }
}

/** The transfer of one file into one partial file: position, digests and the rules of ranges. */
class Transfer {
  readonly url: string;
  /** Bytes that are hashed and written, from the start. */
  position = 0;
  resumedFrom = 0;
  readonly #request: BlobRequest;
  readonly #partial: PartialFile;
  readonly #digester: FileDigester;
  readonly #http: HttpClient;
  readonly #headersTimeoutMs: number;
  readonly #idleTimeoutMs: number;
  readonly #freeBytes: (directory: string) => Promise<number>;
  readonly #bypassFromBytes: number;
  /** Length of the whole file, from the expectation or the first answer. */
  #total: number | null;
  /** Strong ETag of the first answer: a later answer must be of the same content. */
  #etag: string | null = null;
  #isSpaceChecked = false;

  constructor({
    request,
    partial,
    digester,
    http,
    headersTimeoutMs,
    idleTimeoutMs,
    freeBytes,
    bypassFromBytes,
  }: {
    request: BlobRequest;
    partial: PartialFile;
    digester: FileDigester;
    http: HttpClient;
    headersTimeoutMs: number;
    idleTimeoutMs: number;
    freeBytes: (directory: string) => Promise<number>;
    bypassFromBytes: number;
  }) {
    this.url = request.url;
    this.#request = request;
    this.#partial = partial;
    this.#digester = digester;
    this.#http = http;
    this.#headersTimeoutMs = headersTimeoutMs;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#freeBytes = freeBytes;
    this.#bypassFromBytes = bypassFromBytes;
    this.#total = request.expected.bytes;
  }

  /** Hashes what an earlier writer left. More bytes than the file has cannot be its beginning. */
  async inherit(): Promise<void> {
    const { inherited, handle } = this.#partial;
    if (inherited === 0) return;
    const isTooLong = this.#total !== null && inherited > this.#total;
    if (isTooLong || !(await hashPrefix(handle, inherited, this.#digester, this.#request.signal))) {
      await this.#restart();
      return;
    }
    this.position = inherited;
    this.resumedFrom = inherited;
  }

  async #restart(): Promise<void> {
    await this.#partial.truncate();
    this.#digester.reset();
    this.position = 0;
    this.resumedFrom = 0;
    this.#etag = null;
    this.#total = this.#request.expected.bytes;
  }

  /**
   * One request and its body. Returns when the file is complete.
   * @throws {@link RetryableError} when another attempt may continue
   */
  async attempt(): Promise<void> {
    if (this.#total !== null && this.position === this.#total && this.position > 0) return;
    const { token, signal } = this.#request;
    const headers: Record<string, string> = { accept: "*/*", "accept-encoding": "identity" };
    if (this.position > 0) {
      headers["range"] = `bytes=${this.position}-`;
      if (this.#etag !== null) headers["if-range"] = this.#etag;
    }
    const idle = new AbortController();
    const answer = await this.#http.open(this.url, {
      headers,
      token,
      signal: signal ? AbortSignal.any([signal, idle.signal]) : idle.signal,
      headersTimeoutMs: this.#headersTimeoutMs,
      isFile: true,
    });
    try {
      if (await this.#accept(answer)) return;
      await this.#stream(answer.response, idle);
    } finally {
      // Ends a body that nobody reads to its end; its connection closes.
      idle.abort();
    }
  }

  /** Checks status and headers. @returns true when the file is complete already */
  async #accept(answer: HttpAnswer): Promise<boolean> {
    const { response } = answer;
    const { expected, name, isText, token } = this.#request;
    const { status, headers } = response;
    if (status === 416) return this.#acceptUnsatisfied(headers.get("content-range"));
    if (status === 429 || status === 408 || status >= 500) {
      const pauseMs = retryAfterMs(headers.get("retry-after"), this.#http.world.clock.now());
      throw new RetryableError(`status ${status}`, { pauseMs, failure: await errorOfAnswer(answer, token) });
    }
    if (status !== 200 && status !== 206) throw await errorOfAnswer(answer, token);
    const type = isText ? null : unexpectedType(headers.get("content-type"));
    if (type !== null) throw unexpected(name, this.url, type);
    const etag = strongEtag(headers.get("etag"));
    let length = contentLength(headers);
    if (status === 206) {
      const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
      const [start, total] = [Number(range?.[1] ?? -1), range?.[3] === "*" ? this.#total : Number(range?.[3] ?? -1)];
      const isChanged = this.#etag !== null && etag !== null && etag !== this.#etag;
      if (range === null || start !== this.position || (this.#total !== null && total !== this.#total) || isChanged) {
        await this.#restart();
        throw new RetryableError(
          isChanged
            ? "the file changed while it was read"
            : `the server answered the wrong range, ${headers.get("content-range")}`,
          { pauseMs: 0 },
        );
      }
      length = total;
    } else if (this.position > 0) {
      // The server ignores ranges, or the file changed (If-Range).
      await this.#restart();
    }
    checkLinkedHeaders(answer, this.#request);
    if (length !== null) {
      if (expected.bytes !== null && length !== expected.bytes)
        throw integrityError(name, { what: "bytes", expected: expected.bytes, actual: length });
      this.#total = length;
    }
    this.#etag = etag;
    await this.#assertSpace();
    if ((this.#total ?? 0) >= this.#bypassFromBytes) await this.#partial.bypassCache();
    return false;
  }

  async #acceptUnsatisfied(contentRange: string | null): Promise<boolean> {
    const total = /^bytes \*\/(\d+)$/.exec(contentRange ?? "")?.[1];
    const whole = this.#total ?? (total === undefined ? null : Number(total));
    if (whole !== null && whole === this.position) return true;
    await this.#restart();
    throw new RetryableError("the server refused the range", { pauseMs: 0 });
  }

  async #assertSpace(): Promise<void> {
    if (this.#isSpaceChecked || this.#total === null) return;
    this.#isSpaceChecked = true;
    const { folder, name } = this.#request;
    const needed = Math.ceil((this.#total - this.position) * (1 + SPACE_RESERVE));
    const free = await this.#freeBytes(folder.blobs);
    if (free >= needed) return;
    throw new HubError({
      code: "NO_SPACE",
      message: `${name} needs ${needed} more bytes in ${folder.root}, ${free} are free. Free some (seg-hub models prune) or move the cache (HF_HUB_CACHE, SEG_HUB_HOME).`,
      details: { neededBytes: needed, freeBytes: free, directory: folder.root },
    });
  }

  async #stream(response: Response, idle: AbortController): Promise<void> {
    const { name, onBytes, signal } = this.#request;
    let chunk: { index: number; bytes: Buffer } | null = null;
    let filled = 0;
    // Chunks end where blocks of the disk end, wherever this request began.
    const lengthOfChunk = () => CHUNK_BYTES - (this.position % CHUNK_BYTES);
    let failure: unknown = null;
    const pending = new Set<Promise<void>>();
    const flush = () => {
      if (chunk === null || filled === 0) return;
      const { index, bytes } = chunk;
      const view = bytes.subarray(0, filled);
      if (this.position === 0 && !this.#request.isText) {
        const why = unexpectedBody(view);
        if (why !== null) throw unexpected(name, this.url, why);
      }
      const written = Promise.all([this.#partial.write(view, this.position), this.#digester.update(index, filled)])
        .catch((error: unknown) => {
          failure ??= error;
        })
        .then(() => {
          this.#digester.give(index);
          pending.delete(written);
        });
      pending.add(written);
      this.position += filled;
      chunk = null;
      filled = 0;
      onBytes?.({ phase: "downloading", doneBytes: this.position, totalBytes: this.#total });
    };
    const fill = (data: Uint8Array): Promise<void> | undefined => {
      for (let at = 0; at < data.length && failure === null; ) {
        chunk ??= this.#digester.takeNow();
        if (chunk === null) {
          return this.#digester.take().then((free) => {
            chunk = free;
            return fill(data.subarray(at));
          });
        }
        const taken = Math.min(lengthOfChunk() - filled, data.length - at);
        const { bytes } = chunk;
        const isInPlace = data.buffer === bytes.buffer && data.byteOffset + at === bytes.byteOffset + filled;
        if (!isInPlace) bytes.set(data.subarray(at, at + taken), filled);
        filled += taken;
        at += taken;
        if (filled === lengthOfChunk()) flush();
      }
      if (failure !== null) throw failure;
      return undefined;
    };
    const memory = () => {
      chunk ??= this.#digester.takeNow();
      return chunk?.bytes.subarray(filled, Math.min(filled + READ_BYTES, lengthOfChunk())) ?? null;
    };
    let broken: unknown = null;
    let refused: unknown = null;
    const refuse = (error: unknown): never => {
      refused = error;
      throw error;
    };
    try {
      await consumeBody({
        response,
        idle,
        idleTimeoutMs: this.#idleTimeoutMs,
        memory,
        consume: (data) => {
          try {
            if (this.#total !== null && this.position + filled + data.length > this.#total)
              throw integrityError(name, { what: "bytes", expected: this.#total, actual: `more than ${this.#total}` });
            return fill(data)?.catch(refuse);
          } catch (error) {
            return refuse(error);
          }
        },
      }).catch((error: unknown) => {
        broken = error;
      });
      if (refused === null) flush();
    } finally {
      if (chunk !== null) this.#digester.give((chunk as { index: number }).index);
      await Promise.all(pending);
    }
    if (failure !== null) throw diskError(failure, name);
    if (refused !== null) throw refused;
    signal?.throwIfAborted();
    if (broken !== null) throw new RetryableError(`the connection broke: ${messageOf(broken)}`);
    if (this.#total !== null && this.position < this.#total)
      throw new RetryableError(`the body ended after ${this.position} of ${this.#total} bytes`);
  }
}

const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
};

function diskError(error: unknown, name: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EFBIG") return error;
  return new HubError({
    code: "NO_SPACE",
    message: `The disk filled up while ${name} was written (${code}). The partial file was removed.`,
    cause: error,
    details: { file: name, reason: code },
  });
}

const unexpected = (name: string, url: string, why: string): HubError =>
  new HubError({
    code: "UNEXPECTED_CONTENT",
    message: `${name} is no model file: ${why} for ${redact(url)}. Nothing was written. A login page, a download limit or a moved file answers like this.`,
    details: { file: name, url: redact(url), reason: why },
  });

/** A weak or missing ETag cannot tell whether bytes are the same. */
const strongEtag = (etag: string | null): string | null => (etag === null || etag.startsWith("W/") ? null : etag);

function contentLength(headers: Headers): number | null {
  const encoding = headers.get("content-encoding");
  // The length of a compressed body says nothing about the file.
  if (encoding !== null && encoding !== "identity") return null;
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : null;
}

/** Hugging Face states digest and size of an LFS file beside the redirect to its storage: they must be those of the listing. */
function checkLinkedHeaders({ hops, response }: HttpAnswer, { expected, name }: BlobRequest): void {
  for (const headers of [...hops, response.headers]) {
    const linked = headers.get("x-linked-etag")?.replace(/^W\/|"/g, "") ?? null;
    if (
      linked !== null &&
      expected.sha256 !== null &&
      /^[0-9a-f]{64}$/.test(linked) &&
      linked !== expected.sha256.toLowerCase()
    )
      throw integrityError(name, { what: "sha256", expected: expected.sha256, actual: linked });
    const size = headers.get("x-linked-size");
    if (size !== null && expected.bytes !== null && /^\d+$/.test(size) && Number(size) !== expected.bytes)
      throw integrityError(name, { what: "bytes", expected: expected.bytes, actual: Number(size) });
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  );
}

/** Bytes an ordinary user can still write on the file system of `directory`. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
