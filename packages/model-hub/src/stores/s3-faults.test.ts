import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type S3Double, startS3Double } from "../testing/s3-double.js";
import { readAll } from "./object-store.js";
import { S3ObjectStore } from "./s3-object-store.js";

/** The double takes parts of any size. */
const PART = 1 << 16;
/** Four parts, each another. */
const LARGE = Buffer.concat([1, 2, 3].map((fill) => Buffer.alloc(PART, fill)).concat(Buffer.from("end")));
const sha256 = createHash("sha256").update(LARGE).digest("hex");
const FOREVER = 1000;

let double: S3Double;
let store: S3ObjectStore;
beforeEach(async () => {
  double = await startS3Double();
  store = new S3ObjectStore({
    endpoint: double.endpoint,
    bucket: double.bucket,
    ...double.credentials,
    partBytes: PART,
  });
});
afterEach(async () => {
  store.close();
  await double.close();
});

const sentParts = () => double.requests.filter(({ path }) => path.includes("partNumber=")).length;
const keys = () => [...double.objects().keys()].sort();
const read = async (key: string) => readAll((await store.get(key)).body);

describe("put", () => {
  test.each([
    ["answers 503", { kind: "status", status: 503 }],
    ["answers 500", { kind: "status", status: 500 }],
    ["closes the connection", { kind: "cut", at: 0 }],
  ] as const)("tries again when the server %s", async (_, fault) => {
    double.fault({ match: "/models/", method: "PUT", times: 2, ...fault });
    const { md5 } = await store.put("x", Buffer.from("hello\n"));
    expect(md5).toBe("b1946ac92492d2347c6235b4d2611184");
    expect((await read("x")).toString()).toBe("hello\n");
  });

  test("gives up on a server that stays broken and stores nothing", async () => {
    double.fault({ match: "/models/", kind: "status", status: 503, times: FOREVER });
    await expect(store.put("x", Buffer.from("1"))).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
    double.clearFaults();
    expect(await store.head("x")).toBeNull();
  });

  test("says what a refused key means", async () => {
    double.fault({ match: "/models/", kind: "status", status: 403, times: FOREVER });
    await expect(store.put("x", Buffer.from("1"))).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  test.each([
    ["a whole object", Buffer.from("small"), "/models/x?x-id=PutObject"],
    ["a part", LARGE, "partNumber=2"],
  ])("notices %s that was damaged on its way", async (_, bytes, match) => {
    double.fault({ match, kind: "corrupt", at: 0.5, times: FOREVER });
    await expect(store.put("x", bytes)).rejects.toMatchObject({ code: "INTEGRITY" });
    expect(keys()).toEqual([]);
    expect(double.openUploads()).toBe(0);
  });

  test("refuses content that is not what was announced, and aborts its upload", async () => {
    await expect(store.put("x", LARGE, { sha256: "0".repeat(64) })).rejects.toMatchObject({ code: "INTEGRITY" });
    expect(keys()).toEqual([]);
    expect(double.openUploads()).toBe(0);
  });

  test("aborts a failed upload whose content nobody could recognise again", async () => {
    double.fault({ match: "partNumber=3", kind: "status", status: 503, times: FOREVER });
    await expect(store.put("x", LARGE)).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
    expect(double.openUploads()).toBe(0);
    expect(keys()).toEqual([]);
  });

  test("goes on with the parts that arrived", async () => {
    double.fault({ match: "partNumber=3", kind: "status", status: 503, times: FOREVER });
    await expect(store.put("x", LARGE, { sha256 })).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
    double.clearFaults();
    expect(await store.head("x")).toBeNull();
    const before = sentParts();
    const arrived: number[] = [];
    const info = await store.put("x", LARGE, { sha256, onBytes: (bytes) => arrived.push(bytes) });
    // The first two were under way when the third was sent, and a failed upload waits for what is under way.
    expect(sentParts() - before).toBeLessThanOrEqual(2);
    expect(arrived.at(-1)).toBe(LARGE.length);
    expect(info).toMatchObject({ bytes: LARGE.length, sha256 });
    expect((await read("x")).equals(LARGE)).toBe(true);
    expect(double.openUploads()).toBe(0);
    expect(keys().filter((key) => key.startsWith(".seg/uploads/"))).toEqual([]);
  });

  test("does not go on with an upload of other content or other metadata", async () => {
    const other = Buffer.concat([Buffer.alloc(PART, 1), Buffer.alloc(PART, 9)]);
    const digest = createHash("sha256").update(other).digest("hex");
    double.fault({ match: "partNumber=3", kind: "status", status: 503, times: FOREVER });
    await store.put("x", LARGE, { sha256, metadata: { licence: "mit" } }).catch(() => {});
    expect(await store.put("x", other, { sha256: digest })).toMatchObject({ sha256: digest, metadata: {} });
    expect((await read("x")).equals(other)).toBe(true);
    double.clearFaults();
    expect(await store.put("x", LARGE, { sha256, metadata: { licence: "mit" } })).toMatchObject({
      sha256,
      metadata: { licence: "mit" },
    });
    expect((await read("x")).equals(LARGE)).toBe(true);
  });

  test("starts anew when the unfinished upload was aborted meanwhile", async () => {
    double.fault({ match: "partNumber=3", kind: "status", status: 503, times: FOREVER });
    await store.put("x", LARGE, { sha256 }).catch(() => {});
    double.clearFaults();
    double.fault({ match: "uploadId=", method: "GET", kind: "status", status: 404 });
    expect(await store.put("x", LARGE, { sha256 })).toMatchObject({ sha256 });
  });

  test("two uploads of the same content at once end with one whole object", async () => {
    const both = await Promise.all([store.put("x", LARGE, { sha256 }), store.put("x", LARGE, { sha256 })]);
    expect(both.map((info) => info.sha256)).toEqual([sha256, sha256]);
    expect((await read("x")).equals(LARGE)).toBe(true);
  });

  test("conditions hold for objects in parts", async () => {
    const first = await store.put("x", LARGE, { ifAbsent: true });
    await expect(store.put("x", LARGE, { ifAbsent: true })).rejects.toMatchObject({ code: "CONFLICT" });
    await store.put("x", Buffer.from("small"), { ifMatch: first.etag });
    await expect(store.put("x", LARGE, { ifMatch: first.etag })).rejects.toMatchObject({ code: "STALE" });
    expect((await read("x")).toString()).toBe("small");
    expect(double.openUploads()).toBe(0);
    // The digests of the large object went with it.
    expect(keys()).toEqual(["x"]);
  });

  test("stops when told to", async () => {
    const reason = new Error("enough");
    const abort = new AbortController();
    const put = store.put("x", LARGE, { signal: abort.signal, onBytes: () => abort.abort(reason) });
    await expect(put).rejects.toBe(reason);
    expect(await store.head("x")).toBeNull();
  });

  test("uses a lock where the server ignores conditions", async () => {
    const careless = await startS3Double({ honourConditions: false });
    const held: string[] = [];
    const locked = new S3ObjectStore({
      endpoint: careless.endpoint,
      bucket: careless.bucket,
      ...careless.credentials,
      lock: {
        withLock: (key, work) => {
          held.push(key);
          return work();
        },
      },
    });
    expect(await locked.capabilities()).toEqual({ conditionalWrites: false, fallbackLock: true });
    const first = await locked.put("x", Buffer.from("1"), { ifAbsent: true });
    await expect(locked.put("x", Buffer.from("2"), { ifAbsent: true })).rejects.toMatchObject({ code: "CONFLICT" });
    await locked.put("x", Buffer.from("3"), { ifMatch: first.etag });
    await expect(locked.put("x", Buffer.from("4"), { ifMatch: first.etag })).rejects.toMatchObject({ code: "STALE" });
    expect(held).toEqual(Array(4).fill("s3:models/x"));
    locked.close();
    await careless.close();
  });

  test("refuses conditions where neither server nor lock can keep them", async () => {
    const careless = await startS3Double({ honourConditions: false });
    const bare = new S3ObjectStore({ endpoint: careless.endpoint, bucket: careless.bucket, ...careless.credentials });
    await expect(bare.put("x", Buffer.from("1"), { ifAbsent: true })).rejects.toMatchObject({ code: "INVALID_STATE" });
    expect([...careless.objects().keys()]).toEqual([]);
    bare.close();
    await careless.close();
  });
});

describe("get", () => {
  test.each([
    ["breaks off", { kind: "cut", at: 0.5 }, "SOURCE_UNAVAILABLE"],
    ["is shorter than what was stored", { kind: "length", delta: -7 }, "INTEGRITY"],
    ["is longer than what was stored", { kind: "length", delta: 7 }, "INTEGRITY"],
    ["is damaged", { kind: "corrupt", at: 0.5 }, "INTEGRITY"],
  ] as const)("never passes a body off as whole that %s", async (_, fault, code) => {
    await store.put("x", LARGE, { sha256 });
    double.fault({ match: "/models/x?", method: "GET", ...fault });
    await expect(read("x")).rejects.toMatchObject({ code });
  });

  test("tries again when the server is busy", async () => {
    await store.put("x", Buffer.from("hello\n"));
    double.fault({ match: "/models/x", kind: "status", status: 503, times: 2 });
    expect((await read("x")).toString()).toBe("hello\n");
  });
});

test("an error names the place and no secret", async () => {
  const secret = new S3ObjectStore({
    endpoint: double.endpoint,
    bucket: "absent",
    accessKeyId: "AKIAEXAMPLE",
    secretAccessKey: "very-secret-key",
  });
  double.fault({ match: "/absent", kind: "status", status: 403, times: FOREVER });
  const error = await secret.put("x", Buffer.from("1")).catch((failure) => failure);
  expect(error).toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining(`${double.endpoint}/absent`) });
  expect(JSON.stringify([error.message, error.details])).not.toMatch(/AKIAEXAMPLE|very-secret-key/);
  secret.close();
});
