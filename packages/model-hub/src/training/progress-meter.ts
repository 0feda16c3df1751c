import type { JobProgress } from "../jobs/types.js";
import type { TrainerProgress } from "./types.js";

/** Weight of the newest epoch. */
const EMA_ALPHA = 0.3;
/** Epochs that must have ended before an estimate is worth showing. */
const MIN_EPOCHS = 2;
/** Share of the bar that training has; the rest is evaluation and saving. */
const TRAINING_PERCENT = 95;
const PHASE_PERCENT: Readonly<Record<string, number>> = { preparing: 0, evaluating: 96, saving: 98 };

/**
 * Turns a trainer's reports into progress. `epoch` counts from 1 and is the one at work, `step` of `steps` are done in it; a report without
 * steps says that the epoch has ended. Remaining seconds = EMA(0.3) of epoch times * epochs left.
 */
export class ProgressMeter {
  readonly #epochs: number;
  readonly #now: () => number;
  #epochSeconds: number | null = null;
  #ended = 0;
  #at: { epoch: number; sinceMs: number } | null = null;
  #percent = 0;
  #metrics: Readonly<Record<string, number | null>> = {};

  constructor({ epochs, now }: { epochs: number; now: () => number }) {
    this.#epochs = epochs;
    this.#now = now;
  }

  next({ phase, epoch, step, steps, metrics }: TrainerProgress): JobProgress {
    const nowMs = this.#now();
    if (metrics !== undefined) this.#metrics = metrics;
    let etaS: number | null = null;
    let share = 0;
    if (epoch !== undefined) {
      const within = step === undefined || steps === undefined || steps === 0 ? 1 : step / steps;
      const done = Math.min(this.#epochs, epoch - 1 + within);
      share = done / this.#epochs;
      this.#measure(epoch, within, nowMs);
      if (this.#epochSeconds !== null && this.#ended >= MIN_EPOCHS) etaS = this.#epochSeconds * (this.#epochs - done);
    }
    const percent = PHASE_PERCENT[phase] ?? TRAINING_PERCENT * share;
    this.#percent = Math.min(100, Math.max(this.#percent, percent));
    return {
      phase,
      epoch: epoch ?? null,
      epochs: this.#epochs,
      step: step ?? null,
      steps: steps ?? null,
      percent: this.#percent,
      metrics: this.#metrics,
      eta_s: phase === "training" ? etaS : null,
    };
  }

  #measure(epoch: number, within: number, nowMs: number): void {
    if (this.#at === null) {
      // The first report may come in the middle of an epoch, of which only the rest is seen: time is taken from the next one on.
      this.#at = { epoch: within === 1 ? epoch + 1 : epoch, sinceMs: nowMs };
      return;
    }
    const ended = within === 1 ? epoch : epoch - 1;
    const count = ended - this.#at.epoch + 1;
    if (count <= 0) return;
    const seconds = (nowMs - this.#at.sinceMs) / 1000 / count;
    this.#epochSeconds =
      this.#epochSeconds === null ? seconds : EMA_ALPHA * seconds + (1 - EMA_ALPHA) * this.#epochSeconds;
    this.#ended += count;
    this.#at = { epoch: ended + 1, sinceMs: nowMs };
  }
}
