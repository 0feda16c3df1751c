import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { listFiles } from "../cache/cache-folder.js";
import { createHub } from "../hub.js";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.js";
import { ManualClock } from "../testing/manual-clock.js";
import { fileNameOf, splitDigest } from "./url-source.js";

const WEIGHTS = Buffer.alloc(100_001, "onnx ");
const sha256 = createHash("sha256").update(WEIGHTS).digest("hex");

const directory = temporaryDirectory();
let root: string;
let fake: FakeHub;
let url: string;
beforeEach(async () => {
  root = mkdtempSync(join(directory.path, "hub-"));
  fake = await startFakeHub({ files: { "/m/model.onnx": WEIGHTS } });
  url = `${fake.cdnUrl}/m/model.onnx`;
});
afterEach(() => fake.close());
const hub = () =>
  createHub({
    env: {},
    environment: {
      hfCache: join(root, "hf"),
      segHome: join(root, "seg"),
      hfToken: "hf-token",
      civitaiToken: "c-token",
    },
    clock: new ManualClock({ autoAdvance: true }),
    random: () => 0.5,
  });
const accept = { acceptLicence: true };

describe("download", () => {
  test("verifies against the digest in the fragment, which is never sent", async () => {
    const installed = await hub().download(`${url}#sha256=${sha256.toUpperCase()}`, accept);
    expect(installed).toMatchObject({ id: `url:${url}`, sha256, verified: true, bytes: WEIGHTS.length });
    expect(installed.path).toMatch(/url--[0-9a-f]{16}\/snapshots\/[0-9a-f]{40}\/model\.onnx$/);
    expect(fake.requests.every(({ path }) => path === "/m/model.onnx")).toBe(true);
    // No token is for a plain server.
    expect(fake.requests.every(({ authorization }) => authorization === null)).toBe(true);
  });

  test("refuses another digest and keeps nothing", async () => {
    await expect(hub().download(`${url}#sha256=${"0".repeat(64)}`, accept)).rejects.toMatchObject({
      code: "INTEGRITY",
    });
    expect((await listFiles(root)).filter((path) => path.includes("/blobs/"))).toEqual([]);
  });

  test("without a digest is refused, recorded as a pin, or taken with a warning", async () => {
    await expect(hub().download(url, accept)).rejects.toMatchObject({
      code: "INTEGRITY",
      details: { reason: "no-digest" },
    });
    const pinned = await hub().download(url, { ...accept, verify: "pin" });
    expect(pinned).toMatchObject({ sha256, verified: false });
    expect(pinned.warnings[0]).toContain("recorded, not verified");
    expect((await hub().download(url, { ...accept, verify: "warn", offline: true })).sha256).toBe(sha256);
  });

  test("asks for the first byte where HEAD is refused", async () => {
    fake.fault({ match: "/m/", method: "HEAD", kind: "status", status: 405 });
    expect((await hub().download(`${url}#sha256=${sha256}`, accept)).verified).toBe(true);
    expect(fake.requests.map(({ method, range }) => [method, range])).toEqual([
      ["HEAD", null],
      ["GET", "bytes=0-0"],
      ["GET", null],
    ]);
  });

  test.each([
    ["a page instead of the file", { kind: "html", method: "GET" }, "UNEXPECTED_CONTENT"],
    ["an absent file", { kind: "status", status: 404, times: 9 }, "NOT_FOUND"],
    ["a redirect that leaves HTTP", { kind: "redirect", location: "file:///etc/passwd" }, "DOWNLOAD_FAILED"],
    ["a redirect loop", { kind: "redirect", location: "/m/model.onnx", times: 99 }, "DOWNLOAD_FAILED"],
  ] as const)("says that it got %s", async (_, fault, code) => {
    fake.fault({ match: "/m/", ...fault });
    await expect(hub().download(`${url}#sha256=${sha256}`, accept)).rejects.toMatchObject({ code });
    expect((await listFiles(root)).filter((path) => path.includes("/blobs/"))).toEqual([]);
  });
});

test("splitDigest", () => {
  expect(splitDigest("https://h/x?a=1#sha256=zz")).toEqual({ url: "https://h/x?a=1", sha256: null });
  expect(splitDigest(`https://h/x#sha256=${"A".repeat(64)}`)).toEqual({ url: "https://h/x", sha256: "a".repeat(64) });
});

test.each([
  ["https://h/a/model.onnx?download=true", "model.onnx"],
  ["https://h/a%20b.pt", "a b.pt"],
  ["https://h/", "model"],
  ["https://h/a/..%2F..%2Fetc%2Fpasswd", "model"],
  ["https://h/%E0%A4%A", "model"],
])("the file of %j is called %j", (href, name) => {
  expect(fileNameOf(href)).toBe(name);
});
