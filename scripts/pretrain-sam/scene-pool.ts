import { CounterRandom } from "@seg/augment";
import { SAM_MEAN, SAM_STD } from "@seg/preprocess";
import { jitterBox, type SamBatch, type SceneKey, shapeScene } from "@seg/teachers";

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
/** Both axes and the diagonal: eight views of a square picture. */
const VIEWS = 8;

/**
 * Training batches: new scenes with probability .38, else one of the last 1,500 in another view and brightness, with other prompts and box
 * jitter. The draws of step s depend on (seed, s) and on how many scenes were made before; `skipTo` replays only those decisions.
 */
export class ScenePool {
  readonly #seed: number;
  readonly #side: number;
  readonly #fine: number;
  #made = 0;
  readonly #stored = new Map<number, Stored>();

  constructor({ seed, side, fine }: { seed: number; side: number; fine: number }) {
    this.#seed = seed;
    this.#side = side;
    this.#fine = fine;
  }

  /** Distinct scenes drawn so far. */
  get made(): number {
    return this.#made;
  }

  /** Brings the pool to where it was before step `step`, without drawing anything. */
  skipTo(step: number, images: number): void {
    this.#made = 0;
    for (let s = 0; s < step; s++) for (let i = 0; i < images; i++) this.#pick(s * images + i);
  }

  batch(step: number, { images, prompts }: { images: number; prompts: number }): SamBatch {
    const side = this.#side;
    const fine = this.#fine;
    const pixels = new Float32Array(images * side * side * 3);
    const boxes = new Float32Array(images * prompts * 4);
    const targets = new Float32Array(images * prompts * fine * fine);
    for (let i = 0; i < images; i++) {
      const draw = step * images + i;
      const scene = this.#scene(this.#pick(draw));
      const random = new CounterRandom({ seed: this.#seed, path: "pretrain-sam/view", index: draw });
      const view = random.integer(0, VIEWS - 1);
      const gain = random.uniform(0.85, 1.15);
      copyPixels(scene.image, side, view, gain, pixels, i * side * side * 3);
      const order = promptOrder(scene.boxes, random);
      for (let p = 0; p < prompts; p++) {
        // Few objects: prompted again, with other jitter.
        const object = order[p % order.length]!;
        const turned = turnBox(scene.boxes[object]!, side, view);
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

  /** Scene number of one draw. */
  #pick(draw: number): number {
    const random = new CounterRandom({ seed: this.#seed, path: "pretrain-sam/pool", index: draw });
    if (this.#made < 6 || random.uniform() < FRESH) return this.#made++;
    return this.#made - 1 - random.integer(0, Math.min(this.#made, CAPACITY) - 1);
  }

  #scene(number: number): Stored {
    const known = this.#stored.get(number);
    if (known) return known;
    const scene = drawNonEmpty({ seed: this.#seed, split: "train", index: number, side: this.#side, small: SMALL });
    const factor = this.#side / this.#fine;
    const stored: Stored = {
      image: scene.image.data,
      boxes: scene.instances.map(({ box }) => box),
      targets: scene.instances.map(({ mask }) => shrink(mask, this.#side, factor)),
    };
    this.#stored.set(number, stored);
    this.#stored.delete(number - CAPACITY);
    return stored;
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

/** Source index of (x, y) in a view: bit 0 mirrors left-right, bit 1 upside down, bit 2 swaps the axes (first). */
function source(x: number, y: number, side: number, view: number): number {
  const u = view & 1 ? side - 1 - x : x;
  const v = view & 2 ? side - 1 - y : y;
  return view & 4 ? u * side + v : v * side + u;
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
      const from = 3 * source(x, y, side, view);
      const to = offset + 3 * (y * side + x);
      for (let c = 0; c < 3; c++) {
        out[to + c] = (Math.min(image[from + c]! * gain, 255) - SAM_MEAN[c]!) / SAM_STD[c]!;
      }
    }
  }
}

function copyTarget(target: Uint8Array, fine: number, view: number, out: Float32Array, offset: number): void {
  for (let y = 0; y < fine; y++) {
    for (let x = 0; x < fine; x++) out[offset + y * fine + x] = target[source(x, y, fine, view)]! / 255;
  }
}

type BoxTuple = readonly [number, number, number, number];

function turnBox([x1, y1, x2, y2]: BoxTuple, side: number, view: number): BoxTuple {
  const [a, b, c, d] = view & 4 ? [y1, x1, y2, x2] : [x1, y1, x2, y2];
  const [left, right] = view & 1 ? [side - c, side - a] : [a, c];
  const [top, bottom] = view & 2 ? [side - d, side - b] : [b, d];
  return [left, top, right, bottom];
}
