import { createHash, type Hash } from "node:crypto";
import { open } from "node:fs/promises";
import { CHUNK_BYTES } from "./file-digester.js";

/** The names under which CivitAI and the tools around it know a file, lower-case hex. */
export interface CivitaiHashes {
  readonly bytes: number;
  readonly sha256: string;
  /** First 8 digits of the SHA-256 of 64 KiB from 1 MiB on; null for files under 2 MiB. */
  readonly autoV1: string | null;
  /** First 10 digits of the SHA-256. */
  readonly autoV2: string;
  /** First 12 digits of the SHA-256 of a safetensors file's tensors, without its header: metadata may change. Null for other files. */
  readonly autoV3: string | null;
}

const MIB = 1 << 20;
const AUTO_V1_START = MIB;
const AUTO_V1_BYTES = 64 << 10;
/** Longest header that the safetensors format allows. */
const MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads a file once and hashes it as CivitAI does.
 * @example (await civitaiHashes({ path: "lora.safetensors" })).autoV2 // "1e075c8d47"
 */
export async function civitaiHashes({ path, signal }: { path: string; signal?: AbortSignal }): Promise<CivitaiHashes> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const whole = createHash("sha256");
    const middle = size >= 2 * MIB ? createHash("sha256") : null;
    let payload: Hash | null = null;
    let payloadStart = Number.POSITIVE_INFINITY;
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let at = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, at);
      if (bytesRead === 0) break;
      const part = chunk.subarray(0, bytesRead);
      /** The bytes of this part that lie in [from, to) of the file. */
      const within = (from: number, to: number) => part.subarray(Math.max(0, from - at), Math.max(0, to - at));
      whole.update(part);
      middle?.update(within(AUTO_V1_START, AUTO_V1_START + AUTO_V1_BYTES));
      if (at === 0) {
        payloadStart = payloadStartOf(part, size) ?? payloadStart;
        if (payloadStart <= size) payload = createHash("sha256");
      }
      payload?.update(within(payloadStart, Number.POSITIVE_INFINITY));
      at += bytesRead;
    }
    const sha256 = whole.digest("hex");
    return {
      bytes: at,
      sha256,
      autoV1: middle?.digest("hex").slice(0, 8) ?? null,
      autoV2: sha256.slice(0, 10),
      autoV3: payload?.digest("hex").slice(0, 12) ?? null,
    };
  } finally {
    await file.close();
  }
}

/** Where the tensors of a safetensors file begin: u64 length of the header (little endian), then JSON. Null for another format. */
function payloadStartOf(head: Buffer, size: number): number | null {
  // "{" opens the header.
  if (head.length < 9 || head[8] !== 0x7b) return null;
  const header = head.readBigUInt64LE(0);
  return header <= MAX_HEADER_BYTES && 8 + Number(header) <= size ? 8 + Number(header) : null;
}
