import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HubError } from "../src/errors.js";
import { JobWorker } from "../src/jobs/job-worker.js";
import type { JobEvent, JobHandler, JobLease, JobProgress, JobQueue } from "../src/jobs/types.js";
import type { HubEvent } from "../src/registry/types.js";

const kinds = ["retrain", "install", "gc"] as const;

/** A lease that a test does not outlive, however busy the machine is. */
const LONG_MS = 3_600_000;

const progress = (percent: number, epoch: number | null = null): JobProgress => ({
  phase: "training",
  epoch,
  epochs: null,
  step: null,
  steps: null,
  percent,
  metrics: {},
  eta_s: null,
});

/** Waits until `check` holds. */
export async function until(check: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await check())) await sleep(10);
}

/** A queue under test. */
export interface OpenQueue {
  readonly queue: JobQueue;
  readonly told: HubEvent[];
  /** Lets the lease of a running job end now, as if its worker had been silent; tests must not depend on how fast a machine is. */
  expire(id: string): Promise<void>;
}

/** What every job queue does, whatever it is kept in. `open` twice gives two queues on one place. */
export function jobQueueConformance(open: () => Promise<OpenQueue>, openNew: () => Promise<void>): void {
  let queue: JobQueue;
  let other: JobQueue;
  let told: HubEvent[];
  let expire: OpenQueue["expire"];
  beforeEach(async () => {
    await openNew();
    ({ queue, told, expire } = await open());
    ({ queue: other } = await open());
  });
  afterEach(async () => {
    await queue.close();
    await other.close();
  });
  const claim = (owner = "w", leaseMs = LONG_MS, from = queue) => from.claim({ owner, kinds, leaseMs });
  const mustClaim = async (owner = "w", leaseMs = LONG_MS, from = queue): Promise<JobLease> => {
    const lease = await claim(owner, leaseMs, from);
    if (lease === null) throw new Error("nothing to claim");
    return lease;
  };
  const collect = async (id: string, after = 0): Promise<JobEvent[]> => {
    const events: JobEvent[] = [];
    for await (const event of queue.watch(id, { after })) events.push(event);
    return events;
  };

  describe("enqueue and claim", () => {
    test("keeps what was asked for", async () => {
      const job = await queue.enqueue({
        kind: "retrain",
        payload: { a: [1, null, "ü"] },
        target: "t",
        priority: 2,
        created_by: "ana",
      });
      expect(job).toMatchObject({
        kind: "retrain",
        state: "queued",
        payload: { a: [1, null, "ü"] },
        target: "t",
        priority: 2,
        created_by: "ana",
        attempts: 0,
        max_attempts: 3,
        progress: null,
        result: null,
        error: null,
        fence: 0,
        lease_owner: null,
      });
      expect(job.run_id).not.toBe("");
      expect(await other.get(job.id)).toEqual(job);
      await expect(queue.get("nothing")).rejects.toMatchObject({ code: "NOT_FOUND" });
      await expect(queue.enqueue({ kind: "dance" } as never)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    });

    test("gives jobs by priority, then in order, of the kinds asked for, each once", async () => {
      const ids: string[] = [];
      for (const priority of [0, 0, 5, 1, 5]) ids.push((await queue.enqueue({ kind: "install", priority })).id);
      await queue.enqueue({ kind: "sweep" });
      const order: string[] = [];
      for (let lease = await claim(); lease !== null; lease = await claim()) order.push(lease.job.id);
      expect(order).toEqual([ids[2], ids[4], ids[3], ids[0], ids[1]]);
      expect((await queue.list({ state: "queued" })).jobs).toMatchObject([{ kind: "sweep" }]);
    });

    test("concurrent claims share the jobs out", async () => {
      for (let i = 0; i < 12; i++) await queue.enqueue({ kind: "gc" });
      const leases = await Promise.all(
        Array.from({ length: 20 }, (_, i) => claim(`w${i}`, LONG_MS, i % 2 === 0 ? queue : other)),
      );
      // A claim that was overtaken may come back empty; nothing may come twice.
      const rest: (JobLease | null)[] = [];
      for (let lease = await claim(); lease !== null; lease = await claim()) rest.push(lease);
      const taken = [...leases, ...rest].filter((lease) => lease !== null).map((lease) => lease!.job.id);
      expect(taken.length).toBe(12);
      expect(new Set(taken).size).toBe(12);
    });

    test("runs one job of a target at a time, the others wait in order", async () => {
      const first = await queue.enqueue({ kind: "retrain", target: "device:0" });
      const second = await queue.enqueue({ kind: "retrain", target: "device:0" });
      const third = await queue.enqueue({ kind: "retrain", target: "device:0" });
      const elsewhere = await queue.enqueue({ kind: "retrain", target: "device:1" });
      const leases = (await Promise.all([claim("a"), claim("b", LONG_MS, other), claim("c")])).filter(
        (lease) => lease !== null,
      );
      for (let lease = await claim("d"); lease !== null; lease = await claim("d")) leases.push(lease);
      expect(new Set(leases.map((lease) => lease!.job.id))).toEqual(new Set([first.id, elsewhere.id]));
      await queue.finish(leases.find((lease) => lease!.job.id === first.id)!, { state: "succeeded", result: {} });
      const next = await mustClaim("b");
      expect(next.job.id).toBe(second.id);
      expect(await claim("c")).toBeNull();
      await queue.cancel(second.id);
      expect(await claim("c")).toBeNull();
      await queue.finish(next, { state: "cancelled" });
      expect((await mustClaim("c")).job.id).toBe(third.id);
    });

    test("claims of one instant never let a job overtake an earlier one of its target", async () => {
      for (let round = 0; round < 10; round++) {
        const target = `device:${round}`;
        const first = await queue.enqueue({ kind: "retrain", target });
        await queue.enqueue({ kind: "retrain", target });
        const elsewhere = await queue.enqueue({ kind: "retrain", target: `${target}, too` });
        const taken = await Promise.all(
          ["a", "b", "c", "d"].map((owner, i) => claim(owner, LONG_MS, i % 2 === 0 ? queue : other)),
        );
        const ids = taken.filter((lease) => lease !== null).map((lease) => lease.job.id);
        expect([first.id, elsewhere.id]).toEqual(expect.arrayContaining(ids));
        expect(new Set(ids).size).toBe(ids.length);
        // The next round starts with nothing left to claim.
        for (const job of (await queue.list({ state: "queued" })).jobs) await queue.cancel(job.id);
      }
    });

    test("can refuse or join when the target has an open job", async () => {
      const first = await queue.enqueue({ kind: "install", target: "hf:a/b", ifActive: "refuse" });
      await expect(queue.enqueue({ kind: "install", target: "hf:a/b", ifActive: "refuse" })).rejects.toMatchObject({
        code: "CONFLICT",
        details: { job_id: first.id },
      });
      expect((await queue.enqueue({ kind: "install", target: "hf:a/b", ifActive: "join" })).id).toBe(first.id);
      await queue.finish(await mustClaim(), { state: "succeeded", result: {} });
      expect((await queue.enqueue({ kind: "install", target: "hf:a/b", ifActive: "join" })).id).not.toBe(first.id);
    });

    test("lists newest first in pages", async () => {
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) ids.push((await queue.enqueue({ kind: i % 2 === 0 ? "gc" : "install" })).id);
      const page = await queue.list({ limit: 3 });
      expect(page.total).toBe(5);
      const rest = await queue.list({ limit: 3, cursor: page.next_cursor });
      expect([...page.jobs, ...rest.jobs].map(({ id }) => id)).toEqual(ids.reverse());
      expect(rest.next_cursor).toBeNull();
      expect((await queue.list({ kind: "gc" })).total).toBe(3);
    });
  });

  describe("leases", () => {
    test("an expired lease is taken over with a higher fence, and the first owner's writes are refused", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      const first = await mustClaim("a");
      expect(first.job).toMatchObject({ state: "running", attempts: 1, lease_owner: "a" });
      await queue.update(first, { checkpoint: { epoch: 2 }, progress: progress(40, 2) });
      expect(await claim("b", LONG_MS, other)).toBeNull();
      await expire(job.id);
      let second: JobLease | null = null;
      await until(async () => {
        second = await claim("b", LONG_MS, other);
        return second !== null;
      });
      const lease = second! as JobLease;
      expect(lease.job).toMatchObject({
        id: job.id,
        run_id: job.run_id,
        attempts: 2,
        checkpoint: { epoch: 2 },
        lease_owner: "b",
      });
      expect(lease.fence).toBeGreaterThan(first.fence);
      for (const write of [
        () => queue.update(first, { progress: progress(90) }),
        () => queue.update(first, { checkpoint: { epoch: 9 } }),
        () => queue.emit(first, { type: "log", data: {} }),
        () => queue.heartbeat(first),
        () => queue.finish(first, { state: "succeeded", result: {} }),
      ]) {
        await expect(write()).rejects.toMatchObject({ code: "STALE" });
      }
      expect(await queue.get(job.id)).toMatchObject({
        state: "running",
        checkpoint: { epoch: 2 },
        progress: { percent: 40 },
      });
      expect((await other.finish(lease, { state: "succeeded", result: { ok: true } })).result).toEqual({ ok: true });
      await expect(queue.finish(lease, { state: "failed", error: { code: "X", message: "" } })).rejects.toMatchObject({
        code: "STALE",
      });
    });

    test("heartbeats prolong a lease", async () => {
      await queue.enqueue({ kind: "retrain" });
      const lease = await mustClaim("a", 20_000);
      expect(await queue.heartbeat(lease, { leaseMs: 600_000 })).toEqual({ cancelRequested: false });
      const now = await queue.get(lease.job.id);
      expect(Date.parse(now.lease_until!) - Date.parse(lease.job.lease_until!)).toBeGreaterThan(300_000);
      expect(await claim("b", LONG_MS, other)).toBeNull();
    });

    test("a job whose worker is lost too often fails", async () => {
      const job = await queue.enqueue({ kind: "retrain", maxAttempts: 2 });
      for (let attempt = 0; attempt < 2; attempt++) {
        await until(async () => (await claim("w")) !== null);
        await expire(job.id);
      }
      await until(async () => {
        await queue.maintain();
        return (await queue.get(job.id)).state === "failed";
      });
      expect(await queue.get(job.id)).toMatchObject({ attempts: 2, error: { code: "INTERNAL" } });
    });

    test("a failed attempt is repeated only when that may help", async () => {
      const job = await queue.enqueue({ kind: "install", maxAttempts: 2 });
      const error = { code: "SOURCE_UNAVAILABLE", message: "away" };
      expect((await queue.finish(await mustClaim(), { state: "failed", error, retry: true })).state).toBe("queued");
      expect(await queue.finish(await mustClaim(), { state: "failed", error, retry: true })).toMatchObject({
        state: "failed",
        error,
      });
      const second = await queue.enqueue({ kind: "install" });
      expect((await queue.finish(await mustClaim(), { state: "failed", error })).state).toBe("failed");
      expect((await queue.get(second.id)).finished_at).not.toBeNull();
      expect((await queue.get(job.id)).attempts).toBe(2);
    });

    test("a worker that stops hands its job back, without counting it", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      expect((await queue.finish(await mustClaim(), { state: "interrupted", requeue: true })).state).toBe("queued");
      const lease = await mustClaim("b");
      expect(lease.job).toMatchObject({ id: job.id, attempts: 1 });
      expect((await queue.finish(lease, { state: "interrupted" })).state).toBe("interrupted");
    });
  });

  describe("cancel and resume", () => {
    test("a queued job ends at once, a running one when its worker says so", async () => {
      const queued = await queue.enqueue({ kind: "retrain" });
      expect((await queue.cancel(queued.id)).state).toBe("cancelled");
      expect(await claim()).toBeNull();
      const running = await queue.enqueue({ kind: "retrain" });
      const lease = await mustClaim();
      expect((await other.cancel(running.id)).state).toBe("cancelling");
      expect((await other.cancel(running.id)).state).toBe("cancelling");
      expect(await queue.heartbeat(lease)).toEqual({ cancelRequested: true });
      expect((await queue.finish(lease, { state: "cancelled" })).state).toBe("cancelled");
      for (const { id } of [queued, running]) {
        await expect(queue.cancel(id)).rejects.toMatchObject({ code: "INVALID_STATE" });
      }
    });

    test("a cancelling job whose worker is lost is cancelled", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      await mustClaim("a");
      await queue.cancel(job.id);
      await expire(job.id);
      await until(async () => {
        await queue.maintain();
        return (await queue.get(job.id)).state === "cancelled";
      });
    });

    test("cancelled, failed and interrupted jobs go on as the same run; others do not", async () => {
      for (const outcome of [
        { state: "cancelled" },
        { state: "interrupted" },
        { state: "failed", error: { code: "INTERNAL", message: "x" } },
      ] as const) {
        const job = await queue.enqueue({ kind: "retrain" });
        await expect(queue.resume(job.id)).rejects.toMatchObject({ code: "INVALID_STATE" });
        const lease = await mustClaim();
        await queue.update(lease, { checkpoint: { at: 7 } });
        await queue.finish(lease, outcome);
        expect(await queue.resume(job.id)).toMatchObject({
          state: "queued",
          attempts: 0,
          error: null,
          run_id: job.run_id,
          finished_at: null,
        });
        const again = await mustClaim();
        expect(again.job).toMatchObject({ id: job.id, checkpoint: { at: 7 } });
        await queue.finish(again, { state: "succeeded", result: {} });
        await expect(queue.resume(job.id)).rejects.toMatchObject({ code: "INVALID_STATE" });
      }
    });
  });

  describe("events", () => {
    test("tell the whole story in order and end with the terminal one", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      const lease = await mustClaim();
      await queue.update(lease, { progress: progress(10, 1) });
      await queue.emit(lease, { type: "log", data: { message: "hello" } });
      await queue.update(lease, { progress: progress(5, 1) });
      await queue.finish(lease, { state: "succeeded", result: { version: "v" } });
      const events = await collect(job.id);
      expect(events.map(({ type }) => type)).toEqual(["status", "status", "progress", "log", "progress", "done"]);
      expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(events[4]!.data).toMatchObject({ percent: 10 });
      expect(events.at(-1)!.data).toMatchObject({ state: "succeeded", result: { version: "v" } });
      expect(await collect(job.id, 4)).toEqual(events.slice(4));
      expect(await collect(job.id, 6)).toEqual([]);
      await expect(collect("nothing")).rejects.toMatchObject({ code: "NOT_FOUND" });
      expect(told.map(({ type }) => type)).toEqual(["job.queued", "job.running", "job.succeeded"]);
    });

    test("many watchers, late and from another process' view, miss none", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      const watchers = [collect(job.id), collect(job.id)];
      const elsewhere = (async () => {
        const events: JobEvent[] = [];
        for await (const event of other.watch(job.id)) events.push(event);
        return events;
      })();
      const lease = await mustClaim();
      for (let i = 1; i <= 20; i++) {
        await queue.emit(lease, { type: "log", data: { i } });
        if (i % 5 === 0) watchers.push(collect(job.id, i));
      }
      await queue.finish(lease, { state: "failed", error: { code: "INTERNAL", message: "x" } });
      const all = await collect(job.id);
      expect(all.length).toBe(23);
      const seen = await Promise.all(watchers);
      seen.forEach((events, i) => {
        expect(events).toEqual(i < 2 ? all : all.slice((i - 1) * 5));
      });
      expect(await elsewhere).toEqual(all);
    });

    test("a watcher stays over a resume and leaves on abort", async () => {
      const job = await queue.enqueue({ kind: "retrain" });
      await queue.cancel(job.id);
      await queue.resume(job.id);
      const controller = new AbortController();
      const types: string[] = [];
      const watching = (async () => {
        for await (const event of queue.watch(job.id, { signal: controller.signal }))
          types.push(`${event.type}:${event.data["state"]}`);
      })();
      await until(() => types.length === 3);
      controller.abort();
      await watching;
      expect(types).toEqual(["status:queued", "done:cancelled", "status:queued"]);
      expect((await queue.get(job.id)).state).toBe("queued");
    });
  });

  describe("JobWorker", () => {
    const working: JobWorker[] = [];
    afterEach(async () => {
      await Promise.all(working.splice(0).map((worker) => worker.stop()));
    });
    const work = (retrain: JobHandler, options: Partial<ConstructorParameters<typeof JobWorker>[0]> = {}) => {
      const worker = new JobWorker({
        queue,
        handlers: { retrain },
        pollMs: 10,
        heartbeatMs: 50,
        leaseMs: 30_000,
        cancelCheckMs: 20,
        ...options,
      });
      worker.start();
      working.push(worker);
      return worker;
    };
    const ended = async (id: string) => (await collect(id)).at(-1)!;

    test("runs the handler and keeps its result, progress and logs", async () => {
      work(async ({ job, progress: report, log }) => {
        await log({ message: "begin" });
        for (let i = 1; i <= 50; i++) report(progress(i * 2));
        return { doubled: (job.payload["n"] as number) * 2 };
      });
      const { id } = await queue.enqueue({ kind: "retrain", payload: { n: 21 } });
      expect(await ended(id)).toMatchObject({ type: "done", data: { result: { doubled: 42 } } });
      const shown = (await collect(id)).filter(({ type }) => type === "progress");
      // Reports faster than four a second are thinned, the last one stays.
      expect(shown.length).toBeLessThanOrEqual(3);
      expect(shown.at(-1)!.data).toMatchObject({ percent: 100 });
    });

    test("an error ends the job with its code", async () => {
      work(async () => {
        throw new HubError({ code: "DATASET_TOO_SMALL", message: "3 of 10", details: { records: 3 } });
      });
      const { id } = await queue.enqueue({ kind: "retrain" });
      expect(await ended(id)).toMatchObject({
        type: "error",
        data: { state: "failed", error: { code: "DATASET_TOO_SMALL", message: "3 of 10", details: { records: 3 } } },
      });
    });

    test("cancelling aborts the handler", async () => {
      let reason: unknown;
      work(async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        reason = signal.reason;
        throw new Error("stopped");
      });
      const { id } = await queue.enqueue({ kind: "retrain" });
      await until(async () => (await queue.get(id)).state === "running");
      await other.cancel(id);
      expect(await ended(id)).toMatchObject({ type: "done", data: { state: "cancelled" } });
      expect(reason).toBe("cancel");
    });

    test("stopping hands the job to the next worker, which goes on from the checkpoint", async () => {
      const first = work(async ({ signal, checkpoint }) => {
        await checkpoint({ epoch: 3 });
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        throw new Error("stopped");
      });
      const { id } = await queue.enqueue({ kind: "retrain" });
      await until(async () => (await queue.get(id)).checkpoint !== null);
      await first.stop();
      expect(await queue.get(id)).toMatchObject({ state: "queued", attempts: 0 });
      work(async ({ job }) => ({ from: job.checkpoint!["epoch"]! }));
      expect(await ended(id)).toMatchObject({ data: { result: { from: 3 } } });
    });

    test("a handler whose lease was lost is aborted and its result is not taken", async () => {
      const reasons: unknown[] = [];
      work(
        async ({ signal }) => {
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          reasons.push(signal.reason);
          return { by: "first" };
        },
        { leaseMs: 30_000, heartbeatMs: 300, owner: "slow" },
      );
      const { id } = await queue.enqueue({ kind: "retrain" });
      await until(async () => (await queue.get(id)).state === "running");
      let lease: JobLease | null = null;
      await until(async () => {
        // A heartbeat may come in between and keep the lease.
        await expire(id);
        lease = await other.claim({ owner: "fast", kinds, leaseMs: 30_000 });
        return lease !== null;
      });
      await until(() => reasons.length === 1);
      expect(reasons).toEqual(["lease-lost"]);
      await other.finish(lease!, { state: "succeeded", result: { by: "second" } });
      expect(await ended(id)).toMatchObject({ data: { result: { by: "second" } } });
    });
  });
}
