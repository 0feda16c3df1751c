import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type FakeHub, startFakeHub } from "@seg/model-hub/testing";
import { loadOriginalSam, pretrainedSamDirectory, Sam, weightsHash } from "@seg/teachers";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { resolveTeacherBase } from "../src/hub/teacher-base.js";
import { runSeg, type SegRun } from "./run-seg.js";
import { writeTinyDataset } from "./tiny-dataset.js";

/** The small SAM under the repository's name of the large one: the same layout, a few MB. */
const repository = (id: string, licence: string) => {
  const folder = pretrainedSamDirectory();
  const files = Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
  return { id, licence, files };
};

let root: string;
let data: string;
let fake: FakeHub;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-teacher-base-"));
  fake = await startFakeHub({
    repos: [repository("facebook/sam-vit-base", "apache-2.0"), repository("wanglab/medsam-vit-base", "")],
  });
  // Masks alone: SAM alone is adapted.
  const masksOnly = (document: { annotations: Record<string, unknown>[] }) => {
    for (const annotation of document.annotations) delete annotation["bbox"];
  };
  data = (await writeTinyDataset(join(root, "dataset"), { count: 2, edit: masksOnly })).annotations;
});
beforeEach(() => {
  vi.stubEnv("HF_ENDPOINT", fake.url);
  vi.stubEnv("HF_HOME", join(root, "hf"));
  vi.stubEnv("SEG_HUB_HOME", join(root, "seg"));
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(() => {
  vi.unstubAllEnvs();
  fake.clearFaults();
});
afterAll(async () => {
  await fake.close();
  await rm(root, { recursive: true, force: true });
});
const train = (name: string, ...more: string[]) =>
  runSeg(
    ...["train-teacher", "--data", data, "--output", join(root, name), "--threads", "1", "--json"],
    ...["--steps", "1", "--batch", "1", "--lora.r", "2", ...more],
  );
const silent = { json: true, line() {}, progress() {}, settle() {}, event() {}, result() {} };
const last = ({ stdout }: SegRun) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
const models = ({ stdout }: SegRun) => last({ stdout } as SegRun).models as Record<string, unknown>[];

test("--list-models and --show-manager-status answer without data, network or training", async () => {
  const listed = await runSeg("train-teacher", "--list-models", "--json");
  expect(listed.code).toBe(0);
  const ids = models(listed).map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(["sam-tiny-synthetic", "sam_vit_b", "medsam", "grounding_dino_t"]));
  // What is found elsewhere in the catalogue but cannot be adapted is not offered.
  for (const id of ["sam2_tiny", "slimsam_77", "grounding_dino_t_onnx"]) expect(ids).not.toContain(id);
  const status = await runSeg("train-teacher", "--show-manager-status", "--json");
  expect(models(status).map(({ state }) => state)).toEqual(expect.arrayContaining(["absent"]));
  expect(last(status)).toMatchObject({ cacheBytes: 0, diskFree: expect.any(Number) });
  expect(fake.requests).toEqual([]);
  expect((await runSeg("train-teacher", "--output", join(root, "none"))).stderr).toContain("--data is required");
});

test("a model of the catalogue is fetched once, verified, adapted and found again", async () => {
  const words = `train-teacher --model sam-vit-base --method lora --epochs 1 --batch 2 --lora.r 2 --threads 1 --json`;
  const folders = [
    "--dataset",
    data,
    "--dataset-root",
    join(root, "dataset", "images"),
    "--output",
    join(root, "first"),
  ];
  const first = await runSeg(...words.split(" "), ...folders);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stderr).toContain("sam_vit_b: trying hf facebook/sam-vit-base");
  const folder = join(root, "first", "teachers");
  const record = JSON.parse(readFileSync(join(folder, "sam.json"), "utf8"));
  expect(resolve(folder, record.base)).toContain(join("hf", "hub", "models--facebook--sam-vit-base", "snapshots"));
  expect(JSON.parse(readFileSync(join(root, "first", "metadata.json"), "utf8")).bases.sam.sha256).toMatch(
    /^[0-9a-f]{64}$/,
  );
  const before = fake.requests.length;
  expect((await train("second", "--sam", "facebook/sam-vit-base")).stderr).toContain("sam_vit_b: in the cache");
  expect(fake.requests.length).toBe(before);
  const status = await runSeg("train-teacher", "--show-manager-status", "--json");
  expect(models(status)).toEqual(
    expect.arrayContaining([expect.objectContaining({ id: "sam_vit_b", state: "installed" })]),
  );
}, 120_000);

test("says what cannot be adapted, what needs consent and why nothing came; writes nothing", async () => {
  const refusal = async (...more: string[]) => {
    const run = await train("refused", ...more);
    expect(run.code).toBe(1);
    return run.stderr;
  };
  expect(await refusal("--sam", "sam2_tiny")).toMatch(/sam2_tiny is no SAM that can be adapted. Choose sam_vit_b/);
  expect(await refusal("--sam", "medsam")).toContain("--accept-licence");
  expect(await refusal("--sam", "nothing-like-it")).toContain('There is no SAM "nothing-like-');
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  expect(await refusal("--sam", "sam_vit_l")).toContain("sam_vit_l could not be installed from any source");
  expect(readdirSync(root)).not.toContain("refused");
});

test("where only the native checkpoint comes it is converted once, value by value", async () => {
  const checkpoint = fileURLToPath(new URL("../../teachers/test/fixtures/mobile-sam-tiny.pt", import.meta.url));
  const lines: string[] = [];
  const output = { ...silent, line: (text: string) => lines.push(text) };
  const ensure = async () => ({
    ...{ path: checkpoint, sha256: "a".repeat(64), format: "native", origin: "native example.org", wasCached: false },
    fallbacksTried: [{ source: "hf facebook/sam-vit-base", code: "SOURCE_UNAVAILABLE", message: "down" }],
  });
  const conversions = join(root, "converted");
  const resolveBase = () =>
    resolveTeacherBase({
      ...{ teacher: "sam", name: "sam_vit_b", manager: { ensure } as never, output, conversions },
    });
  const { folder } = await resolveBase();
  expect(folder).toBe(join(conversions, "a".repeat(64)));
  expect(readdirSync(conversions)).toHaveLength(1);
  expect(lines.join("\n")).toContain("converting the native checkpoint");
  const [converted, original] = [Sam.fromPretrained(folder), loadOriginalSam(checkpoint)];
  expect(converted.config).toEqual(original.config);
  expect(weightsHash(converted)).toBe(weightsHash(original));
  for (const sam of [converted, original]) sam.dispose();
  const { mtimeMs } = statSync(join(folder, "model.safetensors"));
  expect((await resolveBase()).folder).toBe(folder);
  expect(statSync(join(folder, "model.safetensors")).mtimeMs).toBe(mtimeMs);
  // Grounding DINO needs the tokenizer that lies beside the weights in the other layout.
  await expect(
    resolveTeacherBase({
      teacher: "grounding_dino",
      name: "grounding_dino_t",
      manager: { ensure } as never,
      conversions,
    }),
  ).rejects.toMatchObject({ code: "cli/teacher-native-only" });
});
