import { CounterRandom, type PipelineResult, type SampleSource } from "@seg/augment";
import { type Augmentation, type Augmenter, createAugmenter } from "./augmentation.js";
import { warpFeatures } from "./feature-targets.js";
import { placeResult, pointMap } from "./place-result.js";
import { type TargetArrays, type TargetParts, type TargetShape, targetArrays, targetShape } from "./targets.js";
import type { DistillationData } from "./teacher/prepare-distillation.js";
import type { TrainingImage } from "./training-images.js";

/** Teacher features of a batch on one student level. */
export interface FeatureArrays {
  /** Pixels per cell: 8, 16 or 32. */
  readonly stride: number;
  /** `[batch, cells, cells, channels]`. */
  readonly values: Float32Array;
  /** `[batch, cells, cells]`. */
  readonly valid: Float32Array;
}

/** One batch on the host. */
export interface LoadedBatch {
  /** `[B, size, size, 3]` RGB in 0..1. */
  readonly images: Float32Array;
  readonly targets: TargetArrays;
  readonly features: readonly FeatureArrays[];
  readonly files: readonly string[];
}

/** Images whose first augmentation tells the usual number of objects. */
const PROBE_IMAGES = 64;

/** Options of {@link BatchLoader}. */
export interface BatchLoaderOptions {
  /** Images per batch. */
  readonly batch: number;
  /** Side of the network input, pixels. */
  readonly size: number;
  readonly seed: number;
  readonly parts: TargetParts;
  readonly augment: Augmentation;
  /** First epoch (0-based) without mixing. */
  readonly mixUntil: number;
  /** Batches of an epoch; by default every image is shown once. Another number goes through the images pass after pass. */
  readonly stepsPerEpoch?: number;
  readonly distillation: DistillationData | null;
  /** Strides of the teacher's feature maps that are used. */
  readonly featureStrides: readonly number[];
  /** Divides the mask teacher's logits. */
  readonly temperature: number;
}

/** Which image a place of an epoch shows, and the key of its draws. */
interface Place {
  readonly index: number;
  readonly draw: number;
}

/**
 * Makes batches that follow from (seed, epoch, step) alone: a permutation per epoch, the last batch filled up from its beginning, one
 * augmentation stream per image and epoch.
 */
export class BatchLoader {
  readonly #images: readonly TrainingImage[];
  readonly #options: BatchLoaderOptions;
  readonly #augmenter: Augmenter;
  readonly #orders = new Map<number, Uint32Array>();
  #shape: TargetShape | null = null;

  /** @throws ConfigError, AugmentError for settings that make no pipeline */
  constructor(images: readonly TrainingImage[], options: BatchLoaderOptions) {
    this.#images = images;
    this.#options = options;
    const source: SampleSource = { count: images.length, load: (k) => images[k]!.sample };
    this.#augmenter = createAugmenter(options.augment, { source, size: options.size, seed: options.seed });
  }

  get stepsPerEpoch(): number {
    return this.#options.stepsPerEpoch ?? Math.ceil(this.#images.length / this.#options.batch);
  }

  /** The resolved augmentation, YAML. */
  get augmentation(): string {
    return this.#augmenter.yaml;
  }

  /** @param epoch - from 0 @param step - from 0 within the epoch */
  load(epoch: number, step: number): LoadedBatch {
    const { batch, size, parts, temperature, distillation } = this.#options;
    const plane = size * size * 3;
    const images = new Float32Array(batch * plane);
    const files: string[] = [];
    const results: { result: PipelineResult; index: number }[] = [];
    for (let i = 0; i < batch; i++) {
      const { index, draw } = this.#place(epoch, step * batch + i);
      const result = this.#augmented(index, draw, epoch);
      const { data } = result.image;
      for (let k = 0; k < plane; k++) images[i * plane + k] = data[k]! / 255;
      files.push(this.#images[index]!.fileName);
      results.push({ result, index });
    }
    const samples = results.map((placed) => placeResult({ ...placed, images: this.#images, distillation }));
    const targets = targetArrays({ samples, size, parts, temperature, atLeast: this.#usualShape() });
    return { images, targets, features: this.#features(results), files };
  }

  #place(epoch: number, position: number): Place {
    const count = this.#images.length;
    const { batch, stepsPerEpoch } = this.#options;
    // A repeated image needs draws of its own: passes count on over the epochs.
    const place = stepsPerEpoch === undefined ? position : epoch * stepsPerEpoch * batch + position;
    const pass = stepsPerEpoch === undefined ? epoch : Math.floor(place / count);
    return { index: this.#indices(pass)[place % count]!, draw: pass };
  }

  #augmented(index: number, draw: number, epoch: number): PipelineResult {
    return this.#augmenter.run(index, { epoch: draw, isOpen: epoch < this.#options.mixUntil });
  }

  /**
   * Padded sizes that the first images need in epoch 0; a lower bound for every batch, so that nearly all share one compiled graph
   * (each further one costs seconds and memory). Follows from data and seed, so it is the same after a resumption.
   */
  #usualShape(): TargetShape {
    if (this.#shape === null) {
      const count = Math.min(PROBE_IMAGES, this.#images.length);
      const samples = Array.from({ length: count }, (_, index) =>
        placeResult({ result: this.#augmented(index, 0, 0), index, images: this.#images, distillation: null }),
      );
      this.#shape = targetShape({ samples, size: this.#options.size });
    }
    return this.#shape;
  }

  /** Features of pictures that show one source under one matrix; mixed and bent ones have weight 0. */
  #features(results: readonly { result: PipelineResult; index: number }[]): FeatureArrays[] {
    const { distillation, featureStrides, size, batch } = this.#options;
    if (distillation === null) return [];
    return featureStrides.map((stride) => {
      const cells = size / stride;
      const channels = distillation.featureChannels.get(stride)!;
      const values = new Float32Array(batch * cells * cells * channels);
      const valid = new Float32Array(batch * cells * cells);
      results.forEach(({ result, index }, b) => {
        const [only, ...others] = result.sources;
        const image = this.#images[index]!;
        const feature = distillation.features(image.imageId).find((candidate) => candidate.stride === stride);
        if (only === undefined || others.length > 0 || only.matrix === null || feature === undefined) return;
        const { width, height } = image.sample.image;
        const imageSize = [width / image.scale[0], height / image.scale[1]] as const;
        const map = pointMap(only, image, result.image);
        const warped = warpFeatures({ feature, map, imageSize, cells, stride });
        values.set(warped.values, b * cells * cells * channels);
        valid.set(warped.valid, b * cells * cells);
      });
      return { stride, values, valid };
    });
  }

  #indices(pass: number): Uint32Array {
    const known = this.#orders.get(pass);
    if (known !== undefined) return known;
    const random = new CounterRandom({ seed: this.#options.seed, path: "sampler", epoch: pass });
    const order = random.permutation(this.#images.length);
    // Two passes at most lie in one batch.
    if (this.#orders.size >= 4) this.#orders.delete(this.#orders.keys().next().value!);
    this.#orders.set(pass, order);
    return order;
  }
}
