import { CounterRandom } from "@seg/augment";
import { SAM_MEAN, SAM_STD } from "@seg/preprocess";
import { jitterBox, type SamBatch, type SceneKey, SQUARE_VIEWS, shapeScene, viewBox, viewSource } from "@seg/teachers";
import { ReusePool } from "../pretrain/reuse-pool.js";

/** A scene as training needs it. */
interface Stored {
  readonly image: Uint8Array;
  /** Area-averaged masks, 0..255 for 0..1. */
  readonly targets: readonly Uint8Array[];
  readonly boxes: readonly (readonly [number, number, number, number])[];
}

/** Scenes that are kept for reuse: drawing them costs more than one of their training steps gains. */
const CAPACITY = 1500;
/** Share of the draws that make a new scene. */
const FRESH = 0.38;
/** Share of figures drawn small and thin: twice as many objects below 20 px as in the held-out scenes. */
const SMALL = 0.3;
/** Prompts are as exact as an annotation or as loose as a detector: the deviation of a box's corners, as a share of its side, is uniform up to this. */
const LARGEST_JITTER = 0.15;

/**
 * Training batches: new scenes with probability .38, else one of the last 1,500 in another view and brightness, with other prompts and box
 * jitter. The draws of step s depend on (seed, s) and on how many scenes were made before; `skipTo` replays only those decisions.
 */
export class ScenePool {
  readonly #seed: number;
  readonly #side: number;
  readonly #fine: number;
  readonly #pool: ReusePool<Stored>;

  constructor({ seed, side, fine }: { seed: number; side: number; fine: number }) {
    this.#seed = seed;
    this.#side = side;
    this.#fine = fine;
    this.#pool = new ReusePool({
      seed,
      path: "pretrain-sam/pool",
      first: 6,
      fresh: FRESH,
      capacity: CAPACITY,
      make: (number) => this.#draw(number),
    });
  }

  /** Distinct scenes drawn so far. */
  get made(): number {
    return this.#pool.made;
  }

  /** Brings the pool to where it was before step `step`, without drawing anything. */
  skipTo(step: number, images: number): void {
    this.#pool.skipTo(step * images);
  }

  batch(step: number, { images, prompts }: { images: number; prompts: number }): SamBatch {
    const side = this.#side;
    const fine = this.#fine;
    const pixels = new Float32Array(images * side * side * 3);
    const boxes = new Float32Array(images * prompts * 4);
    const targets = new Float32Array(images * prompts * fine * fine);
    for (let i = 0; i < images; i++) {
      const draw = step * images + i;
      const scene = this.#pool.scene(this.#pool.pick(draw));
      const random = new CounterRandom({ seed: this.#seed, path: "pretrain-sam/view", index: draw });
      const view = random.integer(0, SQUARE_VIEWS - 1);
      const gain = random.uniform(0.85, 1.15);
      copyPixels(scene.image, side, view, gain, pixels, i * side * side * 3);
      const order = promptOrder(scene.boxes, random);
      for (let p = 0; p < prompts; p++) {
        // Few objects: prompted again, with other jitter.
        const object = order[p % order.length]!;
        const turned = viewBox(scene.boxes[object]!, side, view);
        const box = jitterBox(
          turned,
          random,
          { width: side, height: side },
          {
            relative: random.uniform(0, LARGEST_JITTER),
            limit: 0.25,
          },
        );
        boxes.set(box, 4 * (i * prompts + p));
        copyTarget(scene.targets[object]!, fine, view, targets, (i * prompts + p) * fine * fine);
      }
    }
    return { images, prompts, pixels, boxes, targets };
  }

  #draw(number: number): Stored {
    const scene = drawNonEmpty({ seed: this.#seed, split: "train", index: number, side: this.#side, small: SMALL });
    const factor = this.#side / this.#fine;
    return {
      image: scene.image.data,
      boxes: scene.instances.map(({ box }) => box),
      targets: scene.instances.map(({ mask }) => shrink(mask, this.#side, factor)),
    };
  }
}

/** All objects in random order; the prompts that are left over go round those again, smallest first. */
function promptOrder(boxes: readonly BoxTuple[], random: CounterRandom): number[] {
  const order = [...random.permutation(boxes.length)];
  const side = ([x1, y1, x2, y2]: BoxTuple): number => Math.min(x2 - x1, y2 - y1);
  return [...order, ...order.toSorted((a, b) => side(boxes[a]!) - side(boxes[b]!))];
}

/** Numbers above 2^31 are a second stream for the rare scene without any object. */
function drawNonEmpty(key: SceneKey): ReturnType<typeof shapeScene> {
  let scene = shapeScene(key);
  for (let attempt = 1; scene.instances.length === 0; attempt++) {
    scene = shapeScene({ ...key, index: (key.index + attempt * 0x10000000) >>> 0 });
  }
  return scene;
}

function shrink(mask: Uint8Array, side: number, factor: number): Uint8Array {
  const fine = side / factor;
  const result = new Uint8Array(fine * fine);
  for (let y = 0; y < fine; y++) {
    for (let x = 0; x < fine; x++) {
      let sum = 0;
      for (let j = 0; j < factor; j++) {
        for (let i = 0; i < factor; i++) sum += mask[(y * factor + j) * side + x * factor + i]!;
      }
      result[y * fine + x] = Math.round((255 * sum) / (factor * factor));
    }
  }
  return result;
}

function copyPixels(
  image: Uint8Array,
  side: number,
  view: number,
  gain: number,
  out: Float32Array,
  offset: number,
): void {
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = 3 * viewSource(x, y, side, view);
      const to = offset + 3 * (y * side + x);
      for (let c = 0; c < 3; c++) {
        out[to + c] = (Math.min(image[from + c]! * gain, 255) - SAM_MEAN[c]!) / SAM_STD[c]!;
      }
    }
  }
}

function copyTarget(target: Uint8Array, fine: number, view: number, out: Float32Array, offset: number): void {
  for (let y = 0; y < fine; y++) {
    for (let x = 0; x < fine; x++) out[offset + y * fine + x] = target[viewSource(x, y, fine, view)]! / 255;
  }
}

type BoxTuple = readonly [number, number, number, number];
