import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { listFiles } from "../cache/cache-folder.js";
import { createHub, type ModelHub } from "../hub.js";
import type { CivitaiModel } from "../testing/fake-civitai.js";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.js";
import { ManualClock } from "../testing/manual-clock.js";
import { CivitaiSource } from "./civitai-source.js";

const WEIGHTS = Buffer.alloc(300_001, "weights ");
const sha256 = createHash("sha256").update(WEIGHTS).digest("hex");
const NOW = "2025-11-11T15:30:45.000Z";
const TOKEN = "civitai-secret-token";

const models: readonly CivitaiModel[] = [
  {
    id: 4384,
    name: "bags",
    type: "LORA",
    versions: [
      {
        id: 200,
        name: "v2",
        baseModel: "SD 1.5",
        files: [
          { id: 21, name: "bags-train.zip", bytes: Buffer.from("zip") },
          { id: 20, name: "bags.safetensors", bytes: WEIGHTS, primary: true },
        ],
      },
      {
        id: 100,
        name: "v1",
        baseModel: "SD 1.5",
        files: [{ id: 10, name: "old.safetensors", bytes: Buffer.from("1") }],
      },
    ],
  },
  {
    id: 5,
    name: "gone",
    type: "LORA",
    mode: "TakenDown",
    versions: [{ id: 50, name: "v1", baseModel: "SD 1.5", files: [{ id: 51, name: "a.safetensors", bytes: WEIGHTS }] }],
  },
  {
    id: 6,
    name: "soon",
    type: "LORA",
    versions: [
      {
        id: 60,
        name: "v1",
        baseModel: "SD 1.5",
        earlyAccessEndsAt: "2025-12-01T00:00:00.000Z",
        files: [{ id: 61, name: "a.safetensors", bytes: WEIGHTS }],
      },
    ],
  },
  {
    id: 7,
    name: "members",
    type: "LORA",
    requiresToken: true,
    versions: [{ id: 70, name: "v1", baseModel: "SD 1.5", files: [{ id: 71, name: "a.safetensors", bytes: WEIGHTS }] }],
  },
  {
    id: 8,
    name: "pickles",
    type: "Checkpoint",
    versions: [
      { id: 80, name: "clean", baseModel: "SD 1.5", files: [{ id: 81, name: "a.ckpt", bytes: WEIGHTS }] },
      {
        id: 82,
        name: "foul",
        baseModel: "SD 1.5",
        files: [{ id: 83, name: "b.ckpt", bytes: WEIGHTS, pickleScanResult: "Danger" }],
      },
    ],
  },
  {
    id: 9,
    name: "evil",
    type: "LORA",
    versions: [
      { id: 90, name: "v1", baseModel: "SD 1.5", files: [{ id: 91, name: "../../x.safetensors", bytes: WEIGHTS }] },
    ],
  },
];

const directory = temporaryDirectory();
let root: string;
let fake: FakeHub;
let clock: ManualClock;
beforeEach(async () => {
  root = mkdtempSync(join(directory.path, "hub-"));
  clock = new ManualClock({ now: NOW, autoAdvance: true });
  fake = await startFakeHub({ civitai: models, tokens: [TOKEN], now: () => clock.now() });
});
afterEach(() => fake.close());

const hub = (civitaiToken: string | null = null): ModelHub =>
  createHub({
    env: {},
    environment: {
      hfCache: join(root, "hf"),
      segHome: join(root, "seg"),
      hfToken: null,
      civitaiEndpoint: fake.url,
      civitaiToken,
    },
    clock,
    random: () => 0.5,
  });
const accept = { acceptLicence: true };
const blobs = async () => (await listFiles(root)).filter((path) => path.includes("/blobs/"));
const sent = (path: string) => fake.requests.filter((request) => request.path.startsWith(path));

