import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HubClock } from "../internal/clock.js";
import { ModelPool, type ModelPoolOptions } from "./model-pool.js";
import type { Lease, LoadedModel, ModelLoader } from "./types.js";

const MB = 1e6;

/** A pool of one device with room for `bytes` of estimated need. */
const poolOf = (bytes: number, options: Partial<ModelPoolOptions> = {}) =>
  new ModelPool({ devices: [{ id: "cpu", totalBytes: bytes, reserveBytes: 0 }], ...options });

/** Loads at once; what it needs is what `weightBytes` says. */
function loaderOf(bytes: number, { name = "model", ...rest }: Partial<ModelLoader<string>> & { name?: string } = {}) {
  const log: string[] = [];
  const loader: ModelLoader<string> = {
    weightBytes: bytes / 1.1,
    async load({ device, precision }) {
      log.push(`load ${device} ${precision}`);
      return { model: `${name} on ${device}`, bytes, dispose: () => void log.push("dispose") };
    },
    ...rest,
  };
  return { loader, log };
}

/** Time that passes only when it is told to; sleepers wake then. */
function manualClock(): HubClock & { advance(ms: number): void } {
  let now = 0;
  const sleepers = new Set<{ until: number; wake: () => void }>();
  return {
    now: () => now,
    advance(ms) {
      now += ms;
      for (const { until, wake } of sleepers) if (until <= now) wake();
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { until: now + ms, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", () => {
          sleepers.delete(sleeper);
          reject(signal.reason);
        });
      }),
  };
}

