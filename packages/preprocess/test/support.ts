import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { RgbImage } from "@seg/coco-dataset";

/** Root of the shared fixtures. */
export const SHARED = process.env["SEG_SHARED"] ?? resolve(import.meta.dirname, "../../../../shared");

/** Recorded results of Pillow, OpenCV and the transformers processors. */
export const PROCESSORS = join(SHARED, "fixtures/image-processors");

/** The synthetic picture of the specification's tables. */
export function syn(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let p = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[p++] = (7 * x + 13 * y) & 255;
      data[p++] = (x * x + 3 * y) & 255;
      data[p++] = ((x ^ y) * 5) & 255;
    }
  }
  return { width, height, data };
}

export function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** First 16 hex digits of the SHA-256 and the byte sum, as the tables give them. */
export function digest({ data }: RgbImage): string {
  let sum = 0;
  for (const byte of data) sum += byte;
  return `${sha256(data).slice(0, 16)} ${sum}`;
}

/** The U8 and F32 tensors of a safetensors file. */
export function readTensors(path: string): Map<string, { shape: number[]; data: Uint8Array | Float32Array }> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, { shape: number[]; data: Uint8Array | Float32Array }>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const bytes = Uint8Array.prototype.slice.call(file, 8 + length + data_offsets[0], 8 + length + data_offsets[1]);
    tensors.set(name, { shape, data: dtype === "F32" ? new Float32Array(bytes.buffer) : bytes });
  }
  return tensors;
}
