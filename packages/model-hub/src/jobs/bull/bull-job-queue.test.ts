import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jobQueueConformance } from "../../../test/job-queue-conformance.js";
import type { HubEvent } from "../../registry/types.js";
import { findOnPath } from "../../sql/start-postgres.js";
import { HubEvents } from "../../webhooks/hub-events.js";
import { type LocalRedis, startRedis } from "../start-redis.js";
import { BullJobQueue } from "./bull-job-queue.js";

const hasRedis = process.env["SEG_TEST_REDIS_URL"] !== undefined || (await findOnPath("redis-server")) !== null;

describe.skipIf(!hasRedis)("BullJobQueue on Redis", () => {
  let redis: LocalRedis;
  let client: Redis;
  let count = 0;
  beforeAll(async () => {
    redis = (await startRedis())!;
    client = new Redis(redis.url);
  });
  afterAll(async () => {
    client.disconnect();
    await redis.stop();
  });
  const prefix = () => `seg-test-${process.pid}-${count}`;
  const open = async (options: { maxQueued?: number } = {}) => {
    const events = new HubEvents();
    const told: HubEvent[] = [];
    events.subscribe((event) => told.push(event));
    const queue = await BullJobQueue.open({
      url: redis.url,
      events,
      prefix: prefix(),
      pollMs: 20,
      stalledIntervalMs: 100,
      ...options,
    });
    const expire = async (id: string) => {
      const keys = `${prefix()}:`;
      if ((await client.zscore(`${keys}leases`, id)) === null) return;
      const { kind } = await queue.get(id);
      await client.zadd(`${keys}leases`, 0, id);
      await client.hset(`${keys}job:${id}`, "lease_until", 0);
      // BullMQ's lock as well: it ends with the lease.
      await client.del(`${keys}bull:${kind}:${id}:lock`);
    };
    return { queue, told, expire };
  };
  const openNew = async () => {
    count++;
  };
  jobQueueConformance(open, openNew);

  test("refuses more waiting jobs than its limit", async () => {
    count++;
    const { queue } = await open({ maxQueued: 1 });
    await queue.enqueue({ kind: "gc" });
    await expect(queue.enqueue({ kind: "gc" })).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await queue.close();
  });
});
