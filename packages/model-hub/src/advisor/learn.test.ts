import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { describeDatabases, temporaryDirectory } from "../../test/databases.js";
import { manualClock } from "../../test/open-registry.js";
import type { SqlDriver } from "../sql/driver.js";
import type { DatasetFingerprint } from "./fingerprint.js";
import { type LearnedRun, learnFrom, rewardOf } from "./learn.js";
import { LearningStore } from "./learning-store.js";

const spread = { count: 1, min: 0, p5: 0, p25: 0, p50: 3, p75: 0, p95: 0, max: 0, mean: 0 };
const dataOf = (more: Partial<DatasetFingerprint> = {}): DatasetFingerprint =>
  ({
    images: 300,
    annotations: 900,
    classes: 3,
    objects_per_image: spread,
    short_side_p10: 0.1,
    small_share: 0,
    overlap_share: 0,
    gini: 0,
    imbalance: 1,
    has_bbox: true,
    has_segmentation: true,
    ...more,
  }) as DatasetFingerprint;

const NOW = Date.UTC(2026, 10, 27);
const DAY = 24 * 3600 * 1000;
const METRIC = "box mAP50, test";

let count = 0;
const run = (more: Partial<LearnedRun> = {}): LearnedRun => ({
  run_id: `r${count++}`,
  user: null,
  fingerprint: dataOf(),
  used: {},
  metric: 0.5,
  metric_definition: METRIC,
  rating: null,
  finished_at: NOW,
  ...more,
});

const learn = (runs: readonly LearnedRun[], choices: Parameters<typeof learnFrom>[0]["choices"], more: object = {}) =>
  learnFrom({ runs, fingerprint: dataOf(), choices, metric_definition: METRIC, now: NOW, ...more });

/** Noise that is the same with every run of the test. */
function* noise(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    yield state / 0x7fffffff - 0.5;
  }
}

describe("rewardOf", () => {
  test("half metric, half rating; the metric where nobody rated; nothing for a failure", () => {
    expect(rewardOf({ metric: 0.6, rating: null })).toBe(0.6);
    expect(rewardOf({ metric: 0.6, rating: 5 })).toBeCloseTo(0.8, 12);
    expect(rewardOf({ metric: null, rating: null })).toBe(0);
    expect(rewardOf({ metric: 0.6, rating: 1 })).toBe(0.3);
  });
});

