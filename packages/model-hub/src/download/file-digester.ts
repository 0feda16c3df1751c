import { createHash, type Hash } from "node:crypto";
import { Worker } from "node:worker_threads";
import { pageAlignedMemory } from "../internal/page-aligned-memory.js";

/** Digests of a finished file, lower-case hex; those that were not asked for are null. */
export interface FileDigests {
  readonly sha256: string;
  readonly md5: string | null;
  /** SHA-1 of `"blob <length>\0"` + bytes. */
  readonly gitSha1: string | null;
}

/** Bytes of a chunk: large enough that calls cost nothing beside hashing, small enough that a few of them are no memory. */
export const CHUNK_BYTES = 1 << 20;
/** Chunks between network and disk: one fills, one is written, two wait for the digests. */
const CHUNKS = 4;
/** Starting a thread takes some 30 ms, as long as MD5 needs for this many bytes. */
const WORKER_FROM_BYTES = 8 << 20;

/** Source of the worker: a string, so that it works from sources, from a bundle and from CJS alike. */
const WORKER = `
const { parentPort, workerData: { memory, chunkBytes } } = require("node:worker_threads");
const { createHash } = require("node:crypto");
let hash = createHash("md5");
parentPort.on("message", ({ kind, index, length }) => {
  if (kind === "chunk") hash.update(new Uint8Array(memory, index * chunkBytes, length));
  if (kind === "reset") hash = createHash("md5");
  parentPort.postMessage(kind === "digest" ? hash.digest("hex") : index);
});
`;

/**
 * Memory chunks that a download fills, and the digests over them. SHA-256 runs where the caller runs, while the previous chunk is being
 * written; MD5, half as fast, runs in a worker thread on shared memory, so that the slower digest bounds the speed, not the sum of both.
 */
export class FileDigester {
  readonly #memory: SharedArrayBuffer;
  readonly #chunks: readonly Buffer[];
  readonly #free: number[];
  readonly #wantsMd5: boolean;
  readonly #gitBytes: number | null;
  #sha256: Hash = createHash("sha256");
  #gitSha1: Hash | null = null;
  #md5: Hash | null = null;
  #worker: Worker | null = null;
  #waiting: (() => void)[] = [];
  #acknowledge = new Map<number, () => void>();
  #onDigest: ((digest: string) => void) | null = null;
  #failed: Error | null = null;

  /**
   * @param bytes - expected length; decides whether a worker is worth its start. Null when unknown
   * @param gitBytes - length of the file for its git digest; null leaves that out
   * @param isAligned - chunks begin at a page, so that they can be written past the page cache
   */
  constructor({
    md5,
    gitBytes,
    bytes,
    isAligned = false,
  }: { md5: boolean; gitBytes: number | null; bytes: number | null; isAligned?: boolean }) {
    const size = CHUNK_BYTES * CHUNKS;
    this.#memory = isAligned ? pageAlignedMemory(size) : new SharedArrayBuffer(size);
    this.#chunks = Array.from({ length: CHUNKS }, (_, i) => Buffer.from(this.#memory, i * CHUNK_BYTES, CHUNK_BYTES));
    this.#free = this.#chunks.map((_, i) => i);
    this.#wantsMd5 = md5;
    this.#gitBytes = gitBytes;
    if (md5 && (bytes === null || bytes >= WORKER_FROM_BYTES)) this.#startWorker();
    this.#start();
  }

  #start(): void {
    this.#sha256 = createHash("sha256");
    this.#gitSha1 = this.#gitBytes === null ? null : createHash("sha1").update(`blob ${this.#gitBytes}\0`);
    this.#md5 = this.#wantsMd5 && this.#worker === null ? createHash("md5") : null;
  }

  #startWorker(): void {
    const worker = new Worker(WORKER, {
      eval: true,
      workerData: { memory: this.#memory, chunkBytes: CHUNK_BYTES },
      // The parent's loader flags and conditions are of no use here and cost a start-up.
      execArgv: [],
    });
    worker.on("message", (message: number | string) => {
      if (typeof message === "string") this.#onDigest?.(message);
      else this.#acknowledge.get(message)?.();
    });
    worker.on("error", (error: Error) => {
      this.#failed = error;
      for (const wake of this.#acknowledge.values()) wake();
      this.#onDigest?.("");
    });
    worker.unref();
    this.#worker = worker;
  }

  /** A chunk to fill; null while all are being written or hashed. */
  takeNow(): { index: number; bytes: Buffer } | null {
    const index = this.#free.pop();
    return index === undefined ? null : { index, bytes: this.#chunks[index]! };
  }

  /** A chunk to fill; waits while all are being written or hashed. */
  async take(): Promise<{ index: number; bytes: Buffer }> {
    for (;;) {
      const chunk = this.takeNow();
      if (chunk !== null) return chunk;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Returns a chunk that nobody reads any more. */
  give(index: number): void {
    this.#free.push(index);
    this.#waiting.shift()?.();
  }

  /** Hashes the first `length` bytes of a chunk, in the order of the calls. Resolves when the chunk may be overwritten. */
  update(index: number, length: number): Promise<void> {
    const view = this.#chunks[index]!.subarray(0, length);
    let inWorker: Promise<void> = Promise.resolve();
    if (this.#worker !== null) {
      inWorker = new Promise((resolve, reject) => {
        this.#acknowledge.set(index, () => {
          this.#acknowledge.delete(index);
          if (this.#failed === null) resolve();
          else reject(this.#failed);
        });
        this.#worker!.ref();
        this.#worker!.postMessage({ kind: "chunk", index, length });
      });
    }
    this.#sha256.update(view);
    this.#gitSha1?.update(view);
    this.#md5?.update(view);
    return inWorker;
  }

  /** Begins again, for a file that begins again. All chunks must have been returned. */
  reset(): void {
    this.#worker?.postMessage({ kind: "reset", index: -1 });
    this.#start();
  }

  async digest(): Promise<FileDigests> {
    let md5: string | null = this.#md5?.digest("hex") ?? null;
    if (this.#worker !== null) {
      md5 = await new Promise<string>((resolve) => {
        this.#onDigest = resolve;
        this.#worker!.ref();
        this.#worker!.postMessage({ kind: "digest" });
      });
      if (this.#failed !== null) throw this.#failed;
    }
    return { sha256: this.#sha256.digest("hex"), md5, gitSha1: this.#gitSha1?.digest("hex") ?? null };
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }
}
