import { CounterRandom } from "@seg/augment";
import { mask as maskAlgebra } from "@seg/coco-dataset";
import type { SamItem } from "./evaluate.js";

/** An image with the positions of its trainable instances, by class. */
interface Entry {
  readonly item: number;
  readonly byClass: ReadonlyMap<number, readonly number[]>;
}

/** One image of a training batch. */
export interface SampledImage {
  /** Index into the items. */
  readonly item: number;
  /** Indices into the item's instances, `prompts` of them; repeated when there are fewer. */
  readonly instances: readonly number[];
  readonly mirrored: boolean;
  /** For the jitter of this draw's boxes. */
  readonly random: CounterRandom;
}

/**
 * Draws images and objects so that every class is prompted about equally often: each round goes through all classes once in random order, takes
 * the next image of that class and starts with an object of it; the other prompts take turns among the classes of the image. A pure
 * function of (seed, draw number).
 */
export class PromptSampler {
  readonly #seed: number;
  readonly #classes: readonly { readonly classId: number; readonly entries: readonly Entry[] }[];
  /** Instances that can be trained on. */
  readonly usable: number;
  /** Instances without a mask or with less than one pixel. */
  readonly skipped: number;

  constructor(items: readonly SamItem[], seed: number) {
    this.#seed = seed;
    const classes = new Map<number, Entry[]>();
    let usable = 0;
    let total = 0;
    for (const [item, { instances }] of items.entries()) {
      const byClass = new Map<number, number[]>();
      for (const [index, { classId, mask }] of instances.entries()) {
        total++;
        if (mask === undefined || maskAlgebra.area(mask) < 1) continue;
        usable++;
        const list = byClass.get(classId);
        if (list) list.push(index);
        else byClass.set(classId, [index]);
      }
      const entry = { item, byClass };
      for (const classId of byClass.keys()) {
        const list = classes.get(classId);
        if (list) list.push(entry);
        else classes.set(classId, [entry]);
      }
    }
    this.usable = usable;
    this.skipped = total - usable;
    this.#classes = [...classes].sort(([a], [b]) => a - b).map(([classId, entries]) => ({ classId, entries }));
  }

  /** Draw number `draw`, counted over the whole run. */
  draw(draw: number, prompts: number): SampledImage {
    const count = this.#classes.length;
    const round = Math.floor(draw / count);
    const order = this.#stream("round", round).permutation(count);
    const { classId, entries } = this.#classes[order[draw % count]!]!;
    const lap = Math.floor(round / entries.length);
    const { item, byClass } =
      entries[this.#stream(`image/${classId}`, lap).permutation(entries.length)[round % entries.length]!]!;
    const random = this.#stream("prompts", draw);
    const mirrored = random.uniform() < 0.5;
    const queues = [...byClass].map(([id, list]) => ({
      id,
      list: [...random.permutation(list.length)].map((i) => list[i]!),
    }));
    const turns = [...random.permutation(queues.length)].map((i) => queues[i]!);
    turns.sort((a, b) => Number(b.id === classId) - Number(a.id === classId));
    const instances = Array.from({ length: prompts }, (_, p) => {
      const { list } = turns[p % turns.length]!;
      return list[Math.floor(p / turns.length) % list.length]!;
    });
    return { item, instances, mirrored, random };
  }

  #stream(path: string, index: number): CounterRandom {
    return new CounterRandom({ seed: this.#seed, path: `sam-fine-tune/${path}`, index });
  }
}