describe("learnFrom", () => {
  /** 30 runs in which the small student is as good as the rules' one, or better. */
  function thirty(better: number): LearnedRun[] {
    const random = noise(11);
    return Array.from({ length: 30 }, (_, i) => {
      const student = i % 2 === 0 ? "yolov8s" : "yolov8n";
      const metric = 0.7 + (student === "yolov8n" ? better : 0) + 0.02 * random.next().value!;
      return run({ used: { student }, metric, finished_at: NOW - (60 - i) * DAY });
    });
  }

  test("after 30 runs in which one choice is better the recommendation moves to it, and back after feedback against it", () => {
    const runs = thirty(0.08);
    const [adjustment] = learn(runs, { student: "yolov8s" });
    expect(adjustment).toMatchObject({ output: "student", from: "yolov8s", to: "yolov8n", runs: 30, distance: 0 });
    expect(adjustment!.trust).toBeCloseTo(30 / 35, 12);
    expect(adjustment!.reason).toMatch(
      /^on similar data yolov8n was rewarded 0\.7\d in 15 runs, yolov8s 0\.(69|70|71) in 15$/,
    );
    // Five users run what is now recommended and are not content.
    const against = Array.from({ length: 5 }, (_, i) =>
      run({ user: `user ${i}`, used: { student: "yolov8n" }, metric: 0.78, rating: 1, finished_at: NOW - i }),
    );
    expect(learn([...runs, ...against], { student: "yolov8s" })).toEqual([]);
  });

  test("what differs by chance moves nothing, nor do few runs", () => {
    expect(learn(thirty(0), { student: "yolov8s" })).toEqual([]);
    const few = thirty(0.3).slice(0, 4);
    expect(learn(few, { student: "yolov8s" })).toEqual([]);
  });

  test("numbers move towards what was rewarded, rates in logarithms, by n / (n + 5)", () => {
    const runs = Array.from({ length: 5 }, () => run({ used: { learning_rate: 0.01, lora_epochs: 40 }, metric: 0.9 }));
    const [rate, epochs] = learn(runs, { learning_rate: 0.001, lora_epochs: 20 });
    expect(rate).toMatchObject({ output: "learning_rate", trust: 0.5 });
    expect(rate!.to).toBeCloseTo(Math.sqrt(0.001 * 0.01), 6);
    expect(epochs!.to).toBe(30);
  });

  test("near data count more than far ones, new runs more than old ones", () => {
    const far = dataOf({ images: 100_000, annotations: 5e6, small_share: 0.9, short_side_p10: 0.001 });
    const near = (epochs: number, more: Partial<LearnedRun> = {}) =>
      run({ used: { lora_epochs: epochs }, metric: 1, ...more });
    const runs = [near(40), near(40), near(10, { fingerprint: far }), near(10, { fingerprint: far })];
    expect(Number(learn(runs, { lora_epochs: 40 })[0]?.to ?? 40)).toBeGreaterThan(36);
    const old = [near(40, { finished_at: NOW - 180 * DAY }), near(10)];
    // Half the weight of the new one: 20 on average, with 2 / 7 of the say.
    expect(learn(old, { lora_epochs: 20 })).toEqual([]);
    const [adjustment] = learn([near(40, { finished_at: NOW - 360 * DAY }), near(10)], { lora_epochs: 20 });
    expect(adjustment!.to).toBe(19);
  });

  test("one user of six has a fifth of the say, whatever he repeats", () => {
    const others = Array.from({ length: 5 }, (_, i) =>
      run({ user: `u${i}`, used: { lora_epochs: 20 }, metric: 1, finished_at: NOW + i }),
    );
    const one = Array.from({ length: 200 }, (_, i) =>
      run({ user: "loud", used: { lora_epochs: 50 }, metric: 1, finished_at: NOW - 1000 - i }),
    );
    expect(learn([...others, ...one], { lora_epochs: 20 })).toEqual([]);
    const mixed = [
      ...others.slice(0, 4),
      run({ user: "loud", used: { lora_epochs: 50 }, metric: 1, finished_at: NOW + 9 }),
    ];
    expect(Number(learn(mixed, { lora_epochs: 20 })[0]!.to)).toBeLessThanOrEqual(20 + 0.5 * 0.2 * 30 + 0.5);
  });

  test("other metrics, protected outputs and lists stay out", () => {
    const runs = thirty(0.1);
    expect(
      learn(
        runs.map((r) => ({ ...r, metric_definition: "val loss" })),
        { student: "yolov8s" },
      ),
    ).toEqual([]);
    expect(learn(runs, { student: "yolov8s" }, { protect: ["student"] })).toEqual([]);
    expect(learn(runs, { characteristics: ["low_contrast"], image_size: 640 })).toEqual([]);
  });

  test("a number never leaves the range of rule and runs; the same runs give the same result", () => {
    const some = fc.record({
      epochs: fc.integer({ min: 1, max: 100 }),
      metric: fc.double({ min: 0, max: 1, noNaN: true }),
      age: fc.nat(900),
    });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 30 }), fc.integer({ min: 1, max: 100 }), (list, rule) => {
        const runs = list.map(({ epochs, metric, age }) =>
          run({ used: { lora_epochs: epochs }, metric, finished_at: NOW - age * DAY }),
        );
        const result = learn(runs, { lora_epochs: rule });
        expect(learn(runs, { lora_epochs: rule })).toEqual(result);
        const values = [rule, ...list.map(({ epochs }) => epochs)];
        for (const { to } of result) {
          expect(to).toBeGreaterThanOrEqual(Math.min(...values));
          expect(to).toBeLessThanOrEqual(Math.max(...values));
        }
      }),
      { numRuns: 100, seed: 5 },
    );
  });
});

