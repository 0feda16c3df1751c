import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boxTeacher } from "../../test/fake-teachers.js";
import { SegError } from "../errors.js";
import { type CachedImage, TeacherCache } from "./teacher-cache.js";
import { decodeRecord, encodeRecord, type MaskRecord, packLogits, unpackLogits } from "./teacher-record.js";

const COUNT = 40;
let root: string;
let images: CachedImage[];
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "seg-cache-"));
  images = [];
  for (let i = 0; i < COUNT; i++) {
    const file = join(root, `${i}.png`);
    await sharp({ create: { width: 16, height: 8, channels: 3, background: { r: 5 * i, g: 0, b: 0 } } })
      .png()
      .toFile(file);
    images.push({ id: 100 + i, file, width: 16, height: 8 });
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Asks for the mask of one box of every image. */
function ask(
  dir: string,
  teacher: ReturnType<typeof boxTeacher>,
  {
    side = 4,
    list = images,
    ...options
  }: { side?: number; list?: readonly CachedImage[] } & Parameters<TeacherCache["answer"]>[1] = {},
) {
  const cache = new TeacherCache({ dir, teachers: { masks: teacher } });
  const box = [0, 0, side, side] as const;
  const keys = cache.answer<MaskRecord>(
    {
      kind: "masks",
      teacher,
      images: list,
      settings: ({ id }) => (id % 10 === 9 ? null : box),
      async ask(pixels, { width, height }) {
        const { logits, iou, ...answer } = await teacher.predict(pixels, [box]);
        const masks = logits.map((grid, i) => ({ iou: iou[i]!, packed: packLogits(grid) }));
        return { kind: "masks", width, height, side: answer.side, toModel: answer.toModel, masks };
      },
    },
    options,
  );
  return keys.then(
    (found) => ({ cache, keys: found }),
    (error: unknown) => {
      cache.close();
      throw error;
    },
  );
}
const asked = COUNT - COUNT / 10;

describe("packLogits", () => {
  test("keeps steps of 1/16, clips at 8", () => {
    const back = unpackLogits(packLogits(Float32Array.of(0, 0.0625, -0.03, 3.14, -20, 20)));
    expect([...back]).toEqual([0, 0.0625, 0, 3.125, -8, 7.9375]);
  });
});

describe("records", () => {
  test("come back: boxes exact, class logits within .008, masks in steps, features as binary16", () => {
    const size = { width: 30, height: 20 };
    const boxes = [[1.25, 2, 1000.0625, 4] as const, [0, 0, 7, 8] as const];
    const logits = Float32Array.of(-4.003, 2.7, Number.NEGATIVE_INFINITY, 15.99);
    const detections = decodeRecord(encodeRecord({ kind: "detections", ...size, classes: 2, boxes, logits }));
    if (detections.kind !== "detections") expect.unreachable();
    expect(detections.boxes).toEqual(boxes);
    [...detections.logits].forEach((z, i) => {
      expect(Math.abs(z - Math.max(-16, logits[i]!))).toBeLessThanOrEqual(0.008);
    });
    const toModel = [1, 0, 0, 0, 1, 0] as const;
    const packed = packLogits(Float32Array.of(1, 2, 3, 4));
    const masks = decodeRecord(
      encodeRecord({
        kind: "masks",
        ...size,
        side: 2,
        toModel,
        masks: [
          { iou: 0.5, packed },
          { iou: 1, packed },
        ],
      }),
    );
    if (masks.kind !== "masks") expect.unreachable();
    expect(masks.masks.map(({ iou, packed: p }) => [iou, ...unpackLogits(p)])).toEqual([
      [0.5, 1, 2, 3, 4],
      [1, 1, 2, 3, 4],
    ]);
    const map = { stride: 8, height: 1, width: 2, channels: 2, data: Float32Array.of(1, -2, 0.5, 4), toMap: toModel };
    expect(decodeRecord(encodeRecord({ kind: "features", ...size, maps: [map] }))).toEqual({
      ...{ kind: "features", ...size, maps: [map] },
    });
    const empty = { kind: "detections", ...size, classes: 2, boxes: [], logits: new Float32Array(0) } as const;
    expect(decodeRecord(encodeRecord(empty))).toEqual(empty);
  });
});

describe("TeacherCache", () => {
  test("asks once; a second run reuses everything and finds the same answers", async () => {
    const dir = join(root, "once");
    const teacher = boxTeacher();
    const progress: boolean[] = [];
    const first = await ask(dir, teacher, { onProgress: ({ reused }) => progress.push(reused) });
    expect([teacher.calls, first.keys.size, first.cache.size]).toEqual([asked, asked, asked]);
    expect(progress).toEqual(Array(asked).fill(false));
    first.cache.close();
    const again = await ask(dir, teacher, { onProgress: ({ reused }) => progress.push(reused) });
    expect([teacher.calls, [...again.keys]]).toEqual([asked, [...first.keys]]);
    expect(progress.slice(asked)).toEqual(Array(asked).fill(true));
    const record = again.cache.read(again.keys.get(100)!) as MaskRecord;
    expect(unpackLogits(record.masks[0]!.packed)[0]).toBe(6);
    again.cache.close();
  });

  test("interrupted anywhere it goes on without asking anything twice", async () => {
    const dir = join(root, "interrupted");
    const teacher = boxTeacher();
    for (const stop of [1, 7, 20]) {
      const controller = new AbortController();
      let answered = 0;
      const run = ask(dir, teacher, {
        signal: controller.signal,
        onProgress: () => {
          answered += 1;
          if (answered === stop) controller.abort();
        },
      });
      await expect(run).rejects.toMatchObject({ name: "AbortError" });
    }
    const { keys, cache } = await ask(dir, teacher);
    expect([teacher.calls, keys.size]).toEqual([asked, asked]);
    cache.close();
  });

  test("one flipped bit costs one answer", async () => {
    const dir = join(root, "flipped");
    const teacher = boxTeacher();
    const first = await ask(dir, teacher);
    first.cache.close();
    const shard = join(dir, readdirSync(dir).find((name) => name.endsWith(".bin"))!);
    const bytes = readFileSync(shard);
    bytes[Math.floor(bytes.length / 2)]! ^= 8;
    writeFileSync(shard, bytes);
    const damaged = new TeacherCache({ dir, teachers: { masks: teacher } });
    const unreadable = [...first.keys.values()].filter((key) => {
      try {
        return damaged.read(key) === null;
      } catch (error) {
        return SegError.isInstance(error) && error.code === "distill/cache-corrupt";
      }
    });
    expect(unreadable).toHaveLength(1);
    damaged.close();
    const repaired = await ask(dir, teacher);
    expect(teacher.calls).toBe(asked + 1);
    for (const key of repaired.keys.values()) expect(repaired.cache.read(key).kind).toBe("masks");
    repaired.cache.close();
  });

  test("another question, another picture or another teacher makes another key", async () => {
    const dir = join(root, "keys");
    const teacher = boxTeacher();
    const list = images.slice(0, 3);
    const { keys, cache } = await ask(dir, teacher, { list });
    cache.close();
    const wider = await ask(dir, teacher, { list, side: 5 });
    wider.cache.close();
    expect(teacher.calls).toBe(6);
    expect([...wider.keys.values()].some((key) => [...keys.values()].includes(key))).toBe(false);
    const swapped = await ask(dir, teacher, { list: [{ ...list[0]!, file: list[1]!.file }] });
    expect([teacher.calls, swapped.keys.get(100)]).toEqual([6, keys.get(101)]);
    swapped.cache.close();
    await expect(async () => ask(dir, boxTeacher("2"), { list })).rejects.toMatchObject({
      code: "distill/cache-key-mismatch",
      actual: "boxes (1)",
    });
  });

  test("names an unreadable image, or leaves it out", async () => {
    const file = join(root, "broken.jpg");
    writeFileSync(file, "not a picture");
    const list = [images[0]!, { ...images[1]!, file }, images[2]!];
    const run = ask(join(root, "broken"), boxTeacher(), { list });
    await expect(run).rejects.toMatchObject({ code: "distill/bad-image", file });
    const { keys, cache } = await ask(join(root, "broken"), boxTeacher(), { list, onBadImage: "skip" });
    expect([...keys.keys()]).toEqual([100, 102]);
    cache.close();
  });
});
