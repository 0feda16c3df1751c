import { createHash } from "node:crypto";
import { mkdtemp, open as openFile, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listFiles } from "./cache/cache-folder.js";
import { hashFile } from "./download/hash-file.js";
import { createHub, type HubConfig } from "./hub.js";
import { type FakeHub, startFakeHub } from "./testing/fake-hub.js";
import { ManualClock } from "./testing/manual-clock.js";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** Over two chunks, not a multiple of one. */
const WEIGHTS = Buffer.alloc(1_300_003, 1).map((_, i) => (i * 7 + (i >> 8)) & 255);
const ID = "acme/sam";

let fake: FakeHub;
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "hub-"));
  fake = await startFakeHub({
    repos: [
      {
        id: ID,
        licence: "apache-2.0",
        files: {
          "config.json": '{"a":1}\n',
          "onnx/model.onnx": WEIGHTS,
          "onnx/model.onnx_data": "data",
          "model.safetensors": WEIGHTS,
        },
      },
    ],
  });
});
afterEach(async () => {
  await fake.close();
  await rm(root, { recursive: true, force: true });
});

const hub = ({ environment, ...config }: HubConfig = {}) =>
  createHub({
    env: {},
    environment: {
      hfCache: join(root, "hf"),
      segHome: join(root, "seg"),
      hfEndpoint: fake.url,
      civitaiEndpoint: fake.url,
      hfToken: null,
      idleTimeoutMs: 500,
      ...environment,
    },
    clock: new ManualClock({ autoAdvance: true }),
    random: () => 0.5,
    ...config,
  });
const blobs = async () => (await listFiles(join(root, "hf"))).filter((path) => path.includes("/blobs/"));
const PATH = "/lfs/acme/sam";

describe("hashFile", () => {
  test("gives the digests of hello", async () => {
    const path = join(root, "hello");
    await writeFile(path, "hello\n");
    expect(await hashFile({ path, md5: true, gitSha1: true })).toEqual({
      sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
      md5: "b1946ac92492d2347c6235b4d2611184",
      gitSha1: "ce013625030ba8dba906f756967f9e9ca394464a",
      bytes: 6,
    });
  });

  test("computes MD5 in a worker for large files", async () => {
    const bytes = Buffer.alloc(20 << 20, "abc");
    const path = join(root, "large");
    await writeFile(path, bytes);
    const { md5 } = await hashFile({ path, md5: true });
    expect(md5).toBe(createHash("md5").update(bytes).digest("hex"));
  });
});

