import { CounterRandom } from "@seg/augment";

/**
 * Scenes that are drawn once and used again: a draw makes a new scene with some probability, else it takes one of the last `capacity`. Which scene a draw
 * gets depends on the seed, the draw's number and on how many scenes were made before; {@link ReusePool.skipTo} replays only those decisions.
 */
export class ReusePool<Scene> {
  readonly #seed: number;
  readonly #path: string;
  readonly #first: number;
  readonly #fresh: number;
  readonly #capacity: number;
  readonly #make: (number: number) => Scene;
  readonly #stored = new Map<number, Scene>();
  #made = 0;

  constructor({
    seed,
    path,
    first,
    fresh,
    capacity,
    make,
  }: {
    seed: number;
    /** Of the random numbers. */
    path: string;
    /** Draws before the first reuse. */
    first: number;
    /** Probability of a new scene. */
    fresh: number;
    capacity: number;
    /** Draws the scene of a number; the same number gives the same scene. */
    make: (number: number) => Scene;
  }) {
    this.#seed = seed;
    this.#path = path;
    this.#first = first;
    this.#fresh = fresh;
    this.#capacity = capacity;
    this.#make = make;
  }

  /** Distinct scenes drawn so far. */
  get made(): number {
    return this.#made;
  }

  /** Brings the pool to where it was before a draw, without making anything. */
  skipTo(draw: number): void {
    this.#made = 0;
    for (let d = 0; d < draw; d++) this.pick(d);
  }

  /** Scene number of a draw; draws are asked for in order. */
  pick(draw: number): number {
    const random = new CounterRandom({ seed: this.#seed, path: this.#path, index: draw });
    if (this.#made < this.#first || random.uniform() < this.#fresh) return this.#made++;
    return this.#made - 1 - random.integer(0, Math.min(this.#made, this.#capacity) - 1);
  }

  scene(number: number): Scene {
    const known = this.#stored.get(number);
    if (known !== undefined) return known;
    const scene = this.#make(number);
    this.#stored.set(number, scene);
    this.#stored.delete(number - this.#capacity);
    return scene;
  }
}
