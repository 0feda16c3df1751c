import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RgbImage } from "@seg/coco-dataset";
import {
  float16ToFloat32,
  float32ToFloat16,
  readSafetensors,
  SafetensorsFormatError,
  weightsHash,
  writeSafetensors,
} from "@seg/nn";
import { SAM_MEAN, SAM_STD } from "@seg/preprocess";
import { embeddingSide } from "./config.js";
import { encodeImageOnce } from "./predict.js";
import type { Sam } from "./sam.js";

/** Mirrored left-right copy. */
export function mirrorImage({ width, height, data }: RgbImage): RgbImage {
  const mirrored = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (y * width + x);
      const to = 3 * (y * width + width - 1 - x);
      for (let c = 0; c < 3; c++) mirrored[to + c] = data[from + c]!;
    }
  }
  return { width, height, data: mirrored };
}

/** Cut of the network after which values are kept. */
const CUT = "sam-vision-encoder/2";

/**
 * Embeddings of a frozen encoder, computed once per (image bytes, weights, cut, stored type, preparation, view): all of these are hashed into an entry's name and
 * written into it. Kept in memory up to `maxBytes`, and as one safetensors file each when a directory is given. An entry that is truncated, has another shape or
 * type, holds values that are not finite or was written under another key is computed again.
 *
 * `F32` entries equal uncached values bit for bit; `F16` halves the size (2 MiB an image for 256 x 64 x 64) at up to 2^-11 relative.
 */
export class EmbeddingCache {
  readonly #sam: Sam;
  readonly #directory: string | null;
  readonly #maxBytes: number;
  readonly #dtype: "F32" | "F16";
  readonly #weights: string;
  readonly #memory = new Map<string, Float32Array>();
  #bytes = 0;

  /**
   * @param directory - null keeps nothing on disk. @defaultValue null
   * @param dtype - of the stored values; what `get` returns is rounded to it on disk and in memory alike. @defaultValue "F32"
   * @param maxBytes - in memory. @defaultValue 1 GiB
   */
  constructor({
    sam,
    directory = null,
    dtype = "F32",
    maxBytes = 2 ** 30,
  }: { sam: Sam; directory?: string | null; dtype?: "F32" | "F16"; maxBytes?: number }) {
    this.#sam = sam;
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#dtype = dtype;
    this.#weights = weightsHash(sam.vision_encoder);
  }

  /** @returns [g g C] and whether the encoder had to run */
  async get(image: RgbImage, mirrored: boolean): Promise<{ embedding: Float32Array; computed: boolean }> {
    const key = this.#key(image, mirrored);
    const known = this.#memory.get(key);
    if (known) return { embedding: known, computed: false };
    const stored = this.#read(key);
    const embedding = stored ?? this.#rounded(await encodeImageOnce(this.#sam, mirrored ? mirrorImage(image) : image));
    if (!stored && this.#directory !== null) {
      const tensor = { dtype: "F32" as const, shape: this.#shape(), data: embedding };
      const metadata = { key, cut: CUT, weights: this.#weights };
      writeSafetensors(this.#path(key), new Map([["embedding", tensor]]), { dtype: this.#dtype, metadata });
    }
    if (this.#bytes + embedding.byteLength <= this.#maxBytes) {
      this.#memory.set(key, embedding);
      this.#bytes += embedding.byteLength;
    }
    return { embedding, computed: !stored };
  }

  /** The same values whether or not they have been on disk. */
  #rounded(values: Float32Array): Float32Array {
    return this.#dtype === "F32" ? values : float16ToFloat32(float32ToFloat16(values));
  }

  #shape(): number[] {
    const side = embeddingSide(this.#sam.config);
    return [side, side, this.#sam.config.vision.outputChannels];
  }

  #path(key: string): string {
    return join(this.#directory!, `${key}.safetensors`);
  }

  #read(key: string): Float32Array | null {
    if (this.#directory === null || !existsSync(this.#path(key))) return null;
    try {
      const file = readSafetensors(this.#path(key));
      if (file.metadata["key"] !== key || !file.has("embedding")) return null;
      const { dtype, shape } = file.info("embedding");
      if (dtype !== this.#dtype || shape.join() !== this.#shape().join()) return null;
      const data = file.tensor("embedding").data as Float32Array;
      return data.every(Number.isFinite) ? data : null;
    } catch (error) {
      if (error instanceof SafetensorsFormatError || error instanceof RangeError) return null;
      throw error;
    }
  }

  #key({ width, height, data }: RgbImage, mirrored: boolean): string {
    const { imageSize } = this.#sam.config.vision;
    const preparation = { longest_edge: imageSize, mean: SAM_MEAN, std: SAM_STD };
    const parts = { cut: CUT, weights: this.#weights, dtype: this.#dtype, preparation, width, height, mirrored };
    return createHash("sha256")
      .update(`${JSON.stringify(parts)}\n`)
      .update(data)
      .digest("hex");
  }
}
