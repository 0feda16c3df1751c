import { mkdtemp, rm } from "node:fs/promises";
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
