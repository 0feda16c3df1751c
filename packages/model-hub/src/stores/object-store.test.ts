import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startS3Double } from "../testing/s3-double.js";
import { FileObjectStore } from "./file-object-store.js";
import { type ObjectStore, readAll } from "./object-store.js";
import { S3ObjectStore } from "./s3-object-store.js";

const PART = 5 << 20;
const LARGE = Buffer.concat([Buffer.alloc(PART), Buffer.from("a")]);
const digest = (name: string, bytes: Uint8Array) => createHash(name).update(bytes).digest("hex");

const kinds: Record<string, () => Promise<{ store: ObjectStore; close(): Promise<void> }>> = {
  FileObjectStore: async () => {
    const root = await mkdtemp(join(tmpdir(), "store-"));
    return { store: new FileObjectStore({ root }), close: () => rm(root, { recursive: true, force: true }) };
  },
  S3ObjectStore: async () => {
    const double = await startS3Double();
    const store = new S3ObjectStore({
      endpoint: double.endpoint,
      bucket: double.bucket,
      ...double.credentials,
      partBytes: PART,
    });
    await store.init();
    return {
      store,
      close: async () => {
        store.close();
        await double.close();
      },
    };
  },
};

describe.each(Object.entries(kinds))("%s", (_, open) => {
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
});

describe("S3ObjectStore", () => {
  test("has the service's multipart ETag", async () => {
    const { store, close } = await kinds["S3ObjectStore"]!();
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
