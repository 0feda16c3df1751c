/** Strictly better by more than `minDelta`; the first finite value is better than none, NaN never is. */
export function isBetter({
  value,
  best,
  minDelta,
  mode,
}: {
  value: number;
  best: number | null;
  minDelta: number;
  mode: "max" | "min";
}): boolean {
  if (!Number.isFinite(value)) return false;
  if (best === null) return true;
  return mode === "max" ? value > best + minDelta : value < best - minDelta;
}

/** What a checkpoint keeps of {@link EarlyStopping}; epochs are 1-based, 0 before the first. */
export interface EarlyStoppingState {
  readonly reference: number | null;
  readonly last_improvement: number;
  readonly last_evaluated: number;
}

/** Stops when `patience` epochs have passed since the last improvement; asked at evaluated epochs only. */
export class EarlyStopping {
  readonly #patience: number;
  readonly #minDelta: number;
  readonly #mode: "max" | "min";
  #reference: number | null = null;
  #lastImprovement = 0;
  #lastEvaluated = 0;

  constructor({ patience, minDelta, mode }: { patience: number; minDelta: number; mode: "max" | "min" }) {
    this.#patience = patience;
    this.#minDelta = minDelta;
    this.#mode = mode;
  }

  get shouldStop(): boolean {
    return this.#lastEvaluated - this.#lastImprovement >= this.#patience;
  }

  /** Records an evaluated epoch. */
  update(epoch: number, value: number): void {
    this.#lastEvaluated = epoch;
    if (isBetter({ value, best: this.#reference, minDelta: this.#minDelta, mode: this.#mode })) {
      this.#reference = value;
      this.#lastImprovement = epoch;
    }
  }

  state(): EarlyStoppingState {
    return {
      reference: this.#reference,
      last_improvement: this.#lastImprovement,
      last_evaluated: this.#lastEvaluated,
    };
  }

  load(state: EarlyStoppingState): void {
    this.#reference = state.reference;
    this.#lastImprovement = state.last_improvement;
    this.#lastEvaluated = state.last_evaluated;
  }
}
