import { CounterRandom } from "@seg/augment";
import { IMAGENET_MEAN, IMAGENET_STD } from "@seg/preprocess";
import {
  type DetectionTarget,
  type DetectorSceneKey,
  detectorPrompt,
  detectorScene,
  SQUARE_VIEWS,
  toCxcywh,
  viewBox,
  viewSource,
} from "@seg/teachers";
import { ReusePool } from "../pretrain/reuse-pool.js";

type Stored = Parameters<typeof detectorPrompt>[0] & { readonly pixels: Uint8Array };

/** Pictures with their captions and answers. */
export interface SceneBatch {
  /** [B, S, S, 3], normalised. */
  readonly pixels: Float32Array;
  /** Phrases of each caption, in order. */
  readonly phrases: readonly (readonly string[])[];
  readonly targets: readonly DetectionTarget[];
}

/** Scenes that are kept for reuse: drawing one costs as much as several views of another teach. */
const CAPACITY = 3000;
/** Share of the draws that make a new scene. */
const FRESH = 0.38;

/**
 * Training batches: new scenes with probability .38, else one of the last 3,000 in another view and brightness, with another prompt. The draws of step s depend on (seed, s)
 * and on how many scenes were made before; `skipTo` replays only those decisions.
 */
export class ScenePool {
  readonly #seed: number;
  readonly #side: number;
  readonly #pool: ReusePool<Stored>;

  constructor({ seed, side }: { seed: number; side: number }) {
    this.#seed = seed;
    this.#side = side;
    this.#pool = new ReusePool({
      seed,
      path: "pretrain-grounding-dino/pool",
      first: 8,
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

  batch(step: number, images: number): SceneBatch {
    const side = this.#side;
    const pixels = new Float32Array(images * side * side * 3);
    const phrases: string[][] = [];
    const targets: DetectionTarget[] = [];
    for (let i = 0; i < images; i++) {
      const draw = step * images + i;
      const number = this.#pool.pick(draw);
      const scene = this.#pool.scene(number);
      const random = new CounterRandom({ seed: this.#seed, path: "pretrain-grounding-dino/view", index: draw });
      const view = random.integer(0, SQUARE_VIEWS - 1);
      copyPixels(scene.pixels, side, { view, gain: random.uniform(0.87, 1.13) }, pixels, i * side * side * 3);
      const prompt = detectorPrompt(scene, this.#key(number), draw);
      phrases.push(prompt.phrases.map(({ text }) => text));
      targets.push({
        phrases: prompt.objects.map(({ phrase }) => phrase),
        boxes: prompt.objects.map(({ box }) => toCxcywh(viewBox(box, side, view), { width: side, height: side })),
      });
    }
    return { pixels, phrases, targets };
  }

  #key(index: number): DetectorSceneKey {
    return { seed: this.#seed, split: "train", index, side: this.#side };
  }

  #draw(number: number): Stored {
    const { image, instances } = detectorScene(this.#key(number));
    return {
      pixels: image.data,
      instances: instances.map(({ colour, texture, shape, box }) => ({ colour, texture, shape, box })),
    };
  }
}

function copyPixels(
  image: Uint8Array,
  side: number,
  { view, gain }: { view: number; gain: number },
  out: Float32Array,
  offset: number,
): void {
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = 3 * viewSource(x, y, side, view);
      const to = offset + 3 * (y * side + x);
      for (let c = 0; c < 3; c++) {
        out[to + c] = (Math.min(image[from + c]! * gain, 255) / 255 - IMAGENET_MEAN[c]!) / IMAGENET_STD[c]!;
      }
    }
  }
}

/** The picture as it is, for evaluation: [S, S, 3]. */
export function normalisedPixels(image: Uint8Array, side: number): Float32Array {
  const out = new Float32Array(side * side * 3);
  copyPixels(image, side, { view: 0, gain: 1 }, out, 0);
  return out;
}
