import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { splitDataset } from "../split/split-dataset.js";
import { validateDataset } from "../validate/validate-dataset.js";
import { findDuplicates } from "./find-duplicates.js";
import { nearPairs } from "./near-pairs.js";
import { dctHash, differenceHash, hammingDistance, toGray } from "./perceptual-hash.js";

describe("differenceHash, dctHash", () => {
  const ramp = (isFalling: boolean) => ({
    width: 18,
    height: 16,
    data: Uint8Array.from({ length: 18 * 16 }, (_, i) => (isFalling ? 17 - (i % 18) : i % 18) * 10),
  });

  test("a rising ramp sets every bit, a falling one none", () => {
    expect(differenceHash(ramp(false))).toEqual({ high: 0xffffffff, low: 0xffffffff });
    expect(differenceHash(ramp(true))).toEqual({ high: 0, low: 0 });
    expect(hammingDistance(differenceHash(ramp(false)), differenceHash(ramp(true)))).toBe(64);
  });

  test("half of the frequencies exceed the median; brightness does not matter", () => {
    const data = Uint8Array.from({ length: 64 * 64 }, (_, i) => (((i % 64) * (i >> 6)) / 21) % 180);
    const hash = dctHash({ width: 64, height: 64, data });
    expect(hammingDistance(hash, { high: 0, low: 0 })).toBe(32);
    const lighter = dctHash({ width: 64, height: 64, data: data.map((value) => value + 20) });
    expect(hammingDistance(hash, lighter)).toBeLessThanOrEqual(2);
  });

  test("gray is Pillow's", () => {
    expect(Array.from(toGray(Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255), 3, 1).data)).toEqual([76, 150, 29]);
  });
});

describe("nearPairs", () => {
  test("finds every pair within the distance", () => {
    const base = fc.record({ high: fc.nat(0xffffffff), low: fc.nat(0xffffffff) });
    const flips = fc.array(fc.array(fc.nat(63), { maxLength: 5 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(base, flips, fc.integer({ min: 0, max: 4 }), (hash, lists, distance) => {
        const hashes = lists.map((bits) => {
          let { high, low } = hash;
          for (const bit of bits) {
            if (bit < 32) high = (high ^ (1 << bit)) >>> 0;
            else low = (low ^ (1 << (bit - 32))) >>> 0;
          }
          return { high, low };
        });
        const expected = hashes.flatMap((a, i) =>
          hashes.flatMap((b, j) => (i < j && hammingDistance(a, b) <= distance ? [[i, j]] : [])),
        );
        const byPosition = (a: number[], b: number[]) => a[0]! - b[0]! || a[1]! - b[1]!;
        expect(nearPairs(hashes, distance).sort(byPosition)).toEqual(expected.sort(byPosition));
      }),
      { numRuns: 300 },
    );
  });
});

describe("findDuplicates", () => {
  let folder: string;
  const names = ["a.png", "copy.png", "same-pixels.webp", "resized.jpg", "other.png", "broken.png"];
  const dataset = {
    images: [...names, "missing.png"].map((file_name, i) => ({ id: i + 1, width: 64, height: 48, file_name })),
    categories: [{ id: 1, name: "bolt" }],
    annotations: names.map((_, i) => ({ id: i + 1, image_id: i + 1, category_id: 1, bbox: [0, 0, 9, 9 + i] })),
  };
  beforeAll(async () => {
    const { default: sharp } = await import("sharp");
    folder = await mkdtemp(join(tmpdir(), "seg-duplicates-"));
    const picture = (phase: number) =>
      sharp(
        Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => {
          const [x, y] = [Math.floor(i / 3) % 64, Math.floor(i / 192)];
          return 128 + 60 * Math.sin(x / 5 + phase) + 60 * Math.cos((y * (1 + phase)) / 7 + x / 9);
        }),
        { raw: { width: 64, height: 48, channels: 3 } },
      );
    await picture(0).png().toFile(join(folder, "a.png"));
    await copyFile(join(folder, "a.png"), join(folder, "copy.png"));
    await picture(0).webp({ lossless: true }).toFile(join(folder, "same-pixels.webp"));
    await picture(0).resize(128, 96).jpeg({ quality: 90 }).toFile(join(folder, "resized.jpg"));
    await picture(2).png().toFile(join(folder, "other.png"));
    await writeFile(join(folder, "broken.png"), "no picture");
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test.each(["difference", "dct"] as const)("equal bytes, equal pixels, another size: %s", async (hash) => {
    const report = await findDuplicates(dataset, { imagesDir: folder, hash });
    expect(report).toEqual({ exact: [[1, 2, 3]], near: [[1, 2, 3, 4]], maxDistance: 4, unreadable: [6, 7] });
  });

  test("a split that shares pictures is found out; one made with the clusters is clean", async () => {
    const duplicates = await findDuplicates(dataset, { imagesDir: folder });
    const bad = {
      train: { ...dataset, images: dataset.images.slice(0, 2) },
      val: { ...dataset, images: dataset.images.slice(2) },
    };
    const leakage = async (splits: Record<string, typeof dataset>) =>
      (await validateDataset(dataset, { duplicates, splits })).report.findings.filter(
        ({ code }) => code === "split_leakage",
      );
    expect(await leakage(bad)).toMatchObject([{ severity: "error", ids: [1, 2, 3, 4] }]);
    const { splits } = splitDataset(dataset, { ratios: "train:0.6,val:0.4", together: duplicates.near });
    expect(await leakage(splits as never)).toEqual([]);
  });

  test("a distance that the lookup cannot serve is refused, an abort ends the search", async () => {
    await expect(findDuplicates(dataset, { imagesDir: folder, maxDistance: 5 })).rejects.toMatchObject({
      code: "coco/duplicate-options",
    });
    await expect(findDuplicates(dataset, { imagesDir: folder, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});
