import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type LocalRedis, startRedis } from "../jobs/start-redis.js";
import { findOnPath } from "../sql/start-postgres.js";
import { MemoryRateLimiter, type RateLimiter } from "./rate-limit.js";
import { RedisRateLimiter } from "./redis-rate-limit.js";

const hasRedis = process.env["SEG_TEST_REDIS_URL"] !== undefined || (await findOnPath("redis-server")) !== null;
const limit = { max: 3, windowMs: 60_000 };
let now = 0;

function suite(open: () => RateLimiter) {
  let limiter: RateLimiter;
  let key: string;
  beforeEach(() => {
    now += 3_600_000;
    limiter = open();
    key = `k${now}`;
  });

  test("counts to the limit, says when one fits again, looks without counting", async () => {
    for (const remaining of [2, 1, 0]) {
      expect(await limiter.peek(key, limit)).toMatchObject({ allowed: true, remaining: remaining + 1 });
      expect(await limiter.take(key, limit)).toEqual({ allowed: true, remaining, retryAfterMs: 0 });
      now += 1_000;
    }
    expect(await limiter.take(key, limit)).toEqual({ allowed: false, remaining: 0, retryAfterMs: 57_000 });
    expect((await limiter.take(`${key}-other`, limit)).allowed).toBe(true);
    now += 57_000;
    expect((await limiter.take(key, limit)).allowed).toBe(true);
    expect(await limiter.take(key, limit)).toMatchObject({ allowed: false, retryAfterMs: 1_000 });
  });
}

describe("MemoryRateLimiter", () => {
  suite(() => new MemoryRateLimiter({ now: () => now }));

  test("forgets the key unused for longest beyond its bound", async () => {
    const limiter = new MemoryRateLimiter({ now: () => now, maxKeys: 2 });
    for (const key of ["a", "b", "c"]) await limiter.take(key, { max: 1, windowMs: 1000 });
    expect((await limiter.peek("a", { max: 1, windowMs: 1000 })).allowed).toBe(true);
    expect((await limiter.peek("c", { max: 1, windowMs: 1000 })).allowed).toBe(false);
  });
});

describe.skipIf(!hasRedis)("RedisRateLimiter", () => {
  let server: LocalRedis | null = null;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server!.url);
  });
  afterAll(async () => {
    redis.disconnect();
    await server?.stop();
  });
  suite(() => new RedisRateLimiter({ redis, now: () => now, prefix: `seg:test:${process.pid}:` }));
});
