import { randomUUID } from "node:crypto";
import type { RateDecision, RateLimit, RateLimiter } from "./rate-limit.js";

/** The one command that is needed; an ioredis client has it. */
export interface RedisEval {
  eval(script: string, numberOfKeys: number, ...args: (string | number)[]): Promise<unknown>;
}

/**
 * The same sliding window as {@link MemoryRateLimiter}, in one sorted set per key: one atomic script, so that processes share the count.
 * KEYS[1] = set; ARGV = now, window, max, member ("" only looks). Returns {allowed, used, oldest}.
 */
const SCRIPT = `
local now = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local used = redis.call('ZCARD', KEYS[1])
local max = tonumber(ARGV[3])
if used < max then
  if ARGV[4] ~= '' then
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    used = used + 1
  end
  return {1, used, 0}
end
local oldest = redis.call('ZRANGE', KEYS[1], used - max, used - max, 'WITHSCORES')
return {0, used, tonumber(oldest[2])}
`;

/** Shared by every process that uses the same Redis and prefix. */
export class RedisRateLimiter implements RateLimiter {
  readonly #redis: RedisEval;
  readonly #now: () => number;
  readonly #prefix: string;

  constructor({
    redis,
    now = Date.now,
    prefix = "seg:rate:",
  }: { redis: RedisEval; now?: () => number; prefix?: string }) {
    this.#redis = redis;
    this.#now = now;
    this.#prefix = prefix;
  }

  take(key: string, limit: RateLimit): Promise<RateDecision> {
    return this.#run(key, limit, randomUUID());
  }

  peek(key: string, limit: RateLimit): Promise<RateDecision> {
    return this.#run(key, limit, "");
  }

  async #run(key: string, { max, windowMs }: RateLimit, member: string): Promise<RateDecision> {
    const now = this.#now();
    const answer = await this.#redis.eval(SCRIPT, 1, this.#prefix + key, now, windowMs, max, member);
    const [allowed, used, oldest] = answer as [number, number, number];
    if (allowed === 1) return { allowed: true, remaining: max - used, retryAfterMs: 0 };
    return { allowed: false, remaining: 0, retryAfterMs: Math.max(1, oldest + windowMs - now) };
  }
}
