import { createHash } from "node:crypto";
import { deflateSync, inflateSync } from "node:zlib";
import type { Affine } from "@seg/augment";
import { CacheCorruptError } from "./errors.js";

/** Logits are clipped to +-8 (probabilities within 3.4e-4 of 0 and 1) and stored in steps of 1/16. */
const STEP = 1 / 16;
const CLIP = 8;
const MAGIC = "segkd001";
const DIGEST_BYTES = 32;

/** One mask of a mask teacher. */
export interface TeacherMask {
  /** Id of the annotation whose box was the prompt. */
  readonly annotationId: number;
  /** IoU that the teacher predicts for its own mask, 0..1. */
  readonly iou: number;
  /** `side * side` deflated int8 logits, row-major, in steps of 1/16. */
  readonly packed: Uint8Array;
}

/** Everything the teacher said about one image. */
export interface TeacherRecord {
  readonly key: string;
  /** Image size the boxes and `toModel` refer to, pixels. */
  readonly width: number;
  readonly height: number;
  /** Side of the square logit grid. */
  readonly side: number;
  /** Image pixels to logit-grid pixels. */
  readonly toModel: Affine;
  readonly masks: readonly TeacherMask[];
}

/** Float logits to deflated int8: round(clip(z, +-8) * 16), where +8 saturates at 127/16. */
export function packLogits(logits: Float32Array): Uint8Array {
  const values = new Int8Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    const clipped = Math.max(-CLIP, Math.min(CLIP, logits[i]!));
    values[i] = Math.min(127, Math.round(clipped / STEP));
  }
  return deflateSync(new Uint8Array(values.buffer));
}

/** Deflated int8 back to float logits. */
export function unpackLogits(packed: Uint8Array): Float32Array {
  const bytes = inflateSync(packed);
  const values = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return Float32Array.from(values, (value) => value * STEP);
}

/** Bytes of a record: magic, header length (uint32 LE), JSON header, packed masks, SHA-256 of all before. */
export function encodeRecord(record: TeacherRecord): Uint8Array {
  const { masks, ...rest } = record;
  const entries = masks.map(({ annotationId, iou, packed }) => ({ annotationId, iou, length: packed.length }));
  const header = Buffer.from(JSON.stringify({ ...rest, masks: entries }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const body = Buffer.concat([Buffer.from(MAGIC), length, header, ...masks.map((mask) => mask.packed)]);
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}

/**
 * Reads a record back.
 * @param file - named in errors
 * @throws CacheCorruptError
 */
export function decodeRecord(bytes: Uint8Array, file: string): TeacherRecord {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (all.length < MAGIC.length + 4 + DIGEST_BYTES || all.toString("latin1", 0, MAGIC.length) !== MAGIC) {
    throw new CacheCorruptError({ file, reason: `${all.length} bytes without the header "${MAGIC}"` });
  }
  const body = all.subarray(0, all.length - DIGEST_BYTES);
  const digest = createHash("sha256").update(body).digest();
  if (!digest.equals(all.subarray(body.length))) throw new CacheCorruptError({ file, reason: "the checksum differs" });
  const start = MAGIC.length + 4;
  const headerLength = body.readUInt32LE(MAGIC.length);
  const header = JSON.parse(body.toString("utf8", start, start + headerLength)) as Omit<TeacherRecord, "masks"> & {
    masks: { annotationId: number; iou: number; length: number }[];
  };
  let offset = start + headerLength;
  const masks = header.masks.map(({ annotationId, iou, length }) => {
    const packed = body.subarray(offset, offset + length);
    offset += length;
    return { annotationId, iou, packed };
  });
  return { ...header, masks };
}
