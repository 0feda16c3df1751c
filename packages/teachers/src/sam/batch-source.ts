import { CounterRandom } from "@seg/augment";
import { type Box, mask as maskAlgebra, type RgbImage } from "@seg/coco-dataset";
import { type Geometry, mapBoxToModel } from "@seg/preprocess";
import { embeddingSide } from "./config.js";
import { type EmbeddingCache, mirrorImage } from "./embedding-cache.js";
import type { SamItem } from "./evaluate.js";
import { encodeImageOnce, samPixels } from "./predict.js";
import type { PromptSampler, SampledImage } from "./prompt-sampler.js";
import type { Sam } from "./sam.js";
import { type BoxJitter, jitterBox, maskTarget, mirrorBox, promptBox, validCells } from "./targets.js";
import type { SamBatch } from "./train-step.js";

/** Makes another view of an item: the image and, in the same order and number, its instances. */
export type SamAugmentation = (item: SamItem, random: CounterRandom) => SamItem;

/** Settings of a {@link BatchSource}. */
export interface BatchSourceOptions {
  readonly sam: Sam;
  readonly items: readonly SamItem[];
  readonly sampler: PromptSampler;
  readonly cache: EmbeddingCache;
  readonly seed: number;
  /** Batches then hold pixels instead of embeddings. @defaultValue false */
  readonly encoderTrains?: boolean;
  /** @defaultValue {@link defaultJitter} */
  readonly jitter?: BoxJitter;
  /** @defaultValue images as they are, and mirrored */
  readonly augment?: SamAugmentation;
  /** Views of each item that are drawn once and cached; with `augment` and without a number every draw is new and runs the encoder. */
  readonly cacheViews?: number;
}

/** A tenth of the side, as detectors err; 20 px of 1024 at most, which would hardly move a box of a 128 px model: there a quarter of the side limits alone. */
export function defaultJitter(sam: Sam): BoxJitter {
  const { imageSize } = sam.config.vision;
  return {
    relative: 0.1,
    limit: 0.25,
    limitPixels: imageSize < 512 ? Number.POSITIVE_INFINITY : (20 * imageSize) / 1024,
  };
}

/** Assembles batches from image embeddings; soft targets are kept as bytes, 255 levels are finer than the labels. */
export class BatchSource {
  readonly #sam: Sam;
  readonly #items: readonly SamItem[];
  readonly #sampler: PromptSampler;
  readonly #cache: EmbeddingCache;
  readonly #seed: number;
  readonly #jitter: BoxJitter;
  readonly #augment: SamAugmentation | null;
  readonly #views: number | null;
  readonly #encoderTrains: boolean;
  readonly #geometry = new Map<string, Geometry>();
  readonly #targets = new Map<string, Uint8Array>();
  readonly #viewed = new Map<string, SamItem>();
  readonly #hasPadding: boolean;

  constructor(options: BatchSourceOptions) {
    const { sam, items, sampler, cache, seed, encoderTrains = false, jitter, augment, cacheViews } = options;
    this.#sam = sam;
    this.#items = items;
    this.#sampler = sampler;
    this.#cache = cache;
    this.#seed = seed;
    this.#jitter = jitter ?? defaultJitter(sam);
    this.#augment = augment ?? null;
    this.#encoderTrains = encoderTrains;
    this.#views = augment ? (cacheViews ?? null) : 1;
    this.#hasPadding = items.some(({ image }) => image.width !== image.height) || augment !== undefined;
  }

  /** Whether embeddings are computed once: the encoder is frozen, and so are the views. */
  get isCached(): boolean {
    return this.#views !== null && !this.#encoderTrains;
  }

  /** Computes every embedding once; nothing to do when each draw is a new view. */
  async warm(
    onEmbedding: (progress: { done: number; total: number; computed: boolean }) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#views === null || this.#encoderTrains) return;
    const total = 2 * this.#items.length * this.#views;
    let done = 0;
    for (let item = 0; item < this.#items.length; item++) {
      for (let view = 0; view < this.#views; view++) {
        for (const mirrored of [false, true]) {
          signal?.throwIfAborted();
          const { computed } = await this.#cache.get(this.#item(item, view).image, mirrored);
          done++;
          onEmbedding({ done, total, computed });
        }
      }
    }
  }