/** Lets everything happen that can without time passing. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const states = (pool: ModelPool) => Object.fromEntries(pool.status().models.map(({ key, state }) => [key, state]));

describe("ModelPool", () => {
  test("loads once for callers of one moment and keeps the model for later ones", async () => {
    const pool = poolOf(100 * MB);
    const { loader, log } = loaderOf(40 * MB);
    const leases = await Promise.all([1, 2, 3].map(() => pool.acquire("a", loader)));
    expect(log).toEqual(["load cpu full"]);
    expect(pool.status().models).toMatchObject([
      { key: "a", state: "resident", bytes: 40 * MB, leases: 3, idleMs: null },
    ]);
    for (const lease of leases) lease.release();
    leases[0]!.release();
    expect(pool.status().models).toMatchObject([{ leases: 0, idleMs: expect.any(Number) }]);
    {
      await using lease = await pool.acquire("a", loader);
      expect(lease).toMatchObject({ model: "model on cpu", device: "cpu", precision: "full" });
      expect(pool.status().models).toMatchObject([{ leases: 1 }]);
    }
    expect(pool.status().models).toMatchObject([{ leases: 0 }]);
    expect(pool.metrics()).toMatchObject({ hits: 1, loads: 1, evictions: 0 });
    await pool.close();
    expect(log).toEqual(["load cpu full", "dispose"]);
    await expect(pool.acquire("a", loader)).rejects.toMatchObject({ code: "INVALID_STATE" });
  });

  test("evicts the least recently used idle models, just enough, and never one in use", async () => {
    const clock = manualClock();
    const pool = poolOf(100 * MB, { clock, keepAliveMs: 1e9 });
    const use = async (key: string, bytes: number) => {
      clock.advance(1000);
      const lease = await pool.acquire(key, loaderOf(bytes).loader);
      clock.advance(1000);
      return lease;
    };
    const held = await use("held", 30 * MB);
    for (const key of ["old", "young"]) (await use(key, 30 * MB)).release();
    (await use("old", 30 * MB)).release();
    const fresh = await use("fresh", 40 * MB);
    expect(states(pool)).toEqual({ held: "resident", old: "resident", fresh: "resident" });
    const next = pool.acquire("next", loaderOf(60 * MB).loader, { timeoutMs: 1e9 });
    await settle();
    // 30 idle bytes and nothing else: not enough, so nothing goes.
    expect(states(pool)).toEqual({ held: "resident", old: "resident", fresh: "resident", next: "waiting" });
    fresh.release();
    expect((await next).key).toBe("next");
    expect(states(pool)).toEqual({ held: "resident", next: "resident" });
    held.release();
  });

  test("refuses what is larger than every budget at once, with the numbers", async () => {
    const pool = poolOf(100 * MB);
    const { loader, log } = loaderOf(101 * MB);
    await expect(pool.acquire("big", loader)).rejects.toMatchObject({
      code: "MODEL_TOO_LARGE",
      message: expect.stringContaining("101000000 bytes"),
      details: { budgets: { cpu: 100 * MB } },
    });
    expect(log).toEqual([]);
    expect(pool.status()).toMatchObject({ models: [], waiting: 0 });
  });

  test("lets a bounded number wait, in order, for a bounded time", async () => {
    const clock = manualClock();
    const pool = poolOf(10 * MB, { clock, maxWaiting: 2, timeoutMs: 60_000 });
    const held = await pool.acquire("held", loaderOf(10 * MB).loader);
    const order: string[] = [];
    const wait = (key: string, signal?: AbortSignal) =>
      pool.acquire(key, loaderOf(10 * MB).loader, signal ? { signal } : {}).then((lease) => {
        order.push(key);
        lease.release();
      });
    const controller = new AbortController();
    const first = wait("first");
    const second = wait("second", controller.signal);
    await expect(wait("third")).rejects.toMatchObject({ code: "POOL_FULL" });
    expect(pool.status().waiting).toBe(2);
    controller.abort(new Error("changed my mind"));
    await expect(second).rejects.toThrow("changed my mind");
    const fourth = wait("fourth");
    held.release();
    await Promise.all([first, fourth]);
    expect(order).toEqual(["first", "fourth"]);

    const again = await pool.acquire("held", loaderOf(10 * MB).loader);
    const late = wait("late");
    await settle();
    clock.advance(60_000);
    await expect(late).rejects.toMatchObject({ code: "POOL_TIMEOUT", details: { key: "late", timeout_ms: 60_000 } });
    expect(states(pool)).toEqual({ held: "resident" });
    again.release();
    // Four that had to wait for a lease, and one for the memory of the model before.
    expect(pool.metrics().waits).toBe(5);
  });

  test("a failed load frees its room, tells everybody who waited for it, and is tried anew", async () => {
    const pool = poolOf(10 * MB);
    let fails = true;
    const { loader } = loaderOf(10 * MB);
    const flaky: ModelLoader<string> = {
      ...loader,
      async load(place) {
        await settle();
        if (fails) throw new Error("disk gone");
        return loader.load(place);
      },
    };
    const both = await Promise.allSettled([pool.acquire("a", flaky), pool.acquire("a", flaky)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    fails = false;
    expect((await pool.acquire("a", flaky)).model).toBe("model on cpu");
    expect(pool.metrics()).toMatchObject({ failures: 1, loads: 1 });
  });

  test("a failed disposal releases the room and harms nobody", async () => {
    const pool = poolOf(10 * MB);
    const { loader } = loaderOf(10 * MB);
    const stubborn: ModelLoader<string> = {
      ...loader,
      load: async (place) => ({
        ...(await loader.load(place)),
        dispose: () => Promise.reject(new Error("stuck")),
      }),
    };
    (await pool.acquire("a", stubborn)).release();
    expect((await pool.acquire("b", loader)).key).toBe("b");
    expect(pool.metrics()).toMatchObject({ failures: 1, evictions: 1 });
  });

  test("counts what was measured: others make room, or the model asks again with its real size", async () => {
    const clock = manualClock();
    const pool = poolOf(100 * MB, { clock, timeoutMs: 1e9 });
    (await pool.acquire("idle", loaderOf(40 * MB).loader)).release();
    clock.advance(1);
    const grows = (bytes: number): ModelLoader<string> => ({ ...loaderOf(bytes).loader, weightBytes: 10 * MB });
    const grown = await pool.acquire("grown", grows(70 * MB));
    expect(pool.status().devices).toMatchObject([{ usedBytes: 70 * MB }]);
    const log: number[] = [];
    const waits = pool.acquire("late", {
      ...grows(60 * MB),
      load: async (place) => {
        log.push(pool.status().devices[0]!.usedBytes);
        return grows(60 * MB).load(place);
      },
    });
    await settle();
    expect(states(pool)).toEqual({ grown: "resident", late: "waiting" });
    grown.release();
    expect((await waits).key).toBe("late");
    // Reserved with the estimate at first, with the measured size the second time.
    expect(log).toEqual([81 * MB, 60 * MB]);
    await pool.cleanup();
    await expect(pool.acquire("huge", grows(101 * MB))).rejects.toMatchObject({ code: "MODEL_TOO_LARGE" });
  });

  test("what nobody used for long goes first, and by expire()", async () => {
    const clock = manualClock();
    const pool = poolOf(100 * MB, { clock, keepAliveMs: 5000 });
    for (const key of ["a", "b"]) (await pool.acquire(key, loaderOf(50 * MB).loader)).release();
    clock.advance(3000);
    (await pool.acquire("a", loaderOf(50 * MB).loader)).release();
    clock.advance(2000);
    (await pool.acquire("c", loaderOf(50 * MB).loader)).release();
    expect(states(pool)).toEqual({ a: "resident", c: "resident" });
    expect(pool.metrics()).toMatchObject({ expirations: 1, evictions: 0 });
    clock.advance(5000);
    expect((await pool.expire()).sort()).toEqual(["a", "c"]);
  });

  test("moves idle models to the cpu before it evicts, and takes a reduced form before it evicts", async () => {
    const clock = manualClock();
    const devices = [
      { id: "cuda:0", totalBytes: 100 * MB, reserveBytes: 0 },
      { id: "cpu", totalBytes: 60 * MB, reserveBytes: 0 },
    ];
    const pool = new ModelPool({ devices, clock, quantisation: "auto", timeoutMs: 1e9 });
    const log: string[] = [];
    const movable: ModelLoader<string> = {
      ...loaderOf(60 * MB).loader,
      devices: ["cuda:0"],
      load: async ({ device }) => ({
        model: "movable",
        bytes: 60 * MB,
        dispose: () => void log.push("dispose"),
        moveTo: async (to) => void log.push(`${device} -> ${to}`),
      }),
    };
    (await pool.acquire("a", movable)).release();
    clock.advance(1);
    const fixed = { ...loaderOf(60 * MB).loader, devices: ["cuda:0"], variants: { fp16: 30 * MB } };
    const b = await pool.acquire("b", fixed);
    expect(b.precision).toBe("full");
    expect(log).toEqual(["cuda:0 -> cpu"]);
    const a = await pool.acquire("a", movable);
    expect(a.device).toBe("cpu");
    a.release();
    b.release();
    const reduced = await pool.acquire("c", {
      ...fixed,
      load: async (place) => ({ ...(await fixed.load(place)), bytes: 33 * MB }),
    });
    expect(reduced).toMatchObject({ device: "cuda:0", precision: "fp16" });
    expect(pool.metrics()).toMatchObject({ offloads: 1, evictions: 0, loads: 3 });
    const none = new ModelPool({ devices: devices.slice(0, 1) });
    const big = { ...loaderOf(150 * MB).loader, variants: { fp16: 75 * MB } };
    await expect(none.acquire("d", big)).rejects.toMatchObject({ code: "MODEL_TOO_LARGE" });
  });

  test("a move that fails drops the model; who asks for it loads it again", async () => {
    const devices = [
      { id: "cuda:0", totalBytes: 10 * MB, reserveBytes: 0 },
      { id: "cpu", totalBytes: 10 * MB, reserveBytes: 0 },
    ];
    const pool = new ModelPool({ devices });
    const { loader } = loaderOf(10 * MB, { devices: ["cuda:0"] });
    const torn: ModelLoader<string> = {
      ...loader,
      load: async (place) => ({
        ...(await loader.load(place)),
        moveTo: async () => {
          await settle();
          throw new Error("no");
        },
      }),
    };
    (await pool.acquire("a", torn)).release();
    const b = pool.acquire("b", loader);
    const a = pool.acquire("a", torn);
    (await b).release();
    expect((await a).device).toBe("cuda:0");
    expect(pool.metrics()).toMatchObject({ failures: 1, offloads: 0, loads: 3 });
  });

  test("pinned models stay; cleanup leaves a share of the budget; evict drops one", async () => {
    const clock = manualClock();
    const pool = poolOf(100 * MB, { clock });
    (await pool.acquire("pinned", loaderOf(30 * MB, { pinned: true }).loader)).release();
    for (const key of ["a", "b", "c"]) {
      clock.advance(1);
      (await pool.acquire(key, loaderOf(20 * MB).loader)).release();
    }
    expect(await pool.cleanup({ target: 0.7 })).toEqual(["a"]);
    expect(await pool.evict("c")).toBe(true);
    expect(await pool.evict("c")).toBe(false);
    expect(await pool.cleanup()).toEqual(["b"]);
    expect(states(pool)).toEqual({ pinned: "resident" });
    await pool.close();
    expect(pool.status().models).toEqual([]);
  });

  test("closing waits for the leases and rejects who waits", async () => {
    const pool = poolOf(10 * MB);
    const { loader, log } = loaderOf(10 * MB);
    const held = await pool.acquire("held", loader);
    const waiting = pool.acquire("waiting", loader);
    const closed = pool.close();
    await expect(waiting).rejects.toMatchObject({ code: "INVALID_STATE" });
    expect(log).toEqual(["load cpu full"]);
    held.release();
    await closed;
    expect(log).toEqual(["load cpu full", "dispose"]);
  });
});

/** Models that check what the pool promises: one load at a time, bytes within the budget, nothing used after its disposal. */
function watchedModels({
  count,
  budget,
  sizeOf,
  fails,
}: {
  count: number;
  budget: number;
  sizeOf: (i: number) => number;
  fails: (load: number) => boolean;
}) {
  let loads = 0;
  let physical = 0;
  let loading = 0;
  const live = new Map<string, { alive: boolean }>();
  const problems: string[] = [];
  const check = (ok: boolean, what: string) => {
    if (!ok) problems.push(what);
  };
  const loaders = Array.from({ length: count }, (_, i): ModelLoader<{ i: number; alive: boolean }> => {
    const key = `m${i}`;
    return {
      weightBytes: sizeOf(i) / 1.1,
      async load() {
        check(++loading === 1, `two loads at once (${key})`);
        check(!live.has(key), `${key} loaded twice`);
        const mine = { i, alive: true };
        live.set(key, mine);
        physical += sizeOf(i);
        check(physical <= budget, `${physical} bytes of ${budget}`);
        await settle();
        loading--;
        if (fails(loads++)) {
          physical -= sizeOf(i);
          live.delete(key);
          throw new Error("injected");
        }
        return {
          model: mine,
          bytes: sizeOf(i),
          async dispose() {
            mine.alive = false;
            await settle();
            physical -= sizeOf(i);
            live.delete(key);
          },
        } satisfies LoadedModel<{ i: number; alive: boolean }>;
      },
    };
  });
  return { loaders, problems, physical: () => physical };
}

