import { mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/databases.js";
import { runHub } from "../../../test/run-hub.js";
import { startFakeHub } from "../../testing/fake-hub.js";

const directory = temporaryDirectory();
let root: string;
let env: Record<string, string>;
beforeEach(() => {
  root = mkdtempSync(join(directory.path, "models-"));
  env = { SEG_HUB_HOME: join(root, "seg"), HF_HOME: join(root, "hf") };
});
const run = (...argv: string[]) => runHub(argv, { env });
const json = async (...argv: string[]) => JSON.parse((await run(...argv, "--json")).out);

test("lists the catalogue by role, tells the dual record and the state, without the network", async () => {
  const teachers = await json("models", "list", "--role", "box-teacher");
  expect(teachers.map(({ role }: { role: string }) => role)).toContain("box-teacher");
  expect((await run("models", "list", "--installed")).out).toBe("");
  expect(await json("models", "config", "sam-vit-base")).toEqual({
    hf_id: "facebook/sam-vit-base",
    manager_family: "sam",
    manager_variant: "vit_b",
    description: "Segment Anything, ViT-B",
  });
  const status = await json("models", "status", "facebook/sam-vit-base");
  expect(status).toMatchObject({ models: [{ id: "sam_vit_b", state: "absent", fallbacksTried: [] }], cacheBytes: 0 });
  expect(status.diskFree).toBeGreaterThan(0);
  expect((await run("models", "status", "sam_vit")).err).toContain("Did you mean");
  expect((await run("models", "config")).status).toBe(2);
});

test("installs, shows, verifies and removes a model under its repository's name", async () => {
  const files = { "model.safetensors": "weights", "config.json": "{}" };
  const fake = await startFakeHub({ repos: [{ id: "facebook/sam-vit-base", licence: "apache-2.0", files }] });
  env = { ...env, HF_ENDPOINT: fake.url };
  // Nothing native in an offline test: the repository is asked first and has everything.
  const installed = await run("models", "install", "sam-vit-base", "--prefer", "transformers");
  expect(installed).toMatchObject({ status: 0, err: expect.stringContaining("trying hf facebook/sam-vit-base") });
  expect(installed.out).toContain("(transformers, ");
  expect((await run("models", "list", "--installed")).out).toMatch(/^\* sam_vit_b /);
  expect((await run("models", "status", "--verify")).out).toMatch(/^installed +sam_vit_b /m);
  expect((await run("models", "verify")).out).toContain("2 files, 0.0 MB: intact");
  expect((await run("models", "remove", "sam-vit-base")).status).toBe(0);
  expect((await run("models", "status", "sam_vit_b")).out).toMatch(/^absent/);
  await fake.close();
});

test("simulate prints every step and leaves its folder; runtime names packages", async () => {
  const simulated = await run("simulate", "sam_vit_b", "--method", "qlora", "--epochs", "2", "--output", root);
  expect(simulated.status).toBe(0);
  expect(simulated.err.split("\n").map((line) => line.split(" ")[0])).toEqual([
    "cache",
    "download",
    "load",
    "adapter",
    "train",
    "train",
    "train",
    "save",
    "",
  ]);
  expect(readdirSync(simulated.out.trim())).toContain("adapter_model.safetensors");
  expect((await run("simulate", "sam_vit_b", "--method", "full")).status).toBe(2);
  expect((await json("models", "runtime", "sam_vit_b")).packages).toMatchObject([
    { name: "onnxruntime-node" },
    { name: "@tensorflow/tfjs" },
  ]);
});
