/** Whether a call may pass, and if not, when to try again. */
export interface RateDecision {
  readonly allowed: boolean;
  readonly remaining: number;
  /** Milliseconds until one call fits again; 0 when allowed. */
  readonly retryAfterMs: number;
}

/** Counts calls by key; in memory, or in Redis for several processes. */
export interface RateLimiter {
  /** Counts one call of `key` unless the limit is reached. */
  take(key: string, limit: RateLimit): Promise<RateDecision>;
  /** What {@link take} would say, without counting. */
  peek(key: string, limit: RateLimit): Promise<RateDecision>;
}

/** At most `max` calls in any `windowMs`. */
export interface RateLimit {
  readonly max: number;
  readonly windowMs: number;
}

/** Keys kept at most; beyond it the one unused for longest is forgotten (an address scan must not fill the memory). */
const MAX_KEYS = 10_000;

/**
 * A sliding window: the times of the last `max` calls of each key, so never more than `max` in any window, unlike a counter per minute,
 * which lets 2 x max through around the turn.
 */
export class MemoryRateLimiter implements RateLimiter {
  readonly #now: () => number;
  readonly #maxKeys: number;
  /** Oldest first; insertion order of the map is order of last use. */
  readonly #calls = new Map<string, number[]>();

  constructor({ now = Date.now, maxKeys = MAX_KEYS }: { now?: () => number; maxKeys?: number } = {}) {
    this.#now = now;
    this.#maxKeys = maxKeys;
  }

  async take(key: string, limit: RateLimit): Promise<RateDecision> {
    const calls = this.#recent(key, limit);
    const decision = this.#decide(calls, limit);
    if (decision.allowed) calls.push(this.#now());
    this.#calls.delete(key);
    this.#calls.set(key, calls);
    if (this.#calls.size > this.#maxKeys) this.#calls.delete(this.#calls.keys().next().value!);
    return decision.allowed ? { ...decision, remaining: decision.remaining - 1 } : decision;
  }

  async peek(key: string, limit: RateLimit): Promise<RateDecision> {
    return this.#decide(this.#recent(key, limit), limit);
  }

  #recent(key: string, { windowMs }: RateLimit): number[] {
    const calls = this.#calls.get(key) ?? [];
    const since = this.#now() - windowMs;
    let old = 0;
    while (old < calls.length && calls[old]! <= since) old++;
    if (old > 0) calls.splice(0, old);
    return calls;
  }

  #decide(calls: readonly number[], { max, windowMs }: RateLimit): RateDecision {
    if (calls.length < max) return { allowed: true, remaining: max - calls.length, retryAfterMs: 0 };
    const oldest = calls[calls.length - max] ?? this.#now();
    return { allowed: false, remaining: 0, retryAfterMs: Math.max(1, oldest + windowMs - this.#now()) };
  }
}
