import { createHash } from "node:crypto";
import type { RgbImage } from "@seg/coco-dataset";
import { weightsHash } from "@seg/nn";
import { SAM_MEAN, SAM_STD } from "@seg/preprocess";
import { TensorCache, type TensorCacheOptions } from "../tensor-cache.js";
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
 * written into it. Kept in memory, and as one safetensors file each (2 MiB in half precision for 256 x 64 x 64) when a directory is given; see {@link TensorCache}.
 */
export class EmbeddingCache {
  readonly #sam: Sam;
  readonly #cache: TensorCache;
  readonly #weights: string;

  constructor({ sam, ...options }: { sam: Sam } & Omit<TensorCacheOptions, "metadata">) {
    this.#sam = sam;
    this.#weights = weightsHash(sam.vision_encoder);
    this.#cache = new TensorCache({ ...options, metadata: { cut: CUT, weights: this.#weights } });
  }

  /** @returns [g g C] and whether the encoder had to run */
  async get(image: RgbImage, mirrored: boolean): Promise<{ embedding: Float32Array; computed: boolean }> {
    const side = embeddingSide(this.#sam.config);
    const shape = [side, side, this.#sam.config.vision.outputChannels];
    const { tensors, computed } = await this.#cache.get(this.#key(image, mirrored), { embedding: shape }, async () => {
      const values = await encodeImageOnce(this.#sam, mirrored ? mirrorImage(image) : image);
      return new Map([["embedding", values]]);
    });
    return { embedding: tensors.get("embedding")!.data, computed };
  }

  #key({ width, height, data }: RgbImage, mirrored: boolean): string {
    const { imageSize } = this.#sam.config.vision;
    const preparation = { longest_edge: imageSize, mean: SAM_MEAN, std: SAM_STD };
    const { dtype } = this.#cache;
    const parts = { cut: CUT, weights: this.#weights, dtype, preparation, width, height, mirrored };
    return createHash("sha256")
      .update(`${JSON.stringify(parts)}\n`)
      .update(data)
      .digest("hex");
  }
}