describeDatabases("LearningStore", (database) => {
  const directory = temporaryDirectory();
  let sql: SqlDriver;
  let store: LearningStore;
  let log: string;
  let files = 0;
  const clock = manualClock(NOW);
  beforeEach(async () => {
    sql = await database.open();
    log = join(directory.path, `feedback-${files++}.jsonl`);
    store = new LearningStore({ sql, log, clock });
  });
  const plan = {
    id: "plan",
    choices: { student: "yolov8s", batch: 16, characteristics: ["low_contrast", "changes_size"] },
  };
  const begin = (run_id: string, more: Partial<Parameters<LearningStore["begin"]>[0]> = {}) =>
    store.begin({ run_id, plan, fingerprint: dataOf(), ...more });

  test("remembers runs, what was changed, and how they ended", async () => {
    await begin("a", { used: { student: "yolov8n" }, adapters: ["lora-1"], created_by: "ada" });
    await begin("b", { created_by: "ada" });
    expect(await store.runs(METRIC)).toEqual([]);
    await store.finish("a", { metric: 0.75, metric_definition: METRIC });
    clock.advance(1000);
    await store.finish("b", null);
    const used = { batch: 16, characteristics: "low_contrast changes_size" };
    expect(await store.runs(METRIC)).toMatchObject([
      { run_id: "b", metric: null, used: { ...used, student: "yolov8s" } },
      {
        run_id: "a",
        metric: 0.75,
        rating: null,
        user: "ada",
        used: { ...used, student: "yolov8n" },
        fingerprint: dataOf(),
      },
    ]);
    expect((await store.runs("another metric")).map(({ run_id }) => run_id)).toEqual(["b"]);
    await expect(begin("a")).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(store.finish("nobody", null)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(store.finish("a", { metric: 75, metric_definition: METRIC })).rejects.toMatchObject({
      code: "INVALID_METRIC",
    });
  });

  test("feedback is kept, logged, counted and shown as statistics", async () => {
    await begin("a", { adapters: ["lora-1", "lora-2"], used: { student: "yolov8n" } });
    await begin("b", { adapters: ["lora-1"], used: { student: "yolov8n", batch: 8 } });
    await store.finish("a", { metric: 0.9, metric_definition: METRIC });
    await store.finish("b", null);
    await store.give({
      run_id: "a",
      rating: 5,
      quality: 4,
      tags: ["sharp"],
      actions: ["deployed", "saved"],
      created_by: "ada",
    });
    await store.give({ run_id: "a", rating: 4, comment: "good", tags: ["sharp", "fast"] });
    await store.give({ run_id: "b", rating: 1 });
    expect(await store.feedbackOn("a")).toMatchObject([
      { rating: 5, created_by: "ada" },
      { rating: 4, comment: "good", actions: [] },
    ]);
    expect((await store.runs(METRIC)).map(({ rating }) => rating)).toEqual(
      [4.5, 1]
        .sort(() => 0)
        .reverse()
        .reverse(),
    );
    expect(await store.adapterHistory()).toEqual(
      new Map([
        ["lora-1", { runs: 2, successes: 1, averageRating: 2.75 }],
        ["lora-2", { runs: 1, successes: 1, averageRating: 4.5 }],
      ]),
    );
    const month = new Date(clock.now()).toISOString().slice(0, 7);
    expect(await store.statistics()).toEqual({
      runs: 2,
      succeeded: 1,
      failed: 1,
      feedback: 3,
      ratings: { rating: 10 / 3, quality: 4, accuracy: null, aesthetic: null },
      trend: [{ month, count: 3, rating: 10 / 3 }],
      top_adapters: [
        { adapter: "lora-2", runs: 1, successes: 1, averageRating: 4.5 },
        { adapter: "lora-1", runs: 2, successes: 1, averageRating: 2.75 },
      ],
      most_adjusted: [
        { output: "student", count: 2, to: "yolov8n" },
        { output: "batch", count: 1, to: 8 },
      ],
      actions: { deployed: 1, saved: 1 },
      tags: { sharp: 2, fast: 1 },
    });
    const lines = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ run_id, rating }) => [run_id, rating])).toEqual([
      ["a", 5],
      ["a", 4],
      ["b", 1],
    ]);
  });

  test("refuses feedback that is nothing, out of range, or about an unknown run", async () => {
    await begin("a");
    await expect(store.give({ run_id: "a" })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message: expect.stringContaining("says nothing"),
    });
    await expect(store.give({ run_id: "a", rating: 6 })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(store.give({ run_id: "a", actions: ["eaten" as never] })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    await expect(store.give({ run_id: "b", rating: 3 })).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await store.feedbackOn("a")).toEqual([]);
  });

  test("gives a user his data, and forgets him", async () => {
    await begin("a", { created_by: "ada", adapters: ["x"], used: { batch: 4 } });
    await begin("b", { created_by: "bob" });
    await store.give({ run_id: "a", rating: 3, created_by: "ada" });
    await store.give({ run_id: "b", rating: 4, created_by: "ada" });
    await store.give({ run_id: "a", rating: 2, created_by: "bob" });
    const own = await store.exportUser("ada");
    expect(own.runs).toMatchObject([{ run_id: "a", used: { batch: 4 }, adapters: ["x"] }]);
    expect(own.feedback.map(({ run_id, rating }) => [run_id, rating])).toEqual([
      ["a", 3],
      ["b", 4],
    ]);
    expect(await store.deleteUser("ada")).toEqual({ runs: 1, feedback: 3 });
    expect(await store.exportUser("ada")).toEqual({ runs: [], feedback: [] });
    expect(await store.statistics()).toMatchObject({ runs: 1, feedback: 0, most_adjusted: [], top_adapters: [] });
    expect(readFileSync(log, "utf8")).toContain('"deleted":"ada"');
  });
});
