import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHub } from "../hub.js";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.js";
import { ManualClock } from "../testing/manual-clock.js";
import { catalogue } from "./catalogue.js";
import { type ManagerEvent, SamModelManager } from "./sam-model-manager.js";

let root: string;
let fake: FakeHub;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "manager-"));
  fake = await startFakeHub({
    repos: [
      {
        id: "facebook/sam-vit-base",
        licence: "apache-2.0",
        files: { "model.safetensors": "weights", "config.json": "{}" },
      },
      {
        id: "bert-base-uncased",
        licence: "apache-2.0",
        files: {
          "model.safetensors": "bert",
          "vocab.txt": "[PAD]",
          "tf_model.h5": "other",
          "pytorch_model.bin": "other",
        },
      },
    ],
    files: { "/sam_vit_b_01ec64.pth": Buffer.from("not the checkpoint"), "/FastSAM-x.pt": Buffer.from("first bytes") },
  });
});
afterEach(async () => {
  await fake.close();
  await rm(root, { recursive: true, force: true });
});
const manager = () =>
  new SamModelManager({
    hub: createHub({
      env: {},
      environment: { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfEndpoint: fake.url, hfToken: null },
      clock: new ManualClock({ autoAdvance: true }),
      random: () => 0.5,
    }),
    modelsDir: join(root, "models"),
    rewriteUrl: (url) => `${fake.cdnUrl}/${url.split("/").at(-1)}`,
  });

test("falls back from a wrong native checkpoint to Hugging Face and records why", async () => {
  const events: ManagerEvent[] = [];
  const model = await manager().ensure("sam_vit_b", { onEvent: (event) => events.push(event) });
  expect(model).toMatchObject({
    format: "transformers",
    origin: "hf facebook/sam-vit-base",
    fallbacksTried: [{ code: "INTEGRITY" }],
  });
  expect(events.map(({ type }) => type)).toEqual(["step", "failed", "integrity_mismatch", "step"]);
  const before = fake.requests.length;
  expect((await manager().ensure("sam_vit_b")).wasCached).toBe(true);
  expect(fake.requests.length).toBe(before);
  expect((await manager().status("sam_vit_b", { verify: true })).models[0]).toMatchObject({ state: "installed" });
  await manager().remove("sam_vit_b");
  expect((await manager().status("sam_vit_b")).models[0]).toMatchObject({ state: "absent" });
});

test("throws at once when integrity is strict", async () => {
  await expect(manager().ensure("sam_vit_b", { strictIntegrity: true })).rejects.toMatchObject({ code: "INTEGRITY" });
});

test("pins the first bytes of a file without published digest", async () => {
  const model = await manager().ensure("fastsam_x");
  expect(model.format).toBe("native");
  await manager().remove("fastsam_x");
  fake.fault({ match: "FastSAM-x", kind: "corrupt", at: 0.5 });
  await expect(manager().ensure("fastsam_x", { strictIntegrity: true })).rejects.toMatchObject({ code: "INTEGRITY" });
});

test("native checkpoints are links in the models folder; a file of the user's own stays", async () => {
  const { path } = await manager().ensure("fastsam_x");
  const link = join(root, "models", "FastSAM-x.pt");
  expect(await realpath(link)).toBe(await realpath(path));
  await manager().remove("fastsam_x");
  expect(await readdir(join(root, "models"))).toEqual([".seg-models"]);
  await writeFile(link, "mine");
  await manager().ensure("fastsam_x");
  expect(await readFile(link, "utf8")).toBe("mine");
});

test("the text encoder is a model of its own: fetched once, without the formats that no loader reads", async () => {
  const [entry] = catalogue.list({ role: "text_encoder" });
  const { files, format } = await manager().ensure(entry!.id);
  expect([format, files.map(({ name }) => name).sort()]).toEqual(["transformers", ["model.safetensors", "vocab.txt"]]);
  expect((await manager().list({ role: "text_encoder", installed: true })).map(({ id }) => id)).toEqual([entry!.id]);
  const before = fake.requests.length;
  await manager().ensure(entry!.id);
  expect(fake.requests.length).toBe(before);
});

test("an id, a repository and the last part of its name mean the same model; what two share means none", async () => {
  for (const name of ["sam_vit_b", "facebook/sam-vit-base", "sam-vit-base"])
    expect(catalogue.get(name).id).toBe("sam_vit_b");
  expect(catalogue.find("Ultralytics/FastSAM")).toBeNull();
  await manager().ensure("sam-vit-base", { prefer: "transformers" });
  expect((await manager().status("facebook/sam-vit-base")).models[0]).toMatchObject({
    id: "sam_vit_b",
    state: "installed",
  });
  expect(manager().config("sam-vit-base")).toEqual({
    hf_id: "facebook/sam-vit-base",
    manager_family: "sam",
    manager_variant: "vit_b",
    description: "Segment Anything, ViT-B",
  });
  expect((await manager().remove("sam-vit-base")).freedBytes).toBeGreaterThan(0);
});

test("lists every cause when all sources fail", async () => {
  await expect(manager().ensure("yolov8n")).rejects.toMatchObject({
    code: "ALL_SOURCES_FAILED",
    details: { fallbacksTried: [{ code: "NOT_FOUND" }] },
  });
});

test("asks for consent before anything is fetched", async () => {
  await expect(manager().ensure("edgesam")).rejects.toMatchObject({ code: "LICENCE_NOT_ACCEPTED" });
  await expect(manager().ensure("yolov8n", { permissiveOnly: true })).rejects.toMatchObject({
    code: "LICENCE_NOT_ACCEPTED",
  });
  expect(fake.requests).toEqual([]);
});

test("the catalogue's ids are unique and its digests well-formed and not shared", () => {
  const ids = catalogue.entries.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const digests = catalogue.entries.flatMap(({ files }) => files.map(({ sha256 }) => sha256)).filter((d) => d !== null);
  expect(digests.every((d) => /^[0-9a-f]{64}$/.test(d))).toBe(true);
  expect(new Set(digests).size).toBe(digests.length);
});
