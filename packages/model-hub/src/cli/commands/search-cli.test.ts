import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/databases.js";
import { runHub } from "../../../test/run-hub.js";
import { listFiles } from "../../cache/cache-folder.js";
import { type FakeHub, startFakeHub } from "../../testing/fake-hub.js";

const WEIGHTS = Buffer.alloc(3_000_001, "weights ");
const TOKENS = { HF_TOKEN: "hf-secret-token", CIVITAI_TOKEN: "civitai-secret-token" };

const directory = temporaryDirectory();
let root: string;
let fake: FakeHub;
let env: Record<string, string>;
beforeEach(async () => {
  root = mkdtempSync(join(directory.path, "cli-"));
  fake = await startFakeHub({
    tokens: Object.values(TOKENS),
    repos: [
      {
        id: "acme/sam",
        licence: "apache-2.0",
        downloads: 5,
        files: { "model.safetensors": WEIGHTS, "config.json": "{}" },
      },
      { id: "acme/gated", licence: "apache-2.0", gated: true, files: { "model.safetensors": WEIGHTS } },
    ],
    civitai: [
      {
        id: 7,
        name: "sam lora",
        type: "LORA",
        versions: [
          {
            id: 70,
            name: "v1",
            baseModel: "SD 1.5",
            files: [{ id: 71, name: "a.safetensors", bytes: Buffer.from("lora weights"), primary: true }],
          },
        ],
      },
    ],
  });
  env = {
    ...TOKENS,
    SEG_HUB_HOME: join(root, "seg"),
    HF_HOME: join(root, "hf"),
    HF_ENDPOINT: fake.url,
    CIVITAI_ENDPOINT: fake.url,
  };
});
afterEach(() => fake.close());
const run = (...argv: string[]) => runHub(argv, { env });
const blobs = async () => (await listFiles(root)).filter((path) => path.includes("/blobs/"));

describe("seg-hub search", () => {
  test("prints a line a model, or one document", async () => {
    const { status, out } = await run("search", "sam", "--source", "hf", "--source", "civitai", "--sort", "downloads");
    expect(status).toBe(0);
    expect(out.split("\n").map((line) => line.split(/\s+/).slice(0, 3))).toEqual([
      ["hf:acme/sam", "checkpoint", "apache-2.0"],
      ["civitai:7@70", "lora", "unknown"],
      [""],
    ]);
    const document = JSON.parse((await run("search", "--source", "civitai", "--kind", "lora", "--json")).out);
    expect(document).toMatchObject({ hits: [{ id: "civitai:7@70" }], warnings: [], cursor: null });
  });

  test("a source that fails is a line on stderr", async () => {
    fake.fault({ match: "/api/models", kind: "status", status: 403 });
    const { status, out, err } = await run("search", "--source", "hf", "--source", "civitai");
    expect(status).toBe(0);
    expect(err).toMatch(/^warning: hf: /);
    expect(out).toContain("civitai:7@70");
  });

  test.each([
    ["--limit", "0"],
    ["--limit", "many"],
    ["--colour", "red"],
  ])("%s %s is bad usage", async (...options) => {
    expect((await run("search", ...options)).status).toBe(2);
  });

  test("an unknown kind is refused", async () => {
    expect(await run("search", "--kind", "painting")).toMatchObject({
      status: 1,
      err: expect.stringContaining("INVALID_REQUEST"),
    });
  });
});

