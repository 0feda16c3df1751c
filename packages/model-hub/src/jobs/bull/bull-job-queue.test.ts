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
  let count = 0;
  beforeAll(async () => {
    redis = (await startRedis())!;
  });
  afterAll(() => redis.stop());
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
    return { queue, told };
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
