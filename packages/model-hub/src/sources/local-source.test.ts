import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { listFiles } from "../cache/cache-folder.js";
import { digestOfFiles } from "../download/install-model.js";
import { createHub } from "../hub.js";

const sha256Of = (text: string) => createHash("sha256").update(text).digest("hex");
const directory = temporaryDirectory();
let root: string;
let models: string;
beforeEach(() => {
  root = mkdtempSync(join(directory.path, "hub-"));
  models = join(root, "models");
  mkdirSync(join(models, "adapter"), { recursive: true });
  writeFileSync(join(models, "sam.onnx"), "onnx");
  writeFileSync(join(models, "notes.txt"), "no model");
  writeFileSync(join(models, "adapter", "adapter_config.json"), "{}");
  writeFileSync(join(models, "adapter", "adapter_model.safetensors"), "lora");
});
const hub = () =>
  createHub({
    env: {},
    environment: { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfToken: null },
    localRoots: [models],
  });

test("a file is hashed where it lies, nothing is copied", async () => {
  const path = join(models, "sam.onnx");
  const installed = await hub().download(path);
  expect(installed).toMatchObject({ source: "local", path, sha256: sha256Of("onnx"), bytes: 4, verified: false });
  expect(await listFiles(join(root, "seg"))).toEqual([]);
});

test("a folder is one model of all its files", async () => {
  const { files, sha256 } = await hub().download(`local:${join(models, "adapter")}`);
  const expected = [
    { name: "adapter_config.json", sha256: sha256Of("{}") },
    { name: "adapter_model.safetensors", sha256: sha256Of("lora") },
  ];
  expect(files.map(({ name, sha256: digest }) => ({ name, sha256: digest }))).toEqual(expected);
  expect(sha256).toBe(digestOfFiles(expected));
});

test("what does not exist is said so", async () => {
  await expect(hub().download("./absent.onnx")).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("a search looks through the given folders and knows adapters", async () => {
  const { hits } = await hub().search({ sources: ["local"] });
  expect(hits.map(({ id, kind }) => [id, kind])).toEqual([
    [`local:${join(models, "adapter", "adapter_model.safetensors")}`, "lora"],
    [`local:${join(models, "sam.onnx")}`, "onnx"],
  ]);
  expect((await hub().search({ sources: ["local"], text: "sam", kinds: ["lora"] })).hits).toEqual([]);
});
