import type { HubClock } from "../internal/clock.js";

/** A clock that moves when told to. With `autoAdvance` a sleep moves it and returns at once, and `slept` tells which pauses were asked for. */
export class ManualClock implements HubClock {
  /** Milliseconds of every sleep, in order. */
  readonly slept: number[] = [];
  #now: number;
  readonly #autoAdvance: boolean;
  #waiting: { until: number; resolve: () => void }[] = [];

  constructor({
    now = Date.UTC(2025, 10, 11, 15, 30, 45),
    autoAdvance = false,
  }: { now?: number | string; autoAdvance?: boolean } = {}) {
    this.#now = typeof now === "string" ? Date.parse(now) : now;
    this.#autoAdvance = autoAdvance;
  }

  now(): number {
    return this.#now;
  }

  /** Moves time forward and wakes who slept until then. */
  advance(ms: number): void {
    this.#now += ms;
    const due = this.#waiting.filter(({ until }) => until <= this.#now);
    this.#waiting = this.#waiting.filter(({ until }) => until > this.#now);
    for (const { resolve } of due) resolve();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.slept.push(ms);
    if (this.#autoAdvance) {
      this.advance(ms);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const entry = { until: this.#now + ms, resolve };
      this.#waiting.push(entry);
      signal?.addEventListener("abort", () => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        reject(signal.reason);
      });
    });
  }
}
