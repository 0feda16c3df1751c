import type { HubClock } from "../internal/clock.js";
import { type JobEvent, type JobQueue, TERMINAL_STATES } from "./types.js";

/** Events kept in memory per watched job; who is further behind reads them from the queue. */
const BUFFER_EVENTS = 1000;

const endsRun = ({ type }: JobEvent): boolean => type === "done" || type === "error";

/** One poll per watched job, whoever many watch it. */
export class JobFeeds {
  readonly #queue: Pick<JobQueue, "events" | "get">;
  readonly #clock: HubClock;
  readonly #pollMs: number;
  readonly #feeds = new Map<string, Feed>();

  constructor({ queue, clock, pollMs }: { queue: Pick<JobQueue, "events" | "get">; clock: HubClock; pollMs: number }) {
    this.#queue = queue;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** Something was written to the job by this process: look at once. */
  poke(id: string): void {
    this.#feeds.get(id)?.poke();
  }

  /** See {@link JobQueue.watch}. A run that ended and was resumed goes on: only a terminal event that is the job's last ends the stream. */
  async *watch(
    id: string,
    { after = 0, signal }: { after?: number; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<JobEvent> {
    await this.#queue.get(id);
    let feed = this.#feeds.get(id);
    if (feed === undefined) {
      feed = new Feed(this.#queue, id, this.#clock, this.#pollMs);
      this.#feeds.set(id, feed);
    }
    feed.readers++;
    let last: JobEvent | null = null;
    let at = after;
    try {
      while (!(signal?.aborted ?? false)) {
        // Subscribed before reading, so that nothing falls between.
        const next = feed.next(signal);
        const events: readonly JobEvent[] = feed.since(at) ?? (await this.#queue.events(id, { after: at }));
        for (const event of events) {
          if (signal?.aborted) return;
          yield event;
          last = event;
          at = event.seq;
        }
        if (events.length > 0) continue;
        // Without a new event the job may have ended before `after`.
        if (last === null || endsRun(last)) {
          const { state } = await this.#queue.get(id);
          if (TERMINAL_STATES.has(state) && (await this.#queue.events(id, { after: at, limit: 1 })).length === 0)
            return;
        }
        await next;
      }
    } finally {
      if (--feed.readers === 0) {
        feed.stop();
        this.#feeds.delete(id);
      }
    }
  }

  close(): void {
    for (const feed of this.#feeds.values()) feed.stop();
  }
}

class Feed {
  readers = 0;
  readonly #queue: Pick<JobQueue, "events">;
  readonly #id: string;
  readonly #stop = new AbortController();
  #buffer: JobEvent[] = [];
  #poke: () => void = () => undefined;
  #waiters = new Set<() => void>();

  constructor(queue: Pick<JobQueue, "events">, id: string, clock: HubClock, pollMs: number) {
    this.#queue = queue;
    this.#id = id;
    void this.#poll(clock, pollMs);
  }

  async #poll(clock: HubClock, pollMs: number): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const events = await this.#queue.events(this.#id, { after: this.#buffer.at(-1)?.seq ?? 0 });
        if (events.length > 0) {
          this.#buffer = [...this.#buffer, ...events].slice(-BUFFER_EVENTS);
          this.#wake();
          continue;
        }
      } catch {
        // The database is away for the moment: the readers' own reads report it.
        this.#wake();
      }
      // A signal of its own for each wait, so that the clock's listener goes with it.
      const wait = new AbortController();
      this.#poke = () => wait.abort();
      if (signal.aborted) break;
      await clock.sleep(pollMs, wait.signal).catch(() => undefined);
    }
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const waiter of waiters) waiter();
  }

  poke(): void {
    this.#poke();
  }

  /** Resolves at the next news or on abort. */
  next(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal?.removeEventListener("abort", done);
        this.#waiters.delete(done);
        resolve();
      };
      this.#waiters.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  /** The events after `seq`, or null when the buffer does not reach back so far. */
  since(seq: number): readonly JobEvent[] | null {
    const first = this.#buffer[0]?.seq;
    if (first === undefined || first > seq + 1) return null;
    return this.#buffer.slice(Math.max(0, seq + 1 - first));
  }

  stop(): void {
    this.#stop.abort();
    this.#poke();
  }
}
