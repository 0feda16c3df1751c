import { type JobEvent, type JobQueue, TERMINAL_STATES } from "../jobs/types.js";

/** Events kept per job for those who listen; older ones are read from the queue's table. */
const RING = 1_000;
const PAGE = 500;

interface Pump {
  /** Events after `from`, oldest first, without a gap. */
  readonly ring: JobEvent[];
  /** Everything with a greater seq than this is in the ring or yet to come. */
  from: number;
  listeners: number;
  /** Set when the queue's stream ended or failed. */
  ended: { readonly error: unknown } | null;
  readonly stop: AbortController;
  wake: PromiseWithWake;
}

interface PromiseWithWake {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function createWake(): PromiseWithWake {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/**
 * One subscription to the queue per job, however many clients watch it. Each client holds a cursor (its last seq) and takes what follows,
 * from the ring or, further back, from the queue: a slow one misses nothing and costs the others nothing.
 */
export class JobFeed {
  readonly #jobs: Pick<JobQueue, "get" | "events" | "watch">;
  readonly #pumps = new Map<string, Pump>();

  constructor(jobs: Pick<JobQueue, "get" | "events" | "watch">) {
    this.#jobs = jobs;
  }

  /** Jobs with listeners; for tests and metrics. */
  get watched(): number {
    return this.#pumps.size;
  }

  /**
   * Events of `id` with `seq > after`, then live ones; ends after the last terminal event (a resumed job has several).
   * @throws HubError NOT_FOUND, at the first step
   */
  async *follow(id: string, { after = 0, signal }: { after?: number; signal: AbortSignal }): AsyncGenerator<JobEvent> {
    let cursor = after;
    for (;;) {
      // Look at the state before the events: what a finished job has written is then complete.
      const { state } = await this.#jobs.get(id);
      if (TERMINAL_STATES.has(state)) {
        for (;;) {
          const page = await this.#jobs.events(id, { after: cursor, limit: PAGE });
          for (const event of page) {
            if (signal.aborted) return;
            yield event;
            cursor = event.seq;
          }
          if (page.length < PAGE) break;
        }
        const { state: now } = await this.#jobs.get(id);
        if (TERMINAL_STATES.has(now)) return;
      }
      cursor = yield* this.#live(id, cursor, signal);
      if (signal.aborted) return;
    }
  }

  /** Yields from the shared pump until a terminal event. @returns the new cursor */
  async *#live(id: string, start: number, signal: AbortSignal): AsyncGenerator<JobEvent, number> {
    let cursor = start;
    const pump = this.#join(id, cursor);
    const aborted = createWake();
    signal.addEventListener("abort", aborted.resolve, { once: true });
    try {
      while (!signal.aborted) {
        const { from } = pump;
        if (cursor < from) {
          const page = await this.#jobs.events(id, { after: cursor, limit: PAGE });
          for (const event of page) {
            if (signal.aborted) return cursor;
            yield event;
            cursor = event.seq;
          }
          // The rest lies in the ring; what it dropped since `from` was read is fetched in the next round.
          if (page.length < PAGE) cursor = Math.max(cursor, from);
          continue;
        }
        const { wake } = pump;
        const next = following(pump.ring, cursor);
        if (next !== null) {
          yield next;
          cursor = next.seq;
          if (next.type === "done" || next.type === "error") return cursor;
          continue;
        }
        if (pump.ended !== null) {
          if (pump.ended.error !== null) throw pump.ended.error;
          return cursor;
        }
        await Promise.race([wake.promise, aborted.promise]);
      }
      return cursor;
    } finally {
      signal.removeEventListener("abort", aborted.resolve);
      this.#leave(id, pump);
    }
  }

  #join(id: string, after: number): Pump {
    const existing = this.#pumps.get(id);
    if (existing !== undefined && existing.ended === null) {
      existing.listeners++;
      return existing;
    }
    const pump: Pump = {
      ring: [],
      from: after,
      listeners: 1,
      ended: null,
      stop: new AbortController(),
      wake: createWake(),
    };
    this.#pumps.set(id, pump);
    void this.#run(id, pump);
    return pump;
  }

  #leave(id: string, pump: Pump): void {
    pump.listeners--;
    if (pump.listeners > 0) return;
    pump.stop.abort();
    if (this.#pumps.get(id) === pump) this.#pumps.delete(id);
  }

  async #run(id: string, pump: Pump): Promise<void> {
    let error: unknown = null;
    try {
      for await (const event of this.#jobs.watch(id, { after: pump.from, signal: pump.stop.signal })) {
        pump.ring.push(event);
        if (pump.ring.length > RING) pump.from = pump.ring.shift()!.seq;
        this.#wake(pump);
      }
    } catch (cause) {
      if (!pump.stop.signal.aborted) error = cause;
    }
    pump.ended = { error };
    if (this.#pumps.get(id) === pump) this.#pumps.delete(id);
    this.#wake(pump);
  }

  #wake(pump: Pump): void {
    const { wake } = pump;
    pump.wake = createWake();
    wake.resolve();
  }
}

/** The first event of `ring` after `cursor`, found by bisection. */
function following(ring: readonly JobEvent[], cursor: number): JobEvent | null {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ring[middle]!.seq > cursor) high = middle;
    else low = middle + 1;
  }
  return ring[low] ?? null;
}
