import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ShardStore } from "./shard-store.js";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "seg-shards-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = (owners: Record<string, string> = { masks: "sam (1)" }) => new ShardStore({ dir, owners });
const keyOf = (n: number) => createHash("sha256").update(String(n)).digest("hex");
const contentOf = (n: number) => Buffer.from(`content ${n} `.repeat(1 + (n % 7)));
const shards = () => readdirSync(dir).filter((name) => name.endsWith(".bin"));

describe("ShardStore", () => {
  test("gives back what was written, also to the next process; an absent key is null", () => {
    const store = open();
    for (let n = 0; n < 300; n++) store.write(keyOf(n), contentOf(n));
    expect(store.read(keyOf(300))).toBeNull();
    store.close();
    // 256 entries fill a shard.
    expect(shards()).toHaveLength(2);
    const again = open();
    expect(again.size).toBe(300);
    for (const n of [0, 255, 256, 299]) expect(again.read(keyOf(n))!.equals(contentOf(n))).toBe(true);
    again.close();
  });

  test("a process that is killed loses nothing that it wrote", () => {
    const store = open();
    for (let n = 0; n < 100; n++) store.write(keyOf(n), contentOf(n));
    // Neither flushed nor closed: the index lists 64 entries.
    const listed = Object.keys(JSON.parse(readFileSync(join(dir, "index.json"), "utf8")).entries);
    expect(listed).toHaveLength(64);
    const again = open();
    expect(again.size).toBe(100);
    expect(again.read(keyOf(99))!.equals(contentOf(99))).toBe(true);
    store.close();
    again.close();
  });

  test("an entry that was cut short is not there; the ones before it are, and the next writer takes a new shard", () => {
    const store = open();
    for (let n = 0; n < 10; n++) store.write(keyOf(n), contentOf(n));
    const [name] = shards();
    const size = readFileSync(join(dir, name!)).length;
    truncateSync(join(dir, name!), size - 5);
    rmSync(join(dir, "index.json"));
    const again = open();
    expect([again.size, again.has(keyOf(9))]).toEqual([9, false]);
    again.write(keyOf(9), contentOf(9));
    again.close();
    expect(shards()).toHaveLength(2);
    expect(open().read(keyOf(9))!.equals(contentOf(9))).toBe(true);
    store.close();
  });

  test("any flipped bit of a shard is detected, and the entry can be written again", () => {
    const store = open();
    const keys = Array.from({ length: 5 }, (_, n) => keyOf(n));
    keys.forEach((key, n) => {
      store.write(key, contentOf(n));
    });
    store.close();
    const path = join(dir, shards()[0]!);
    const whole = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(whole.length * 8 - 1), (bit) => {
        const bytes = Buffer.from(whole);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        writeFileSync(path, bytes);
        const damaged = open();
        const bad = keys.filter((key) => !damaged.isValid(key));
        damaged.close();
        expect(bad).toHaveLength(1);
      }),
      { numRuns: 60, seed: 1 },
    );
    const bytes = Buffer.from(whole);
    bytes[20]! ^= 1;
    writeFileSync(path, bytes);
    const repaired = open();
    expect(() => repaired.read(keys[0]!)).toThrow(/shard-00000.bin at byte 0 is damaged: the checksum differs/);
    repaired.write(keys[0]!, contentOf(0));
    repaired.close();
    expect(keys.every((key) => open().isValid(key))).toBe(true);
  });

  test("a damaged or foreign index is replaced by what the shards say", () => {
    const store = open();
    for (let n = 0; n < 70; n++) store.write(keyOf(n), contentOf(n));
    store.close();
    for (const text of ["{", '{"format":"other"}']) {
      writeFileSync(join(dir, "index.json"), text);
      const again = open();
      expect(again.size).toBe(70);
      again.close();
    }
    appendFileSync(join(dir, shards()[0]!), "rubbish");
    rmSync(join(dir, "index.json"));
    expect(open().size).toBe(70);
  });

  test("takes one owner of a kind", () => {
    open({ masks: "sam (1)" }).close();
    open({ masks: "sam (1)", detections: "dino (1)" }).close();
    expect(() => open({ detections: "dino (2)" })).toThrow(/belongs to dino \(1\), expected dino \(2\)/);
    expect(() => open({ masks: "sam (2)" })).toThrow(/belongs to sam \(1\)/);
    open({ features: "dino (2)" }).close();
  });

  test("two writers at a time keep out of each other's shards", () => {
    const [a, b] = [open(), open()];
    for (let n = 0; n < 20; n++) (n % 2 === 0 ? a : b).write(keyOf(n), contentOf(n));
    a.close();
    b.close();
    const all = open();
    expect(all.size).toBe(20);
    for (let n = 0; n < 20; n++) expect(all.read(keyOf(n))!.equals(contentOf(n))).toBe(true);
    all.close();
  });
});
