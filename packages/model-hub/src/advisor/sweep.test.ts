import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { DEFAULT_SPACE, planTrials } from "./plan-trials.js";
import { runSweep, type SweepEvent } from "./run-sweep.js";

const root = mkdtempSync(join(tmpdir(), "seg-sweep-"));
let count = 0;
const fresh = () => join(root, String(count++));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const paramsOf = (trials: ReturnType<typeof planTrials>) => trials.map(({ params }) => params);

describe("planTrials", () => {
  test("seeds, grids, adapters", () => {
    expect(paramsOf(planTrials({ variation: { kind: "seed", count: 3 }, base: { seed: 7, lr0: 0.01 } }))).toEqual([
      { seed: 7, lr0: 0.01 },
      { seed: 8, lr0: 0.01 },
      { seed: 9, lr0: 0.01 },
    ]);
    expect(paramsOf(planTrials({ variation: { kind: "grid", values: { a: [1, 2], b: ["x", null] } } }))).toEqual([
      { a: 1, b: "x" },
      { a: 1, b: null },
      { a: 2, b: "x" },
      { a: 2, b: null },
    ]);
    expect(paramsOf(planTrials({ variation: { kind: "adapter", adapters: ["p", "q"] } }))).toEqual([
      { adapter: "p" },
      { adapter: "q" },
    ]);
  });

  test("mixed: the product, in an order that the seed decides", () => {
    const mixed = (seed: number) =>
      planTrials({
        variation: {
          kind: "mixed",
          of: [
            { kind: "seed", count: 3 },
            { kind: "adapter", adapters: ["p", "q"] },
          ],
        },
        seed,
      });
    expect(mixed(1)).toEqual(mixed(1));
    expect(mixed(1)).not.toEqual(mixed(2));
    const pairs = mixed(2).map(({ params }) => `${Number(params["seed"]) - 2}${params["adapter"]}`);
    expect(pairs.sort()).toEqual(["0p", "0q", "1p", "1q", "2p", "2q"]);
  });

  test("a Latin hypercube: trial 0 are the defaults, every slice of every range has one trial", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 32 }), fc.integer(), (trials, seed) => {
        const planned = planTrials({ variation: { kind: "param", count: trials }, seed });
        expect(planned).toHaveLength(trials);
        expect(planned[0]!.params).toEqual({});
        for (const [name, { min, max, scale }] of Object.entries(DEFAULT_SPACE)) {
          const slices = planned.slice(1).map(({ params }) => {
            const value = params[name] as number;
            const share = scale === "log" ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min);
            return Math.min(trials - 2, Math.floor(share * (trials - 1) + 1e-9));
          });
          expect(slices.sort((a, b) => a - b)).toEqual(Array.from({ length: trials - 1 }, (_, i) => i));
        }
      }),
      { numRuns: 50, seed: 1 },
    );
  });

  test("refuses too many, none, and ranges that are none", () => {
    expect(() => planTrials({ variation: { kind: "seed", count: 33 } })).toThrow(/33 trials; at most 32/);
    expect(planTrials({ variation: { kind: "seed", count: 33 }, maxTrials: 40 })).toHaveLength(33);
    expect(() => planTrials({ variation: { kind: "adapter", adapters: [] } })).toThrow(/no trial/);
    const range = (min: number, max: number) =>
      planTrials({ variation: { kind: "param", count: 3, space: { x: { min, max, scale: "log" } } } });
    expect(() => range(0, 1)).toThrow(/"x"/);
    expect(() => range(2, 1)).toThrow(/lower bound/);
  });
});

describe("runSweep", () => {
  const trials = planTrials({ variation: { kind: "grid", values: { value: [3, 1, 4, 1.5, 9, 2.6] } } });

  test("ranks the trials, tells of each, and saves it as it ends; one failure stops no other", async () => {
    const directory = fresh();
    const events: SweepEvent[] = [];
    const { ranking, best } = await runSweep({
      trials,
      directory,
      concurrency: 3,
      onEvent: (event) => events.push(event),
      async run({ params }) {
        if (params["value"] === 4) throw new Error('no memory, "again"');
        return Number(params["value"]);
      },
    });
    expect(ranking.map(({ metric }) => metric)).toEqual([9, 3, 2.6, 1.5, 1, null]);
    expect(best).toMatchObject({ metric: 9, params: { value: 9 } });
    expect(ranking.at(-1)).toMatchObject({ state: "failed", error: 'no memory, "again"' });
    expect(events.filter(({ type }) => type === "trial")).toHaveLength(6);
    expect(readdirSync(directory).filter((name) => name.startsWith("trial-"))).toHaveLength(6);
    expect(readFileSync(join(directory, "results.csv"), "utf8").split("\n").slice(0, 2)).toEqual([
      "rank,trial,state,metric,value,error",
      "1,4,succeeded,9,9,",
    ]);
    expect(readFileSync(join(directory, "results.csv"), "utf8")).toContain('6,2,failed,,4,"no memory, ""again"""');
  });

  test("goes on where it was interrupted: what ended is not run again, what failed is", async () => {
    const directory = fresh();
    const ran: number[] = [];
    const controller = new AbortController();
    const run = async ({ index }: { index: number }) => {
      ran.push(index);
      if (index === 1 && ran.length < 3) throw new Error("once");
      if (index === 3 && !controller.signal.aborted) {
        controller.abort(new Error("Ctrl-C"));
        throw new Error("killed");
      }
      return index;
    };
    await expect(runSweep({ trials, directory, run, signal: controller.signal })).rejects.toThrow("Ctrl-C");
    expect(ran).toEqual([0, 1, 2, 3]);
    const { ranking } = await runSweep({ trials, directory, run });
    expect(ran.slice(4)).toEqual([1, 3, 4, 5]);
    expect(ranking.map(({ index }) => index)).toEqual([5, 4, 3, 2, 1, 0]);
  });

  test("ends hopeless trials early, never the best", async () => {
    const steps = new Map<number, number>();
    const { ranking, best } = await runSweep({
      trials,
      prune: { minSteps: 2, minTrials: 3 },
      async run({ params }, { report }) {
        const value = Number(params["value"]);
        for (let step = 1; step <= 10; step++) {
          steps.set(value, step);
          report(value * (1 - 0.5 ** step));
        }
        return value;
      },
    });
    expect(best?.metric).toBe(9);
    // 3, 1 and 4 ran to their end; 1.5 is below the median of them, 2.6 as well.
    expect(Object.fromEntries(steps)).toEqual({ 3: 10, 1: 10, 4: 10, 1.5: 2, 9: 10, 2.6: 2 });
    expect(ranking.filter(({ state }) => state === "pruned").map(({ params }) => params["value"])).toEqual([2.6, 1.5]);
  });
});
