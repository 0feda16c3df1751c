import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

let root: string;
let data: string;
let first: SegRun;
const experiment = (name: string) => join(root, name);
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const last = ({ stdout }: SegRun) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-train-teacher-"));
  const { annotations } = await writeTinyDataset(join(root, "dataset"), {
    count: 2,
    edit: (document) => {
      for (const annotation of document.annotations) delete annotation["segmentation"];
    },
  });
  data = annotations;
  first = await runSeg(
    ...["train-teacher", "--data", data, "--val", data, "--output", experiment("one"), "--threads", "1", "--json"],
    ...["--epochs", "1", "--batch", "2", "--lora.r", "2", "--grounding_dino.preset", "decoder-self"],
    ...["--retention.prompts", "circle"],
  );
}, 300_000);
afterAll(() => rm(root, { recursive: true, force: true }));

test("boxes alone adapt Grounding DINO alone, with everything that a later command needs", () => {
  expect(first.code, first.stderr).toBe(0);
  expect(last(first)).toMatchObject({ command: "train-teacher", adapted: ["grounding_dino"] });
  const folder = join(experiment("one"), "teachers");
  expect(json(folder, "decisions.json").fineTune).toEqual(["grounding_dino"]);
  expect(json(folder, "grounding_dino.json")).toMatchObject({
    base: "grounding-dino-tiny-synthetic",
    adapter: "grounding_dino_lora",
    phrases: ["bar", "square"],
  });
  expect(json(folder, "grounding_dino_lora", "adapter_config.json")).toMatchObject({
    peft_type: "LORA",
    r: 2,
    lora_alpha: 4,
  });
  const metrics = json(folder, "grounding_dino_metrics.json");
  expect(metrics.before.perClass.map((c: { name: string }) => c.name)).toEqual(["bar", "square"]);
  expect(metrics.thresholds).toHaveLength(2);
  expect(metrics.retention.labelled).toBe(null);
  expect(metrics.retention.agreement.reference).toBeGreaterThanOrEqual(0);
  expect(metrics.trainableShare).toBeLessThan(0.02);
  expect(existsSync(join(folder, "sam_lora"))).toBe(false);
});

test("the resolved configuration can be given back, and the metadata names data and base", () => {
  const config = parse(readFileSync(join(experiment("one"), "teacher_config.yaml"), "utf8"));
  expect(config).toMatchObject({
    data,
    epochs: 1,
    lora: { r: 2 },
    method: "lora",
    grounding_dino: { preset: "decoder-self" },
  });
  const metadata = json(experiment("one"), "metadata.json");
  expect(metadata.data).toMatchObject({ images: 2, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(metadata.bases.grounding_dino.sha256).toMatch(/^[0-9a-f]{64}$/);
});

test("wrong settings are refused before anything is computed", async () => {
  const config = join(root, "wrong.yaml");
  writeFileSync(config, "lora: { rank: 4 }\n");
  const base = ["train-teacher", "--data", data, "--output", experiment("none")];
  const cases: [string[], RegExp][] = [
    [["--config", config], /"lora.rank" is no option/],
    [["--method", "magic"], /--method is one of lora, qlora, full; got "magic"/],
    [["--grounding_dino.preset", "all"], /--grounding_dino.preset is one of decoder-self/],
    [["--lora.r", "0"], /--lora.r must be a whole number, at least 1/],
    [["--teacher", "/nowhere/dino"], /No Grounding DINO in \/nowhere\/dino/],
  ];
  for (const [extra, message] of cases) {
    const run = await runSeg(...base, ...extra);
    expect(run.code).not.toBe(0);
    expect(run.stderr).toMatch(message);
  }
  expect(existsSync(experiment("none"))).toBe(false);
});
