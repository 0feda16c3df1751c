import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startS3Double } from "../testing/s3-double.js";
import { FileObjectStore } from "./file-object-store.js";
import { type ObjectStore, readAll } from "./object-store.js";
import { S3ObjectStore } from "./s3-object-store.js";
import { hasS3Server, type LocalS3, startS3Server } from "./start-s3-server.js";

const PART = 5 << 20;
const LARGE = Buffer.concat([Buffer.alloc(PART), Buffer.from("a")]);
const digest = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest("hex");

interface Opened {
  readonly store: ObjectStore;
  close(): Promise<void>;
}

/** A store over a bucket of its own. */
async function openS3(
  server: { endpoint: string; credentials: S3Credentials },
  bucket: string,
): Promise<S3ObjectStore> {
  const { endpoint, credentials } = server;
  const store = new S3ObjectStore({ endpoint, bucket, ...credentials, partBytes: PART });
  await store.init();
  return store;
}
type S3Credentials = { readonly accessKeyId: string; readonly secretAccessKey: string };

const openDouble = async (): Promise<Opened> => {
  const double = await startS3Double();
  const store = await openS3(double, double.bucket);
  return {
    store,
    close: async () => {
      store.close();
      await double.close();
    },
  };
};

const openFolder = async (): Promise<Opened> => {
  const root = await mkdtemp(join(tmpdir(), "store-"));
  return { store: new FileObjectStore({ root }), close: () => rm(root, { recursive: true, force: true }) };
};

describe("FileObjectStore", () => conformance(openFolder));
describe("S3ObjectStore", () => conformance(openDouble));
describe.skipIf(!(await hasS3Server()))("S3ObjectStore on a real server (versitygw or SEG_TEST_S3_*)", () => {
  let server: LocalS3 | null = null;
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterAll(() => server?.stop());
  let count = 0;
  conformance(async () => {
    const store = await openS3(server!, server!.bucket ?? `seg-test-${count++}`);
    const close = async () => {
      const keys: string[] = [];
      for await (const { key } of store.list("")) keys.push(key);
      for (const key of keys) await store.delete(key);
      store.close();
    };
    return { store, close };
  });

  test("refuses a wrong secret", async () => {
    const { endpoint, credentials, bucket } = server!;
    const wrong = { ...credentials, secretAccessKey: "not the secret" };
    const refused = await openS3({ endpoint, credentials: wrong }, bucket ?? "seg-secret").catch((error) => error);
    expect(refused.code).toBe("FORBIDDEN");
    expect(JSON.stringify([refused.message, refused.details])).not.toContain("not the secret");
  });
});