describe("download", () => {
  test("lays a snapshot out as huggingface_hub does", async () => {
    const installed = await hub().download(`hf:${ID}`);
    const commit = fake.commitOf(ID);
    const at = join(root, "hf", "models--acme--sam");
    expect(installed).toMatchObject({
      revision: commit,
      verified: true,
      wasCached: false,
      licence: "apache-2.0",
      warnings: [],
    });
    expect(await readFile(join(at, "refs", "main"), "utf8")).toBe(commit);
    expect(sha256(await readFile(join(at, "snapshots", commit, "onnx", "model.onnx")))).toBe(sha256(WEIGHTS));
    expect(JSON.parse(await readFile(join(at, "trees", `${commit}.json`), "utf8"))).toMatchObject({
      format_version: 1,
      files: { "model.safetensors": { size: WEIGHTS.length, lfs_sha256: sha256(WEIGHTS) } },
    });
    expect((await blobs()).map((path) => path.split("/").at(-1))).toContain(sha256(WEIGHTS));
    expect((await blobs()).some((path) => path.endsWith(".incomplete"))).toBe(false);
  });

  test("does not send the token to the storage host", async () => {
    await hub({ environment: { hfToken: "any-token" } }).download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(fake.requests.filter(({ server }) => server === "cdn").map(({ authorization }) => authorization)).toEqual([
      null,
    ]);
    expect(fake.requests.find(({ server }) => server === "hub")!.authorization).toBe("Bearer any-token");
  });

  test("brings external ONNX data along", async () => {
    const { files } = await hub().download(`hf:${ID}`, { allow: ["onnx/model.onnx"] });
    expect(files.map(({ name }) => name)).toEqual(["onnx/model.onnx", "onnx/model.onnx_data"]);
  });

  test.each([
    ["", Number.POSITIVE_INFINITY],
    [", past the page cache", 0],
  ])("continues where the connection broke, at every tenth%s", async (_, bypassFromBytes) => {
    for (let tenth = 1; tenth < 10; tenth++) fake.fault({ match: PATH, kind: "cut", at: tenth / 10 });
    const { sha256: got, path } = await hub({ bypassFromBytes }).download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(got).toBe(sha256(WEIGHTS));
    expect((await readFile(path)).equals(WEIGHTS)).toBe(true);
    expect(fake.requests.filter(({ range, server }) => range !== null && server === "cdn").length).toBe(9);
  });

  test.each([
    ["corrupt", { kind: "corrupt", at: 0.5 }, "INTEGRITY"],
    ["too long", { kind: "length", delta: 7 }, "INTEGRITY"],
    ["too short", { kind: "length", delta: -7 }, "INTEGRITY"],
    ["HTML", { kind: "html" }, "UNEXPECTED_CONTENT"],
    ["JSON", { kind: "json" }, "UNEXPECTED_CONTENT"],
    ["gone", { kind: "status", status: 404 }, "NOT_FOUND"],
  ] as const)("refuses a body that is %s and keeps nothing", async (_, fault, code) => {
    fake.fault({ match: PATH, ...fault } as never);
    await expect(hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).rejects.toMatchObject({ code });
    expect(await blobs()).toEqual([]);
  });

  test("gives a redirect loop up", async () => {
    fake.fault({ match: "/resolve/", kind: "redirect", location: "/acme/sam/resolve/x/y", times: 99 });
    await expect(hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      details: { reason: "redirect-loop" },
    });
  });

  test.each([["ignore-range"], ["bad-range"]] as const)("restarts when a server answers %s", async (kind) => {
    fake.fault({ match: PATH, kind: "cut", at: 0.5 });
    fake.fault({ match: PATH, kind });
    expect((await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).sha256).toBe(sha256(WEIGHTS));
  });

  test("restarts when the file changes while it is read", async () => {
    fake.fault({ match: PATH, kind: "cut", at: 0.5 });
    fake.fault({ match: PATH, kind: "etag", etag: "other" });
    expect((await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).sha256).toBe(sha256(WEIGHTS));
  });

  test("backs off 1, 2, 4, 8 s, gives up after five fruitless attempts and keeps what came", async () => {
    const clock = new ManualClock({ autoAdvance: true });
    fake.fault({ match: PATH, kind: "cut", at: 0.5 });
    fake.fault({ match: PATH, kind: "status", status: 503, times: 4 });
    await expect(hub({ clock }).download(`hf:${ID}`, { allow: ["model.safetensors"] })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
    });
    expect(clock.slept).toEqual([1000, 2000, 4000, 8000]);
    expect((await blobs()).length).toBe(1);
    fake.clearFaults();
    const again = await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(again.sha256).toBe(sha256(WEIGHTS));
    expect(fake.requests.at(-1)!.range).toMatch(/^bytes=650001-$/);
  });

  test("honours Retry-After", async () => {
    const clock = new ManualClock({ autoAdvance: true });
    fake.fault({ match: PATH, kind: "status", status: 429, headers: { "retry-after": "7" } });
    await hub({ clock }).download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(clock.slept).toEqual([7000]);
  });

  test("ends a body that hangs", async () => {
    fake.fault({ match: PATH, kind: "hang" });
    expect((await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).verified).toBe(true);
  });

  test("refuses when the disk is too small, before writing", async () => {
    await expect(
      hub({ freeBytes: async () => 1000 }).download(`hf:${ID}`, { allow: ["model.safetensors"] }),
    ).rejects.toMatchObject({ code: "NO_SPACE" });
    expect(await blobs()).toEqual([]);
  });

  test("is served from the cache offline, and says what is missing", async () => {
    await hub().download(`hf:${ID}`, { allow: ["config.json"] });
    await fake.close();
    const offline = hub({ environment: { isOffline: true } });
    expect((await offline.download(`hf:${ID}`, { allow: ["config.json"] })).wasCached).toBe(true);
    await expect(offline.download(`hf:${ID}`)).rejects.toMatchObject({ code: "INCOMPLETE_SNAPSHOT" });
    await expect(offline.download("hf:acme/other")).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
    const fallen = await hub().download(`hf:${ID}`, { allow: ["config.json"] });
    expect(fallen.warnings[0]).toContain("cached copy");
    fake = await startFakeHub();
  });

  test("names the page of a gated model", async () => {
    fake.push({ id: "acme/gated", licence: "apache-2.0", gated: true, files: { "model.safetensors": WEIGHTS } });
    await expect(hub().download("hf:acme/gated")).rejects.toMatchObject({ code: "LICENCE_NOT_ACCEPTED" });
    await expect(hub().download("hf:acme/gated", { acceptLicence: true })).rejects.toMatchObject({
      code: "GATED",
      details: { acceptanceUrl: `${fake.url}/acme/gated` },
    });
  });

  test("refuses paths that leave the folder", async () => {
    fake.push({ id: "acme/evil", licence: "mit", files: { "../../evil.bin": WEIGHTS } });
    await expect(hub().download("hf:acme/evil")).rejects.toMatchObject({
      code: "UNEXPECTED_CONTENT",
      details: { reason: "path-traversal" },
    });
    expect(await listFiles(root)).toEqual([]);
  });

  test("a disk that fills up in the middle is said so, and gets its space back", async () => {
    const full: HubConfig["open"] = async (path, flags) => {
      const file = await openFile(path, flags);
      const write = file.write.bind(file) as (...args: unknown[]) => unknown;
      let count = 0;
      // The second chunk of a mebibyte finds no room.
      const limited = (...args: unknown[]) => {
        if (++count > 1) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
        return write(...args);
      };
      return Object.assign(file, { write: limited as never });
    };
    await expect(hub({ open: full }).download(`hf:${ID}`, { allow: ["model.safetensors"] })).rejects.toMatchObject({
      code: "NO_SPACE",
      details: { reason: "ENOSPC" },
    });
    expect(await blobs()).toEqual([]);
    expect((await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] })).verified).toBe(true);
  });

  test("every file is of the commit that was resolved first, though the branch moves meanwhile", async () => {
    const first = fake.commitOf(ID);
    let hasMoved = false;
    const moving: HubConfig["fetch"] = async (input, init) => {
      const response = await fetch(input, init);
      if (!hasMoved && input.includes("/tree/")) {
        hasMoved = true;
        fake.push({
          id: ID,
          licence: "apache-2.0",
          files: { "config.json": '{"a":2}\n', "model.safetensors": "other" },
        });
      }
      return response;
    };
    const installed = await hub({ fetch: moving }).download(`hf:${ID}`);
    expect(installed.revision).toBe(first);
    expect(await readFile(join(installed.path, "config.json"), "utf8")).toBe('{"a":1}\n');
    const next = await hub().download(`hf:${ID}`);
    expect(next.revision).toBe(fake.commitOf(ID));
    expect(await readFile(join(next.path, "config.json"), "utf8")).toBe('{"a":2}\n');
    // The older snapshot stays as it was.
    expect((await hub().cache.verify()).findings).toEqual([]);
  });

  test("a damaged cached file is found and replaced with the network open, refused without", async () => {
    const { path } = await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] });
    const damaged = Buffer.from(WEIGHTS);
    damaged[7]! ^= 1;
    await writeFile(path, damaged);
    await expect(
      hub({ environment: { isOffline: true } }).download(`hf:${ID}`, { allow: ["model.safetensors"] }),
    ).rejects.toMatchObject({ code: "INTEGRITY" });
    const again = await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(again.wasCached).toBe(false);
    expect((await readFile(again.path)).equals(WEIGHTS)).toBe(true);
  });

  test("a cache that cannot be written is read, and nothing more", async () => {
    await hub().download(`hf:${ID}`);
    // As on a read-only disk: root may write to folders of any mode, so the calls themselves refuse.
    const before = await listFiles(root);
    const refusing =
      (code: string): NonNullable<HubConfig["open"]> =>
      async (path) => {
        throw Object.assign(new Error(`${code}: cannot open`), { code, path });
      };
    const readOnly = hub({ open: refusing("EROFS"), ledger: null });
    expect((await readOnly.download(`hf:${ID}`)).wasCached).toBe(true);
    fake.push({ id: ID, licence: "apache-2.0", files: { "config.json": '{"a":3}\n' } });
    for (const [errno, code, words] of [
      ["EROFS", "INTERNAL", "the disk is read-only"],
      ["EACCES", "INTERNAL", "this user may not write there"],
      ["ENOSPC", "NO_SPACE", "the disk is full"],
    ] as const) {
      await expect(hub({ open: refusing(errno), ledger: null }).download(`hf:${ID}`)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(new RegExp(`^${root}.*cannot be written: ${words}.*HF_HUB_CACHE`)),
        details: { reason: errno },
      });
    }
    expect(await listFiles(root)).toEqual(before);
  });

  test("an abort ends with its own reason, keeps what came and goes on later", async () => {
    const reason = new Error("enough");
    const abort = new AbortController();
    fake.fault({ match: PATH, kind: "cut", at: 0.9 });
    const download = hub({
      clock: { now: () => Date.now(), sleep: async () => abort.abort(reason) },
    }).download(`hf:${ID}`, { allow: ["model.safetensors"], signal: abort.signal });
    await expect(download).rejects.toBe(reason);
    expect((await blobs()).every((path) => path.endsWith(".incomplete"))).toBe(true);
    await hub().download(`hf:${ID}`, { allow: ["model.safetensors"] });
    expect(fake.requests.at(-1)!.range).toMatch(/^bytes=1170002-$/);
  });

  test("two downloads at once share the work", async () => {
    const both = await Promise.all(
      [hub(), hub()].map((each) => each.download(`hf:${ID}`, { allow: ["model.safetensors"] })),
    );
    expect(both.map(({ sha256: got }) => got)).toEqual([sha256(WEIGHTS), sha256(WEIGHTS)]);
  });
});

describe("cache", () => {
  test("verify finds damage, prune removes what nobody uses", async () => {
    const it = hub({ clock: new ManualClock({ now: Date.now() + 1e7, autoAdvance: true }) });
    const { files } = await it.download(`hf:${ID}`, { allow: ["model.safetensors", "config.json"] });
    expect((await it.cache.verify()).findings).toEqual([]);
    await writeFile(files.find(({ name }) => name === "config.json")!.path, '{"a":2}\n');
    expect(await it.cache.verify()).toMatchObject({ ok: false, findings: [{ kind: "mismatch" }] });
    await writeFile(join(root, "hf", "models--acme--sam", "blobs", "f".repeat(64)), "orphan");
    expect((await it.cache.prune()).removed.length).toBe(1);
    expect((await it.cache.prune()).removed.length).toBe(0);
  });
});
