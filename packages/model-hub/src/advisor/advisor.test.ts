import { beforeEach, describe, expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import { manualClock } from "../../test/open-registry.js";
import { type AdviceRequest, Advisor } from "./advisor.js";
import type { DatasetFingerprint } from "./fingerprint.js";
import { LearningStore } from "./learning-store.js";

const spread = (p50: number) => ({
  count: 900,
  min: 0,
  p5: p50,
  p25: p50,
  p50,
  p75: p50,
  p95: p50,
  max: p50,
  mean: p50,
});
const fingerprint = {
  schema: 1,
  images: 600,
  negatives: 0,
  annotations: 1800,
  classes: 2,
  class_names: ["RBC", "WBC"],
  has_bbox: true,
  has_segmentation: false,
  crowd_share: 0,
  image_width: spread(640),
  image_height: spread(480),
  relative_area: spread(0.03),
  relative_short_side: spread(0.1),
  short_side_p10: 0.1,
  objects_per_image: spread(3),
  images_per_class_min: 100,
  imbalance: 1,
  gini: 0,
  small_share: 0,
  overlap_share: 0,
  appearance: null,
  dataset_sha256: "0".repeat(64),
} satisfies DatasetFingerprint;
const request: AdviceRequest = { fingerprint, task: "count blood cells under the microscope" };

describe("Advisor", () => {
  test("auto decides; the task names the domain", async () => {
    const plan = await new Advisor().recommend({ ...request, mode: "auto" });
    expect(plan).toMatchObject({ mode: "auto", state: "confirmed", expires_at: null, adjustments: [], adapters: null });
    expect(plan.analysis?.intent.domain).toBe("medical");
    expect(plan.choices).toMatchObject({ student: "yolov8s", box_threshold: 0.25 });
  });

  test("without a task the names of the classes may name the domain; what a person says wins", async () => {
    const flips = async (given: Partial<AdviceRequest>) =>
      (await new Advisor().recommend({ fingerprint, mode: "auto", ...given })).choices["flip_vertical"];
    const cells = { ...fingerprint, class_names: ["RBC", "WBC", "Platelets"] };
    expect(await flips({ fingerprint: cells })).toBe(0.5);
    expect(await flips({ fingerprint: cells, domain: "photographic" })).toBe(0);
    expect(await flips({ fingerprint: { ...fingerprint, class_names: ["cell phone", "dog"] } })).toBe(0);
  });

  test("assisted proposes, waits for a day, and takes changes with what follows from them", async () => {
    const clock = manualClock(Date.UTC(2026, 0, 1));
    const advisor = new Advisor({ clock });
    const proposal = await advisor.recommend(request);
    expect(proposal).toMatchObject({ state: "proposed", expires_at: "2026-01-02T00:00:00.000Z" });
    const confirmed = await advisor.confirm(proposal.id, { lora_epochs: 10 });
    expect(confirmed).toMatchObject({ mode: "assisted", state: "confirmed" });
    expect(confirmed.choices).toMatchObject({ lora_epochs: 10, student_epochs: 40, student: "yolov8s" });
    await expect(advisor.confirm(proposal.id)).rejects.toMatchObject({ code: "NOT_FOUND" });
    const again = await advisor.recommend(request);
    await expect(advisor.confirm(again.id, { lora_epoch: 1 })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    expect((await advisor.confirm(again.id)).choices).toEqual(proposal.choices);
    const late = await advisor.recommend(request);
    clock.advance(24 * 3600 * 1000);
    await expect(advisor.confirm(late.id)).rejects.toMatchObject({ code: "GONE" });
  });

  test("manual leaves everything as it is and only warns", async () => {
    const { choices, warnings } = await new Advisor().recommend({
      ...request,
      mode: "manual",
      overrides: { student: "yolov8m", lora_rank: 8, image_size: 320 },
      constraints: { maxLatencyMs: 100, gflopsPerSecond: 100 },
    });
    expect(choices).toMatchObject({ student: "yolov8m", lora_rank: 8, image_size: 320 });
    expect(warnings).toEqual([
      expect.stringMatching(/^student yolov8m is beyond the latency limit: it needs 198 of 100/),
    ]);
    const differs = await new Advisor().recommend({ ...request, mode: "manual", overrides: { lora_rank: 64 } });
    expect(differs.warnings).toEqual([
      expect.stringMatching(/^lora_rank is 64; the advisor would take 8: some hundred images/),
    ]);
  });

  test("a proposal is not carried out; a time is estimated where a step was measured", async () => {
    const advisor = new Advisor({ secondsPerStep: ({ choices }) => Number(choices["batch"]) / 16 });
    const proposal = await advisor.recommend(request);
    expect(proposal.estimates.training_seconds).toBe(proposal.estimates.steps);
    await expect(
      advisor.carryOut(proposal, { run_id: "r", fingerprint, run: async () => ({ metric: 1 }) }),
    ).rejects.toMatchObject({ code: "INVALID_STATE" });
    expect(advisor.explain(proposal, "minimal")).toMatch(/^yolov8s at 320 px/);
  });
});

describeDatabases("Advisor with experience", (database) => {
  let advisor: Advisor;
  let learning: LearningStore;
  const clock = manualClock(Date.UTC(2026, 0, 1));
  let runs = 0;
  beforeEach(async () => {
    learning = new LearningStore({ sql: await database.open(), clock });
    advisor = new Advisor({ learning, clock });
  });
  /** Runs a plan with one student; how it ends is given. */
  async function finish(student: string, metric: number, rating: number | null = null): Promise<void> {
    const run_id = `run-${runs++}`;
    const plan = await advisor.recommend({ ...request, mode: "auto", overrides: { student } });
    await advisor.carryOut(plan, { run_id, fingerprint, run: async () => ({ metric }) });
    if (rating !== null) await learning.give({ run_id, rating });
    clock.advance(3600_000);
  }
  const advised = async (more: Partial<AdviceRequest> = {}) => advisor.recommend({ ...request, mode: "auto", ...more });

  test("moves to what did better in 30 runs, says why, and back after feedback against it", async () => {
    expect((await advised()).choices["student"]).toBe("yolov8s");
    for (let i = 0; i < 15; i++) {
      await finish("yolov8s", 0.6 + 0.002 * (i % 5));
      await finish("yolov8n", 0.7 + 0.002 * (i % 5));
    }
    const plan = await advised();
    expect(plan.choices["student"]).toBe("yolov8n");
    expect(plan.trace.find(({ output }) => output === "student")).toMatchObject({
      kind: "history",
      rule_id: "history",
    });
    expect(advisor.explain(plan, "standard")).toMatch(/student +yolov8n - on similar data yolov8n was rewarded 0\.70/);
    // What the user decides stands, and history does not cross a limit.
    expect((await advised({ overrides: { student: "yolov8m" } })).choices["student"]).toBe("yolov8m");
    for (let i = 0; i < 5; i++) await finish("yolov8n", 0.7, 1);
    expect((await advised()).choices["student"]).toBe("yolov8s");
  });

  test("history gives way to limits", async () => {
    for (let i = 0; i < 15; i++) {
      await finish("yolov8s", 0.5);
      await finish("yolov8m", 0.9);
    }
    expect((await advised()).choices["student"]).toBe("yolov8m");
    const limited = await advised({ constraints: { maxLatencyMs: 100, gflopsPerSecond: 100 } });
    expect(limited.choices["student"]).toBe("yolov8s");
  });

  test("a run that fails is remembered as one, and its error goes on", async () => {
    const plan = await advised();
    const run = async () => {
      throw new Error("out of memory");
    };
    await expect(advisor.carryOut(plan, { run_id: "bad", fingerprint, run })).rejects.toThrow("out of memory");
    expect(await learning.statistics()).toMatchObject({ runs: 1, failed: 1 });
  });
});
