/** What a checkpoint keeps of a {@link LossScaler}. */
export interface LossScalerState {
  readonly scale: number;
  /** Finite steps since the last change of the scale. */
  readonly growthTracker: number;
  readonly skippedSteps: number;
}

/**
 * Dynamic loss scaling for fp16 gradients: the scale doubles after `growthInterval` finite steps in a row and halves on overflow, which
 * is the normal signal and skips the step.
 */
export class LossScaler {
  readonly growth: number;
  readonly backoff: number;
  readonly growthInterval: number;
  #scale: number;
  #growthTracker = 0;
  #skippedSteps = 0;

  constructor({
    init = 65536,
    growth = 2,
    backoff = 0.5,
    growthInterval = 2000,
  }: { init?: number; growth?: number; backoff?: number; growthInterval?: number } = {}) {
    this.#scale = init;
    this.growth = growth;
    this.backoff = backoff;
    this.growthInterval = growthInterval;
  }

  /** Factor on the loss; gradients are divided by it. */
  get scale(): number {
    return this.#scale;
  }

  get skippedSteps(): number {
    return this.#skippedSteps;
  }

  /**
   * Records one step.
   * @returns false when the scale cannot fall any further (it would drop below 1): the overflow is then real
   */
  update({ overflow }: { overflow: boolean }): boolean {
    if (overflow) {
      this.#growthTracker = 0;
      this.#skippedSteps += 1;
      if (this.#scale * this.backoff < 1) return false;
      this.#scale *= this.backoff;
      return true;
    }
    this.#growthTracker += 1;
    if (this.#growthTracker === this.growthInterval) {
      this.#scale *= this.growth;
      this.#growthTracker = 0;
    }
    return true;
  }

  state(): LossScalerState {
    return { scale: this.#scale, growthTracker: this.#growthTracker, skippedSteps: this.#skippedSteps };
  }

  load({ scale, growthTracker, skippedSteps }: LossScalerState): void {
    this.#scale = scale;
    this.#growthTracker = growthTracker;
    this.#skippedSteps = skippedSteps;
  }
}