describe("download", () => {
  test("fetches the primary file of the newest version, verified, into a snapshot of that version", async () => {
    const installed = await hub().download("civitai:4384", accept);
    expect(installed).toMatchObject({ source: "civitai", revision: "200", sha256, verified: true, licence: "unknown" });
    expect(installed.path).toBe(join(root, "seg", "civitai--4384", "snapshots", "200", "bags.safetensors"));
    expect((await readFile(installed.path)).equals(WEIGHTS)).toBe(true);
    expect(installed.warnings).toEqual([expect.stringContaining("21 (bags-train.zip)")]);
    expect(sent("/api/download/").map(({ path }) => path)).toEqual(["/api/download/models/200?fileId=20"]);
  });

  test.each([
    ["a version", "civitai:4384@100", "100"],
    ["a version alone", "civitai:@100", "100"],
    ["an AIR URN", "urn:air:sd1:lora:civitai:4384@100", "100"],
    ["one file", "civitai:4384@200+21", "200"],
  ])("takes %s", async (_, ref, revision) => {
    const { path, revision: got } = await hub().download(ref, accept);
    expect(got).toBe(revision);
    expect(path).toContain(join("civitai--4384", "snapshots", revision));
  });

  test("is served from the cache the second time and offline", async () => {
    await hub().download("civitai:4384", accept);
    const before = sent("/api/download/").length;
    expect((await hub().download("civitai:4384", accept)).wasCached).toBe(true);
    expect(sent("/api/download/").length).toBe(before);
    const offline = await hub().download("civitai:4384", { ...accept, offline: true });
    expect(offline).toMatchObject({ sha256, wasCached: true, revision: "200" });
  });

  test("no licence is stated, so consent is needed, and it is recorded", async () => {
    await expect(hub().download("civitai:4384")).rejects.toMatchObject({ code: "LICENCE_NOT_ACCEPTED" });
    expect(await listFiles(root)).toEqual([]);
    const it = hub();
    await it.download("civitai:4384", { ...accept, acceptedBy: "ana" });
    expect(await it.ledger!.list()).toMatchObject([
      { id: "civitai:4384", sha256, licence: "unknown", accepted_by: "ana" },
    ]);
  });

  test("the token goes to CivitAI in a header and never to its storage", async () => {
    await hub(TOKEN).download("civitai:7", accept);
    expect(fake.requests.filter(({ server }) => server === "cdn").map(({ authorization }) => authorization)).toEqual([
      null,
    ]);
    expect(sent("/api/download/")[0]!.authorization).toBe(`Bearer ${TOKEN}`);
    expect(fake.requests.every(({ path }) => !path.includes(TOKEN))).toBe(true);
  });

  test.each([
    ["a login", "civitai:7", "AUTH_REQUIRED"],
    ["early access", "civitai:6", "EARLY_ACCESS"],
    ["a model that was taken down", "civitai:5", "GONE"],
    ["an absent model", "civitai:404", "NOT_FOUND"],
    ["an absent file", "civitai:4384@200+99", "NOT_FOUND"],
    ["another model's version", "civitai:5@200", "NOT_FOUND"],
    ["a pickle", "civitai:8@80", "UNSUPPORTED_TYPE"],
    ["a name that leaves the folder", "civitai:9", "UNEXPECTED_CONTENT"],
  ])("says that it is about %s, and writes nothing", async (_, ref, code) => {
    await expect(hub().download(ref, accept)).rejects.toMatchObject({ code });
    expect(await blobs()).toEqual([]);
  });

  test("early access stays closed to a token, and opens with time", async () => {
    await expect(hub(TOKEN).download("civitai:6", accept)).rejects.toMatchObject({
      code: "EARLY_ACCESS",
      details: { earlyAccessEndsAt: "2025-12-01T00:00:00.000Z" },
    });
    clock.advance(30 * 86_400_000);
    expect((await hub(TOKEN).download("civitai:6", accept)).sha256).toBe(sha256);
  });

  test("a pickle comes only with consent and a clean scan", async () => {
    const allowed = { ...accept, allowPickle: true };
    expect((await hub().download("civitai:8@80", allowed)).sha256).toBe(sha256);
    await expect(hub().download("civitai:8@82", allowed)).rejects.toMatchObject({
      code: "UNSUPPORTED_TYPE",
      details: { pickleScan: "Danger" },
    });
  });

  test.each([
    ["corrupt", { kind: "corrupt", at: 0.5 }, "INTEGRITY"],
    ["too short", { kind: "length", delta: -3 }, "INTEGRITY"],
    ["a JSON message", { kind: "json" }, "UNEXPECTED_CONTENT"],
    ["a login page", { kind: "html" }, "UNEXPECTED_CONTENT"],
  ] as const)("refuses a body that is %s", async (_, fault, code) => {
    fake.fault({ match: "/civitai/", ...fault });
    await expect(hub().download("civitai:4384", accept)).rejects.toMatchObject({ code });
    expect(await blobs()).toEqual([]);
  });

  test("goes on after a broken connection", async () => {
    fake.fault({ match: "/civitai/", kind: "cut", at: 0.4 });
    expect((await hub().download("civitai:4384", accept)).sha256).toBe(sha256);
    expect(fake.requests.filter(({ server, range }) => server === "cdn" && range !== null).length).toBe(1);
  });

  test("waits when CivitAI says so, and gives up with its word", async () => {
    fake.fault({ match: "/civitai/", kind: "status", status: 429, headers: { "retry-after": "3" }, times: 2 });
    await hub().download("civitai:4384", accept);
    expect(clock.slept).toEqual([3000, 3000]);
    fake.fault({ match: "/civitai/", kind: "status", status: 429, times: 99 });
    await expect(hub().download("civitai:7@70", accept)).rejects.toMatchObject({ code: "AUTH_REQUIRED" });
    await expect(
      hub(TOKEN)
        .download("civitai:7@70", accept)
        .then(() => hub().download("civitai:4384@100", accept)),
    ).rejects.toMatchObject({
      code: "RATE_LIMITED",
    });
  });

  test("a file that changed under its version id is not replaced silently", async () => {
    await hub().download("civitai:4384", accept);
    await fake.close();
    const [bags] = models;
    const [newest, ...rest] = bags!.versions;
    const rewritten = {
      ...newest!,
      files: [{ id: 20, name: "bags.safetensors", bytes: Buffer.from("other"), primary: true }],
    };
    fake = await startFakeHub({ civitai: [{ ...bags!, versions: [rewritten, ...rest] }] });
    await expect(hub().download("civitai:4384", accept)).rejects.toMatchObject({
      code: "UPSTREAM_CHANGED",
      details: { before: sha256 },
    });
    expect((await hub().download("civitai:4384", { ...accept, offline: true })).sha256).toBe(sha256);
  });
});

describe("findByHash", () => {
  const source = (): CivitaiSource => hub().sources.find((each) => each instanceof CivitaiSource)!;

  test("finds a version by SHA-256 and AutoV2, and tells when there is none", async () => {
    expect((await source().findByHash(sha256))?.id).toBe("civitai:4384@200");
    expect((await source().findByHash(sha256.slice(0, 10).toUpperCase()))?.id).toBe("civitai:4384@200");
    expect(await source().findByHash("0".repeat(64))).toBeNull();
    await expect(source().findByHash("not a hash")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("asks for many in batches of a hundred", async () => {
    const many = Array.from({ length: 150 }, (_, i) => createHash("sha256").update(`unknown ${i}`).digest("hex"));
    const found = await source().findByHashes([...many, sha256]);
    expect(found.map(({ id }) => id)).toEqual(["civitai:4384@200"]);
    expect(sent("/api/v1/model-versions/by-hash").length).toBe(2);
  });
});
