import { CounterRandom } from "@seg/augment";
import { type GroundingDinoSizeOptions, groundingDinoSize, prepareGroundingDino } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import { type EncodeCaption, textBatch, textTensors } from "../text-batch.js";
import { augmentItem, type DetectorAugmentation } from "./augment-item.js";
import { checkPhrases } from "./check-phrases.js";
import type { DetectionBatch } from "./detection-step.js";
import { type DetectorItem, isTrainable } from "./detector-item.js";
import { toCxcywh } from "./targets.js";
import { trainingPhrases } from "./training-phrases.js";

/** Lengths of captions are rounded up to this, so that sampled classes do not make a graph each. */
const LENGTH_STEP = 8;

/** Assembles training batches; all follow from (seed, epoch, step). */
export class DetectorSource {
  readonly #items: readonly DetectorItem[];
  readonly #phrases: readonly string[];
  readonly #encode: EncodeCaption;
  readonly #maxTextLength: number;
  readonly #size: GroundingDinoSizeOptions;
  readonly #batch: number;
  readonly #seed: number;
  readonly #augmentation: DetectorAugmentation | null;
  readonly #cacheViews: number | null;
  readonly #length: number;
  /** Size of all batches, pixels. */
  readonly canvas: { readonly width: number; readonly height: number };
  /** Most objects of an image. */
  readonly rows: number;
  /** Objects that are trained on, and those whose box cannot be. */
  readonly counts: { readonly usable: number; readonly skipped: number };

  /** @param phrases - by class index @throws ClassNameError for a class without a phrase */
  constructor({
    items,
    phrases,
    encode,
    maxTextLength,
    size,
    batch,
    seed,
    augmentation,
    cacheViews = null,
  }: {
    readonly items: readonly DetectorItem[];
    readonly phrases: readonly string[];
    readonly encode: EncodeCaption;
    readonly maxTextLength: number;
    readonly size: GroundingDinoSizeOptions;
    readonly batch: number;
    readonly seed: number;
    readonly augmentation: DetectorAugmentation | null;
    /** Views of an image, its caption included, that come again and again; null: every draw is a new one. */
    readonly cacheViews?: number | null;
  }) {
    checkPhrases(items, phrases);
    const total = items.reduce((sum, { instances }) => sum + instances.length, 0);
    this.#items = items.map(({ image, instances }) => ({ image, instances: instances.filter(isTrainable) }));
    const usable = this.#items.reduce((sum, { instances }) => sum + instances.length, 0);
    this.counts = { usable, skipped: total - usable };
    this.rows = Math.max(1, ...this.#items.map(({ instances }) => instances.length));
    this.#phrases = phrases;
    this.#encode = encode;
    this.#maxTextLength = maxTextLength;
    this.#size = size;
    this.#batch = batch;
    this.#seed = seed;
    this.#augmentation = augmentation;
    this.#cacheViews = cacheViews;
    const sizes = items.map(({ image }) => groundingDinoSize(image.width, image.height, size));
    this.canvas = { width: Math.max(...sizes.map(([w]) => w)), height: Math.max(...sizes.map(([, h]) => h)) };
    this.#length = this.#padded(encode(phrases).length);
  }

  get stepsPerEpoch(): number {
    return Math.ceil(this.#items.length / this.#batch);
  }

  /** @param epoch - 1-based @param step - 0-based within the epoch */
  batch(epoch: number, step: number): DetectionBatch {
    const count = this.#batch;
    const order = new CounterRandom({ seed: this.#seed, path: "grounding-dino/order", epoch }).permutation(
      this.#items.length,
    );
    const { width, height } = this.canvas;
    const planes = new Float32Array(count * 3 * width * height);
    const mask = new Float32Array(count * width * height);
    let isPadded = false;
    const captions: ArrayLike<number>[] = [];
    const targets: DetectionBatch["targets"][number][] = [];
    for (let i = 0; i < count; i++) {
      const position = step * count + i;
      // The last batch is filled up from the start of the order.
      const number = order[position % order.length]!;
      const item = this.#items[number]!;
      const random = this.#stream(epoch, position, number);
      const { image, instances } = this.#augmentation ? augmentItem(item, this.#augmentation, random) : item;
      const { data, geometry } = prepareGroundingDino(image, this.#size);
      isPadded ||= geometry.netW < width || geometry.netH < height;
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < geometry.netH; y++) {
          const from = (c * geometry.netH + y) * geometry.netW;
          planes.set(data.subarray(from, from + geometry.netW), ((i * 3 + c) * height + y) * width);
        }
      }
      for (let y = 0; y < geometry.netH; y++)
        mask.fill(1, (i * height + y) * width, (i * height + y) * width + geometry.netW);
      const { classes, ids } = this.#caption(
        instances.map(({ classId }) => classId),
        random,
      );
      captions.push(ids);
      const asked = instances.filter(({ classId }) => classes.includes(classId));
      targets.push({
        phrases: asked.map(({ classId }) => classes.indexOf(classId)),
        boxes: asked.map(({ box }) => toCxcywh(box, image)),
      });
    }
    const longest = this.#padded(Math.max(...captions.map((ids) => ids.length)));
    const text = textBatch(captions, { length: this.#phrases.length <= 50 ? this.#length : longest });
    return {
      inputs: {
        planes: tf.tensor4d(planes, [count, 3, height, width]),
        ...(isPadded && { pixelMask: tf.tensor3d(mask, [count, height, width]) }),
        ...textTensors(text),
      },
      targets,
      phraseTokens: text.phrases.map((list) =>
        list.map(([start, end]) => Array.from({ length: end - start }, (_, k) => start + k)),
      ),
      textMask: text.textMask,
    };
  }

  /** Random numbers of a draw's view and caption: of the draw itself, or of one of the item's fixed views. */
  #stream(epoch: number, position: number, item: number): CounterRandom {
    const views = this.#cacheViews;
    return new CounterRandom(
      views === null
        ? { seed: this.#seed, path: "grounding-dino/view", epoch, index: position }
        : { seed: this.#seed, path: "grounding-dino/cached-view", epoch: (epoch - 1) % views, index: item },
    );
  }

  /** Classes of a caption in order, and its tokens; negatives that no longer fit are left out. */
  #caption(present: readonly number[], random: CounterRandom): { classes: number[]; ids: ArrayLike<number> } {
    let classes = trainingPhrases({ classes: this.#phrases.length, present, random });
    for (;;) {
      const ids = this.#encode(classes.map((index) => this.#phrases[index]!));
      if (ids.length <= this.#maxTextLength) return { classes, ids };
      const kept = new Set(present);
      const last = classes.findLastIndex((index) => !kept.has(index));
      // Without a negative left, objects of the last phrases go untrained in this caption; another shuffle shows them again.
      classes = classes.filter((_, i) => i !== (last < 0 ? classes.length - 1 : last));
    }
  }

  #padded(length: number): number {
    return Math.min(Math.ceil(length / LENGTH_STEP) * LENGTH_STEP, this.#maxTextLength);
  }
}
