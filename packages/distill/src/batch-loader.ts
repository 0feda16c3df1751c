import { type AugmentOptions, augmentSample, CounterRandom, type Sample } from "@seg/augment";
import { type TargetArrays, type TargetShape, type TeacherAnswer, targetArrays, targetShape } from "./targets.js";
import type { TeacherCache } from "./teacher-cache.js";
import type { TrainingImage } from "./training-images.js";

/** One batch on the host. */
export interface LoadedBatch {
  /** `[B, size, size, 3]` RGB in 0..1. */
  readonly images: Float32Array;
  readonly targets: TargetArrays;
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
  /** Whether the student predicts masks. */
  readonly segment: boolean;
  readonly augment: AugmentOptions;
  /** First epoch (0-based) without mosaic. */
  readonly mosaicUntil: number;
  readonly teacher: TeacherCache | null;
  /** Divides the teacher's logits. */
  readonly temperature: number;
}

/**
 * Makes batches that follow from (seed, epoch, step) alone: a permutation per epoch, the last batch filled up from its beginning, one
 * augmentation stream per image and epoch.
 */
export class BatchLoader {
  readonly #images: readonly TrainingImage[];
  readonly #options: BatchLoaderOptions;
  readonly #answers = new Map<number, TeacherAnswer>();
  #shape: TargetShape | null = null;
  #order: { epoch: number; indices: Uint32Array } | null = null;

  constructor(images: readonly TrainingImage[], options: BatchLoaderOptions) {
    this.#images = images;
    this.#options = options;
    for (const { imageId } of images) {
      const record = options.teacher?.get(imageId);
      if (!record) continue;
      const { side, toModel } = record;
      for (const mask of record.masks) this.#answers.set(mask.annotationId, { mask, side, toModel });
    }
  }

  get stepsPerEpoch(): number {
    return Math.ceil(this.#images.length / this.#options.batch);
  }

  /** Instances of the training images that have a teacher mask. */
  get teacherMasks(): number {
    return this.#answers.size;
  }

  /** @param epoch - from 0 @param step - from 0 within the epoch */
  load(epoch: number, step: number): LoadedBatch {
    const { batch, size, segment, teacher, temperature } = this.#options;
    const count = this.#images.length;
    const order = this.#indices(epoch);
    const samples: Sample[] = [];
    const files: string[] = [];
    for (let i = 0; i < batch; i++) {
      const index = order[(step * batch + i) % count]!;
      files.push(this.#images[index]!.fileName);
      samples.push(this.#augmented(index, epoch));
    }
    const images = new Float32Array(batch * size * size * 3);
    samples.forEach(({ image }, b) => {
      const offset = b * size * size * 3;
      for (let i = 0; i < image.data.length; i++) images[offset + i] = image.data[i]! / 255;
    });
    const teacherOf = ({ sourceId }: { sourceId?: number }) =>
      sourceId === undefined ? null : (this.#answers.get(sourceId) ?? null);
    const atLeast = this.#usualShape();
    const targets = targetArrays({
      samples,
      size,
      segment,
      temperature,
      atLeast,
      ...(teacher && segment ? { teacherOf } : {}),
    });
    return { images, targets, files };
  }

  #augmented(index: number, epoch: number): Sample {
    const { size, seed, augment, mosaicUntil } = this.#options;
    const options = epoch < mosaicUntil ? augment : { ...augment, mosaic: 0 };
    const load = (k: number) => this.#images[k]!.sample;
    return augmentSample({ load, index, count: this.#images.length, seed, epoch, size, options });
  }

  /**
   * Padded sizes that the first images need in epoch 0; a lower bound for every batch, so that nearly all share one compiled graph
   * (each further one costs seconds and memory). Follows from data and seed, so it is the same after a resumption.
   */
  #usualShape(): TargetShape {
    if (this.#shape === null) {
      const count = Math.min(PROBE_IMAGES, this.#images.length);
      const samples = Array.from({ length: count }, (_, index) => this.#augmented(index, 0));
      this.#shape = targetShape({ samples, size: this.#options.size });
    }
    return this.#shape;
  }

  #indices(epoch: number): Uint32Array {
    if (this.#order?.epoch !== epoch) {
      const random = new CounterRandom({ seed: this.#options.seed, path: "sampler", epoch });
      this.#order = { epoch, indices: random.permutation(this.#images.length) };
    }
    return this.#order.indices;
  }
}