  async batch(step: number, images: number, prompts: number): Promise<SamBatch> {
    const { imageSize, outputChannels } = this.#sam.config.vision;
    const grid = embeddingSide(this.#sam.config);
    const size = this.#encoderTrains ? imageSize * imageSize * 3 : grid * grid * outputChannels;
    const fine = 4 * grid;
    const pictures = new Float32Array(images * size);
    const boxes = new Float32Array(images * prompts * 4);
    const targets = new Float32Array(images * prompts * fine * fine);
    const valid = this.#hasPadding ? new Float32Array(images * fine * fine) : null;
    for (let i = 0; i < images; i++) {
      const draw = step * images + i;
      const sampled = this.#sampler.draw(draw, prompts);
      const view = this.#views === null ? draw : Math.floor(draw / this.#items.length) % this.#views;
      const { image } = this.#item(sampled.item, view);
      const geometry = this.#geometryOf(sampled.item, view);
      pictures.set(await this.#picture(image, this.#isMirrored(sampled)), i * size);
      valid?.set(validCells(geometry, fine), i * fine * fine);
      this.#prompts(sampled, view, geometry, {
        boxes: boxes.subarray(i * prompts * 4, (i + 1) * prompts * 4),
        targets: targets.subarray(i * prompts * fine * fine, (i + 1) * prompts * fine * fine),
        fine,
      });
      if (this.#views === null) this.#forget(sampled.item, view);
    }
    const input = this.#encoderTrains ? { pixels: pictures } : { embeddings: pictures };
    return { images, prompts, ...input, boxes, targets, ...(valid && { valid }) };
  }

  /** What the network reads of an image: pixels where the encoder trains, else its embedding. */
  async #picture(image: RgbImage, mirrored: boolean): Promise<Float32Array> {
    const { imageSize } = this.#sam.config.vision;
    if (this.#encoderTrains) return samPixels(mirrored ? mirrorImage(image) : image, imageSize).pixels;
    if (this.isCached) return (await this.#cache.get(image, mirrored)).embedding;
    return encodeImageOnce(this.#sam, image);
  }

  /** A fresh view is as good as its mirror image; only fixed ones come in both. */
  #isMirrored({ mirrored }: SampledImage): boolean {
    return mirrored && this.#views !== null;
  }

  /** Jittered boxes and soft masks of one image of the batch. */
  #prompts(
    sampled: SampledImage,
    view: number,
    geometry: Geometry,
    { boxes, targets, fine }: { boxes: Float32Array; targets: Float32Array; fine: number },
  ): void {
    const { item, instances, random } = sampled;
    const mirrored = this.#isMirrored(sampled);
    const { image, instances: objects } = this.#item(item, view);
    const bounds = { width: geometry.contentW, height: geometry.contentH };
    for (const [p, index] of instances.entries()) {
      const given = promptBox(objects[index]!);
      const box: Box = mapBoxToModel(mirrored ? mirrorBox(given, image.width) : given, geometry);
      boxes.set(jitterBox(box, random, bounds, this.#jitter), 4 * p);
      const target = this.#target(item, view, index, mirrored, fine);
      for (let k = 0; k < target.length; k++) targets[p * fine * fine + k] = target[k]! / 255;
    }
  }

  /** An item in one of its views. */
  #item(index: number, view: number): SamItem {
    const item = this.#items[index]!;
    if (this.#augment === null) return item;
    const key = `${index},${view}`;
    let viewed = this.#viewed.get(key);
    if (viewed === undefined) {
      viewed = this.#augment(item, new CounterRandom({ seed: this.#seed, path: `sam-view/${index}`, index: view }));
      this.#viewed.set(key, viewed);
    }
    return viewed;
  }

  #geometryOf(index: number, view: number): Geometry {
    const key = `${index},${view}`;
    let geometry = this.#geometry.get(key);
    if (geometry === undefined) {
      geometry = samPixels(this.#item(index, view).image, this.#sam.config.vision.imageSize).geometry;
      this.#geometry.set(key, geometry);
    }
    return geometry;
  }

  #target(item: number, view: number, index: number, mirrored: boolean, side: number): Uint8Array {
    const key = `${item},${view},${index},${mirrored}`;
    let target = this.#targets.get(key);
    if (target === undefined) {
      const mask = this.#item(item, view).instances[index]!.mask!;
      const soft = maskTarget({
        pixels: maskAlgebra.decode(mask),
        geometry: this.#geometryOf(item, view),
        side,
        mirrored,
      });
      target = Uint8Array.from(soft, (value) => Math.round(255 * value));
      this.#targets.set(key, target);
    }
    return target;
  }

  /** A view that never comes again. */
  #forget(item: number, view: number): void {
    const key = `${item},${view}`;
    this.#viewed.delete(key);
    this.#geometry.delete(key);
    for (const index of this.#items[item]!.instances.keys()) this.#targets.delete(`${key},${index},false`);
  }
}