/** What every store does, over new and empty ones. */
function conformance(open: () => Promise<Opened>): void {
  let store: ObjectStore;
  let close: () => Promise<void>;
  beforeEach(async () => {
    ({ store, close } = await open());
  });
  afterEach(() => close());

  test("gives back what was put, with digests and metadata", async () => {
    const bytes = Buffer.from("hello\n");
    await store.put("a/b.txt", bytes, { metadata: { licence: "mit" } });
    const { info, body } = await store.get("a/b.txt");
    expect((await readAll(body)).toString()).toBe("hello\n");
    expect(info).toMatchObject({
      bytes: 6,
      sha256: digest("sha256", bytes),
      md5: digest("md5", bytes),
      metadata: { licence: "mit" },
    });
    const part = await store.get("a/b.txt", { range: { start: 1, end: 3 } });
    expect((await readAll(part.body)).toString()).toBe("el");
  });

  test("keeps the whole digests of an object in parts", async () => {
    const info = await store.put("large", LARGE);
    expect(info).toMatchObject({
      bytes: LARGE.length,
      md5: "7203c61322ec54942341072506ae537e",
      sha256: digest("sha256", LARGE),
    });
    expect(digest("sha256", await readAll((await store.get("large")).body))).toBe(info.sha256);
  });

  test("refuses another digest, an existing key and a changed object", async () => {
    await expect(store.put("x", Buffer.from("1"), { sha256: "0".repeat(64) })).rejects.toMatchObject({
      code: "INTEGRITY",
    });
    expect(await store.head("x")).toBeNull();
    const first = await store.put("x", Buffer.from("1"), { ifAbsent: true });
    await expect(store.put("x", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject({ code: "CONFLICT" });
    await store.put("x", Buffer.from("3"), { ifMatch: first.etag });
    await expect(store.put("x", Buffer.from("4"), { ifMatch: first.etag })).rejects.toMatchObject({ code: "STALE" });
  });

  test("lists in order, copies, deletes", async () => {
    for (const key of ["p/2", "p/1", "q"]) await store.put(key, Buffer.from(key));
    const keys: string[] = [];
    for await (const { key } of store.list("p/")) keys.push(key);
    expect(keys).toEqual(["p/1", "p/2"]);
    expect((await store.copy("q", "r")).sha256).toBe(digest("sha256", Buffer.from("q")));
    await store.delete("q");
    expect(await store.head("q")).toBeNull();
    await expect(store.get("q")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test.each(["../x", "/x", "a//b", "a\\b", "", "ü"])("refuses the key %j", async (key) => {
    await expect(store.put(key, Buffer.from("x"))).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("shows nobody what belongs to the store itself", async () => {
    await store.put("large", LARGE, { sha256: digest("sha256", LARGE) });
    await store.put("large", Buffer.concat([LARGE, Buffer.from("b")]));
    const keys: string[] = [];
    for await (const { key } of store.list("")) keys.push(key);
    expect(keys).toEqual(["large"]);
    await expect(store.put(".seg/x", Buffer.from("x"))).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("one of many writers of a new key wins, the others are told", async () => {
    const writers = Array.from({ length: 8 }, (_, i) => Buffer.from(`content of ${i}`));
    const outcomes = await Promise.allSettled(writers.map((bytes) => store.put("one", bytes, { ifAbsent: true })));
    const won = outcomes.flatMap((outcome, i) => (outcome.status === "fulfilled" ? [i] : []));
    expect(won.length).toBe(1);
    for (const outcome of outcomes) if (outcome.status === "rejected") expect(outcome.reason.code).toBe("CONFLICT");
    expect((await readAll((await store.get("one")).body)).toString()).toBe(`content of ${won[0]}`);
  });

  test("a reader meets whole objects with their own digests while others replace them", async () => {
    const bodies = [100, 200_000, 3].map((length, i) => Buffer.alloc(length, `${i}`));
    await store.put("busy", bodies[0]!);
    let isOver = false;
    const writing = (async () => {
      for (let i = 1; i < 30; i++) await store.put("busy", bodies[i % bodies.length]!);
      isOver = true;
    })();
    let reads = 0;
    while (!isOver) {
      const { info, body } = await store.get("busy");
      // Reading fails with INTEGRITY where digests and content are of two objects.
      expect(digest("sha256", await readAll(body))).toBe(info.sha256);
      reads++;
    }
    await writing;
    expect(reads).toBeGreaterThan(0);
  });
}

describe("S3ObjectStore and its server", () => {
  test("has the service's multipart ETag", async () => {
    const { store, close } = await openDouble();
    expect((await store.put("large", LARGE)).etag).toBe('"c37a4df95f46d5fbd682f9f1aff63bd5-2"');
    await close();
  });

  test("notices a server that ignores conditions, and damage while reading", async () => {
    const double = await startS3Double({ honourConditions: false });
    const store = new S3ObjectStore({ endpoint: double.endpoint, bucket: double.bucket, ...double.credentials });
    expect(await store.capabilities()).toEqual({ conditionalWrites: false, fallbackLock: false });
    await store.put("x", Buffer.from("fine"));
    double.damage("x");
    await expect(readAll((await store.get("x")).body)).rejects.toMatchObject({ code: "INTEGRITY" });
    store.close();
    await double.close();
  });
});
