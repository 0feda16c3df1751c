/** Runs tasks one after the other, in the order of the calls. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Tasks that have not begun. */
  get waiting(): number {
    return this.#waiting;
  }

  run<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#waiting++;
    const begin = () => {
      this.#waiting--;
      return task();
    };
    const result = this.#tail.then(begin, begin);
    // The chain must go on after a failure; the caller sees the failure through `result`.
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
