/** Arrays that the rasteriser replaces when they are too short. */
export interface RasterScratch {
  edges: Int32Array;
  start: Int32Array;
  next: Int32Array;
}

/** Runs of many masks one after another in one growing array: no allocation per mask. */
export class RunBuffer {
  /** Valid up to {@link RunBuffer.length}; replaced when it grows, so read it anew after appending. */
  data: Uint32Array;
  length = 0;
  #scratch: RasterScratch | null = null;

  constructor(capacity = 256) {
    this.data = new Uint32Array(capacity);
  }

  /** Working memory of the rasteriser, kept between masks; made when it is first needed. */
  get scratch(): RasterScratch {
    this.#scratch ??= { edges: new Int32Array(64), start: new Int32Array(64), next: new Int32Array(64) };
    return this.#scratch;
  }

  /** Makes room for `count` more runs; afterwards `data` may be written up to `length + count`. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.data.length) return;
    const grown = new Uint32Array(Math.max(needed, 2 * this.data.length));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }

  push(run: number): void {
    this.reserve(1);
    this.data[this.length++] = run;
  }

  append(runs: ArrayLike<number>): void {
    this.reserve(runs.length);
    this.data.set(runs, this.length);
    this.length += runs.length;
  }
}