describe("under load", () => {
  test("10 models, room for 3, 5,000 requests from 16 callers, failures injected", async () => {
    const budget = 30 * MB;
    const { loaders, problems, physical } = watchedModels({
      count: 10,
      budget,
      sizeOf: () => 10 * MB,
      fails: (load) => load % 17 === 5,
    });
    const pool = poolOf(budget);
    let request = 0;
    let answered = 0;
    let failed = 0;
    const caller = async (seed: number) => {
      let state = seed;
      const random = () => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return state / 0x7fffffff;
      };
      while (request++ < 5000) {
        const i = Math.floor(random() ** 2 * 10);
        let lease: Lease<{ i: number; alive: boolean }>;
        try {
          lease = await pool.acquire(`m${i}`, loaders[i]!);
        } catch (error) {
          expect((error as Error).message).toBe("injected");
          failed++;
          continue;
        }
        for (let turns = Math.floor(random() * 3); turns > 0; turns--) await settle();
        if (lease.model.i !== i || !lease.model.alive) problems.push(`request for ${i} got ${lease.model.i}`);
        answered++;
        lease.release();
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => caller(i + 1)));
    expect(problems).toEqual([]);
    expect(answered + failed).toBe(5000);
    expect(answered).toBeGreaterThan(4000);
    expect(pool.status()).toMatchObject({ waiting: 0 });
    await pool.close();
    expect(physical()).toBe(0);
  });

  test("any sequence keeps the budget, serves everybody and loses no waiter", async () => {
    const step = fc.record({
      model: fc.nat(4),
      holdTurns: fc.nat(4),
      abortAfter: fc.option(fc.nat(3), { nil: null }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 5, maxLength: 5 }),
        fc.infiniteStream(fc.boolean()),
        async (steps, sizes, failures) => {
          const budget = 12 * MB;
          const iterator = failures[Symbol.iterator]();
          const { loaders, problems, physical } = watchedModels({
            count: 5,
            budget,
            sizeOf: (i) => sizes[i]! * MB,
            fails: () => iterator.next().value === true,
          });
          const pool = poolOf(budget);
          const outcomes = await Promise.all(
            steps.map(async ({ model, holdTurns, abortAfter }) => {
              const controller = new AbortController();
              const request = pool.acquire(`m${model}`, loaders[model]!, { signal: controller.signal });
              if (abortAfter !== null) {
                void (async () => {
                  for (let i = 0; i < abortAfter; i++) await settle();
                  controller.abort(new Error("aborted"));
                })();
              }
              try {
                const lease = await request;
                for (let i = 0; i < holdTurns; i++) await settle();
                if (!lease.model.alive || lease.model.i !== model) problems.push("a lease on another or a dead model");
                lease.release();
                return "served";
              } catch (error) {
                return (error as Error).message;
              }
            }),
          );
          expect(problems).toEqual([]);
          for (const outcome of outcomes) expect(["served", "injected", "aborted"]).toContain(outcome);
          expect(pool.status().waiting).toBe(0);
          await pool.close();
          expect(physical()).toBe(0);
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });
});
