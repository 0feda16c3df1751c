/** Runs tasks one after the other, in the order of the calls. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#tail.then(task, task);
    // The chain must go on after a failure; the caller sees the failure through `result`.
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
