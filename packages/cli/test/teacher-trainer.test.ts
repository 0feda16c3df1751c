import { existsSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrainingContext } from "@seg/model-hub";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { teacherMetrics, trainer } from "../src/hub/teacher-trainer.js";
import { loadAdaptedSam } from "../src/teacher/mask-teacher.js";
import { writeTinyDataset } from "./tiny-dataset.js";
import { runTrainer, trainingContext } from "./train-by-hub.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-teacher-trainer-"));
  const folder = join(root, "datasets", "tiny");
  await writeTinyDataset(folder, {
    count: 5,
    edit: (document) => {
      for (const annotation of document.annotations) delete annotation["bbox"];
    },
  });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const context = (name: string, more: Parameters<typeof trainingContext>[2] = {}) => trainingContext(root, name, more);
const run = (value: TrainingContext) => runTrainer(trainer, value);

test("adapts what the annotations call for; the version is a teacher folder and a PEFT folder", async () => {
  const { value, outputDirectory, saved, log } = context("whole");
  const { seen, result } = await run(value);
  expect(seen[0]).toEqual({ phase: "preparing" });
  expect(seen.at(-1)).toEqual({ phase: "saving" });
  const steps = seen.filter(({ phase }) => phase === "training");
  expect(steps.map(({ epoch }) => epoch)).toEqual([1, 2]);
  expect(steps.at(-1)).toMatchObject({ step: 1000, steps: 1000, metrics: { loss: expect.any(Number) } });
  expect(saved.length).toBeGreaterThan(0);
  expect(log.join("\n")).toContain("trainable of");
  expect(result).toMatchObject({
    metric_definition_id: "teachers-val:sam",
    split_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    parents: { teacher: "sam-tiny-synthetic" },
    params: { adapters: ["finetuned-sam-tiny-synthetic-lora-tiny"], learning_rate_used: { sam: expect.any(Number) } },
  });
  expect(result.metrics.mask_iou).toBeGreaterThan(0);
  expect(result.metrics.map50).toBeNull();
  const folder = join(outputDirectory, "finetuned-sam-tiny-synthetic-lora-tiny");
  for (const file of ["adapter_model.safetensors", "preprocessor_config.json"])
    expect(existsSync(join(folder, file))).toBe(true);
  expect(JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"))).toMatchObject({ r: 2, lora_alpha: 4 });
  expect(parse(readFileSync(join(folder, "README.md"), "utf8").split("---\n")[1]!)).toMatchObject({
    base_model: "sam-tiny-synthetic",
    base_model_relation: "adapter",
    pipeline_tag: "mask-generation",
    datasets: ["tiny"],
  });
  expect(existsSync(join(outputDirectory, "metadata.json"))).toBe(false);
  // The run that made it is gone afterwards: the version must stand alone.
  rmSync(join(root, "whole", "teacher"), { recursive: true });
  const loaded = await loadAdaptedSam(outputDirectory);
  expect(loaded?.hash).toMatch(/^[0-9a-f]{64}$/);
  loaded?.sam.dispose();
}, 120_000);

test("an aborted run saves its state and goes on from there", async () => {
  const stop = new AbortController();
  const first = context("resumed", { signal: stop.signal });
  const training = trainer.train(first.value);
  await expect(
    (async () => {
      for (let next = await training.next(); !next.done; next = await training.next())
        if (next.value.phase === "training") stop.abort(new DOMException("cancelled", "AbortError"));
    })(),
  ).rejects.toThrow();
  const second = context("resumed");
  const { result } = await run(second.value);
  expect(second.log.join("\n")).toContain("resumed");
  const whole = context("uninterrupted");
  expect(result.metrics).toEqual((await run(whole.value)).result.metrics);
}, 240_000);

test("starts from published weights only", async () => {
  await expect(run(context("base", { baseDirectory: root }).value)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

describe("teacherMetrics", () => {
  test("boxes are Grounding DINO's, masks SAM's, what was not measured is null", () => {
    expect(
      teacherMetrics({ grounding_dino: { after: { mAP50: 0.9, mAP: 0.6 } }, sam: { after: { meanIou: 0.8 } } }, 0.2),
    ).toEqual({
      map50: 0.9,
      map50_95: 0.6,
      mask_iou: 0.8,
      loss: 0.2,
    });
    expect(teacherMetrics({ sam: { after: null } }, Number.NaN)).toEqual({
      map50: null,
      map50_95: null,
      mask_iou: null,
      loss: null,
    });
  });
});
