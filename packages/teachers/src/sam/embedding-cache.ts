import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RgbImage } from "@seg/coco-dataset";
import { readSafetensors, SafetensorsFormatError, writeSafetensors } from "@seg/nn";
import { encodeImageOnce } from "./predict.js";
import type { Sam } from "./sam.js";
import { weightsHash } from "./weights-hash.js";

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

/**
 * Embeddings of a frozen encoder, computed once per (weights, image bytes, mirrored or not). Kept in memory up to `maxBytes`, and as float32
 * files when a directory is given; damaged files are computed again. Values equal the uncached ones bit for bit.
 */
export class EmbeddingCache {
  readonly #sam: Sam;
  readonly #directory: string | null;
  readonly #maxBytes: number;
  readonly #weights: string;
  readonly #memory = new Map<string, Float32Array>();
  #bytes = 0;

  constructor({
    sam,
    directory = null,
    maxBytes = 2 ** 30,
  }: { sam: Sam; directory?: string | null; maxBytes?: number }) {
    this.#sam = sam;
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#weights = weightsHash(sam.vision_encoder);
  }

  /** @returns [g g C] and whether the encoder had to run */
  async get(image: RgbImage, mirrored: boolean): Promise<{ embedding: Float32Array; computed: boolean }> {
    const key = this.#key(image, mirrored);
    const known = this.#memory.get(key);
    if (known) return { embedding: known, computed: false };
    const stored = this.#read(key);
    const embedding = stored ?? (await encodeImageOnce(this.#sam, mirrored ? mirrorImage(image) : image));
    if (!stored && this.#directory !== null) {
      writeSafetensors(join(this.#directory, `${key}.safetensors`), new Map([["embedding", this.#tensor(embedding)]]));
    }
    if (this.#bytes + embedding.byteLength <= this.#maxBytes) {
      this.#memory.set(key, embedding);
      this.#bytes += embedding.byteLength;
    }
    return { embedding, computed: !stored };
  }

  #tensor(data: Float32Array) {
    return { dtype: "F32" as const, shape: this.#shape(), data };
  }

  #shape(): number[] {
    const { imageSize, patchSize, outputChannels } = this.#sam.config.vision;
    return [imageSize / patchSize, imageSize / patchSize, outputChannels];
  }

  #read(key: string): Float32Array | null {
    if (this.#directory === null) return null;
    const path = join(this.#directory, `${key}.safetensors`);
    if (!existsSync(path)) return null;
    try {
      const { shape, data } = readSafetensors(path).tensor("embedding");
      return shape.join() === this.#shape().join() && data instanceof Float32Array ? data : null;
    } catch (error) {
      if (error instanceof SafetensorsFormatError || error instanceof RangeError) return null;
      throw error;
    }
  }

  #key({ width, height, data }: RgbImage, mirrored: boolean): string {
    const { imageSize } = this.#sam.config.vision;
    return createHash("sha256")
      .update(`sam-embedding/1 ${this.#weights} ${imageSize} ${width}x${height} ${mirrored ? "mirror" : "plain"}\n`)
      .update(data)
      .digest("hex");
  }
}
