import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdaptedSam } from "../src/teacher/mask-teacher.js";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

let root: string;
let data: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-train-sam-"));
  const { annotations } = await writeTinyDataset(join(root, "dataset"), {
    count: 2,
    edit: (document) => {
      for (const annotation of document.annotations) delete annotation["bbox"];
    },
  });
  data = annotations;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const train = (name: string, ...more: string[]): Promise<SegRun> =>
  runSeg(
    ...["train-teacher", "--data", data, "--output", join(root, name), "--threads", "1"],
    ...["--steps", "1", "--batch", "1", ...more],
  );

test("full: every weight, in a folder that loads by itself; a required gate that was not measured fails the run", async () => {
  const run = await train("full", "--method", "full", "--require_teacher_gate");
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(/The teacher misses its gate: mask IoU was not measured: give --val/);
  const folder = join(root, "full", "teachers");
  expect(json(folder, "sam.json")).toEqual({
    version: 1,
    base: "sam_full",
    adapter: null,
    zoom: { context: 2.5, least: 16 },
  });
  expect(json(folder, "sam_metrics.json")).toMatchObject({ trainableShare: 1, merge: null });
  const loaded = await loadAdaptedSam(join(root, "full"));
  expect(loaded!.zoom).toEqual({ context: 2.5, least: 16 });
  expect(loaded!.sizeBytes).toBeGreaterThan(4 * 1_383_000);
  loaded!.sam.dispose();
}, 60_000);

test("qlora: the memory figure, and what the adapter reaches on the original base", async () => {
  const run = await train(
    "four-bits",
    ...["--val", data],
    ...["--method", "qlora", "--lora.r", "2"],
    ...["--sam.preset", "decoder-self"],
    ...["--sam.zoom", "0"],
  );
  expect(run.code, run.stderr).toBe(0);
  const printed = run.stdout + run.stderr;
  expect(printed).toMatch(/MB \(4\.50 bits a weight\)/);
  expect(printed).toMatch(/merged {6}into the original base: all +4 +IoU/);
  const folder = join(root, "four-bits", "teachers");
  expect(json(folder, "sam.json")).toMatchObject({ base: "sam-tiny-synthetic", adapter: "sam_lora", zoom: null });
  expect(json(folder, "sam_lora", "adapter_config.json")).toMatchObject({ r: 2 });
  const metrics = json(folder, "sam_metrics.json");
  expect(metrics.afterOnOriginalBase.instances).toBe(4);
  expect(metrics.afterOnOriginalBase.perClass.map((c: { name: string }) => c.name)).toEqual(["bar", "square"]);
}, 60_000);

test("an unknown preset is refused by name", async () => {
  const run = await train("none", "--sam.preset", "all");
  expect(run.code).toBe(2);
  expect(run.stderr).toMatch(/--sam.preset is one of decoder-self, .*; got "all"/);
});
