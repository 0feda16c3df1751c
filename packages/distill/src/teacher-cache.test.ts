import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SegError } from "./errors.js";
import { buildTeacherCache, type MaskTeacher } from "./teacher-cache.js";
import { decodeRecord, encodeRecord, packLogits, unpackLogits } from "./teacher-record.js";

let root: string;
const dataset: CocoDataset = {
  images: [
    { id: 7, width: 16, height: 8, file_name: "a.png" },
    { id: 9, width: 16, height: 8, file_name: "b.png" },
  ],
  categories: [{ id: 3, name: "bolt" }],
  annotations: [
    { id: 1, image_id: 7, category_id: 3, bbox: [1, 1, 4, 4] },
    { id: 2, image_id: 7, category_id: 3, bbox: [6, 2, 5, 5] },
    { id: 3, image_id: 9, category_id: 3, bbox: [0, 0, 8, 8] },
  ],
};

function countingTeacher(hash = "h1"): MaskTeacher & { calls: number } {
  return {
    id: "fake",
    hash,
    calls: 0,
    async predict(_image, boxes) {
      this.calls += 1;
      return {
        logits: boxes.map((_, i) => Float32Array.from({ length: 16 }, (_, k) => k - 8 + i)),
        side: 4,
        iou: boxes.map(() => 0.9),
        toModel: [4 / 16, 0, 0, 0, 4 / 16, 0],
      };
    },
  };
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "seg-cache-"));
  for (const [i, name] of ["a.png", "b.png"].entries()) {
    await sharp({ create: { width: 16, height: 8, channels: 3, background: { r: 10 * i, g: 0, b: 0 } } })
      .png()
      .toFile(join(root, name));
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const files = (dir: string) =>
  readdirSync(dir, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".kd"))
    .sort();

describe("packLogits", () => {
  test("keeps steps of 1/16, clips at 8", () => {
    const back = unpackLogits(packLogits(Float32Array.of(0, 0.0625, -0.03, 3.14, -20, 20)));
    expect([...back]).toEqual([0, 0.0625, 0, 3.125, -8, 7.9375]);
  });
});

describe("records", () => {
  test("round trip; a flipped bit is named", () => {
    const packed = packLogits(Float32Array.of(1, 2, 3, 4));
    const record = {
      key: "k",
      width: 4,
      height: 3,
      side: 2,
      toModel: [1, 0, 0, 0, 1, 0] as const,
      masks: [{ annotationId: 5, iou: 0.5, packed }],
    };
    const bytes = encodeRecord(record);
    expect([...unpackLogits(decodeRecord(bytes, "f").masks[0]!.packed)]).toEqual([1, 2, 3, 4]);
    const bad = Uint8Array.from(bytes);
    bad[bytes.length - 40]! ^= 4;
    expect(() => decodeRecord(bad, "f")).toThrow(/f is damaged: the checksum differs/);
    expect(() => decodeRecord(bytes.subarray(0, 20), "f")).toThrow(/damaged/);
  });
});

describe("buildTeacherCache", () => {
  test("asks once, resumes, repairs damage, and returns the masks by annotation", async () => {
    const dir = join(root, "cache");
    const teacher = countingTeacher();
    const progress: boolean[] = [];
    const first = await buildTeacherCache({
      teacher,
      dataset,
      imagesDir: root,
      dir,
      onProgress: (p) => progress.push(p.reused),
    });
    expect([teacher.calls, first.size, first.get(9)!.masks.length]).toEqual([2, 2, 1]);
    expect(first.get(7)!.masks.map((m) => m.annotationId)).toEqual([1, 2]);
    expect(unpackLogits(first.get(7)!.masks[1]!.packed)[0]).toBe(-7);
    const before = files(dir).map((name) => readFileSync(join(dir, name)));

    const again = await buildTeacherCache({
      teacher,
      dataset,
      imagesDir: root,
      dir,
      onProgress: (p) => progress.push(p.reused),
    });
    expect([teacher.calls, again.id === first.id]).toEqual([2, true]);
    expect(progress).toEqual([false, false, true, true]);

    const victim = join(dir, files(dir)[0]!);
    const bytes = readFileSync(victim);
    bytes[30]! ^= 1;
    writeFileSync(victim, bytes);
    await buildTeacherCache({ teacher, dataset, imagesDir: root, dir });
    expect(teacher.calls).toBe(3);
    expect(files(dir).map((name) => readFileSync(join(dir, name)))).toEqual(before);
  });

  test("asks again when a prompt changes, and refuses another teacher's directory", async () => {
    const dir = join(root, "cache2");
    const teacher = countingTeacher();
    await buildTeacherCache({ teacher, dataset, imagesDir: root, dir });
    const moved = {
      ...dataset,
      annotations: dataset.annotations.map((a) => (a.id === 3 ? { ...a, bbox: [0, 0, 7, 8] } : a)),
    };
    await buildTeacherCache({ teacher, dataset: moved, imagesDir: root, dir });
    expect(teacher.calls).toBe(3);
    await expect(
      buildTeacherCache({ teacher: countingTeacher("h2"), dataset, imagesDir: root, dir }),
    ).rejects.toMatchObject({
      code: "distill/cache-key-mismatch",
    });
  });

  test("names an unreadable image, or leaves it out", async () => {
    const dir = join(root, "cache3");
    writeFileSync(join(root, "broken.jpg"), "not a picture");
    const bad: CocoDataset = {
      ...dataset,
      images: dataset.images.map((image) => (image.id === 9 ? { ...image, file_name: "broken.jpg" } : image)),
    };
    const input = { teacher: countingTeacher(), dataset: bad, imagesDir: root, dir };
    const failure = await buildTeacherCache(input).catch((error: unknown) => error);
    expect(SegError.isInstance(failure) && failure.code).toBe("distill/bad-image");
    expect(String(failure)).toContain("broken.jpg");
    const skipped = await buildTeacherCache({ ...input, onBadImage: "skip" });
    expect([skipped.size, skipped.get(9)]).toEqual([1, null]);
    expect(existsSync(join(dir, "index.json"))).toBe(true);
  });
});