describe("seg-hub download", () => {
  test("prints the path on stdout and the progress on stderr", async () => {
    const { status, out, err } = await run("download", "hf:acme/sam", "--allow", "*.safetensors");
    expect(status).toBe(0);
    expect(readFileSync(out.trim()).equals(WEIGHTS)).toBe(true);
    expect(err).toMatch(/^100% 1\/1 files/m);
    const document = JSON.parse((await run("download", "hf:acme/sam", "--json")).out);
    expect(document).toMatchObject({ id: "hf:acme/sam", revision: fake.commitOf("acme/sam"), verified: true });
  });

  test("draws a bar on a terminal", async () => {
    const { err } = await runHub(["download", "hf:acme/sam"], { env, isTerminal: true });
    expect(err).toContain(`\r\u001b[K[${"#".repeat(30)}] 100% 2/2 files`);
    expect(err.endsWith("\n")).toBe(true);
  });

  test("0 done, 1 failed, 2 bad usage, 3 not what it should be, 130 cancelled", async () => {
    expect((await run("download")).status).toBe(2);
    expect((await run("download", "a/b", "c/d")).status).toBe(2);
    expect((await run("download", "hf:acme/sam", "--verify", "no")).status).toBe(2);
    expect((await run("download", "hf:acme/none")).status).toBe(1);
    expect((await run("download", "two words")).status).toBe(1);
    fake.fault({ match: "/lfs/", kind: "corrupt", at: 0.5 });
    expect(await run("download", "hf:acme/sam", "--allow", "*.safetensors")).toMatchObject({
      status: 3,
      err: expect.stringContaining("error INTEGRITY"),
    });
    expect(await blobs()).toEqual([]);
    const aborted = AbortSignal.abort(new Error("interrupted"));
    expect(await runHub(["download", "hf:acme/sam"], { env, signal: aborted })).toMatchObject({
      status: 130,
      out: "",
      err: expect.stringMatching(/cancelled\n$/),
    });
    expect((await run("download", "hf:acme/sam")).status).toBe(0);
  });

  test("the error is a document too", async () => {
    const { status, out } = await run("download", "civitai:7", "--json");
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      error: { code: "LICENCE_NOT_ACCEPTED", message: expect.stringContaining("--accept-licence") },
    });
    expect((await run("download", "civitai:7", "--accept-licence")).status).toBe(0);
  });

  test("works offline from the cache, by option and by the environment", async () => {
    await run("download", "hf:acme/sam");
    const before = fake.requests.length;
    expect((await run("download", "hf:acme/sam", "--offline")).status).toBe(0);
    env = { ...env, HF_HUB_OFFLINE: "1" };
    expect((await run("download", "hf:acme/sam")).status).toBe(0);
    expect(await run("download", "hf:acme/gated")).toMatchObject({
      status: 1,
      err: expect.stringContaining("offline"),
    });
    expect(fake.requests.length).toBe(before);
  });

  test("uses the token of the environment and shows it nowhere, whatever fails", async () => {
    expect((await run("download", "hf:acme/gated", "--accept-licence")).status).toBe(0);
    const shown: string[] = [];
    for (const body of [`{"error":"${TOKENS.HF_TOKEN} is wrong"}`, `${TOKENS.HF_TOKEN}`]) {
      for (const status of [400, 401, 403, 404]) {
        fake.fault({
          match: "/acme/sam",
          kind: "status",
          status,
          body,
          headers: { "x-error-message": TOKENS.HF_TOKEN },
        });
        const { out, err } = await run("download", "hf:acme/sam", "--json");
        expect(err).toContain("error ");
        shown.push(out, err);
      }
    }
    const written = (await listFiles(root)).map((path) => readFileSync(join(root, path), "latin1"));
    for (const secret of Object.values(TOKENS))
      for (const text of [...shown, ...written]) expect(text.includes(secret)).toBe(false);
  });
});

describe("seg-hub identify", () => {
  test("hashes a file and finds who published it", async () => {
    const path = join(root, "found.safetensors");
    writeFileSync(path, "lora weights");
    const digest = createHash("sha256").update("lora weights").digest("hex");
    expect(JSON.parse((await run("identify", path, "--json")).out)).toMatchObject({
      sha256: digest,
      autoV1: null,
      autoV2: digest.slice(0, 10),
      known: [{ id: "civitai:7@70", by: "sha256" }],
    });
    const before = fake.requests.length;
    expect((await run("identify", path, "--offline")).out).toMatch(/unknown\n$/);
    expect(fake.requests.length).toBe(before);
    expect(await run("identify", join(root, "absent"))).toMatchObject({
      status: 1,
      err: expect.stringContaining("NOT_FOUND"),
    });
    expect((await run("identify")).status).toBe(2);
  });
});

test("seg-hub explains itself", async () => {
  const help = await run("--help");
  expect(help.status).toBe(0);
  for (const command of ["search", "download", "identify", "models list", "registry list"])
    expect(help.out).toContain(command);
  expect((await run()).status).toBe(2);
  expect((await run("dance")).err).toContain("Known: ");
  expect((await run("download", "--help")).out).toContain("--accept-licence");
});
