import { IDENTITY, type SampleInstance } from "@seg/augment";
import { describe, expect, test } from "vitest";
import { BatchLoader } from "./batch-loader.js";
import type { TrainingImage } from "./training-images.js";

const size = 32;
const images: TrainingImage[] = Array.from({ length: 3 }, (_, n) => {
  const instances: SampleInstance[] = Array.from({ length: n === 2 ? 12 : 1 }, (_, k) => ({
    classId: 0,
    box: [k, k, k + 16, k + 16],
    sourceId: 100 * n + k,
    matrix: IDENTITY,
  }));
  const data = new Uint8Array(size * size * 3).fill(50 * n + 10);
  return { imageId: n, fileName: `${n}.png`, sample: { image: { width: size, height: size, data }, instances } };
});
const loader = () =>
  new BatchLoader(images, {
    batch: 2,
    size,
    seed: 4,
    segment: false,
    augment: { mosaic: 0 },
    mosaicUntil: 0,
    teacher: null,
    temperature: 1,
  });

describe("BatchLoader", () => {
  test("shows every image once an epoch and fills the last batch from the front of the order", () => {
    const one = loader();
    expect(one.stepsPerEpoch).toBe(2);
    const [first, second] = [one.load(0, 0), one.load(0, 1)];
    expect(new Set([...first.files, ...second.files]).size).toBe(3);
    expect(second.files[1]).toBe(first.files[0]);
  });

  test("a batch depends on seed, epoch and step alone, not on what was loaded before", () => {
    const used = loader();
    used.load(0, 0);
    used.load(5, 1);
    const again = used.load(2, 1);
    const fresh = loader().load(2, 1);
    expect(again.files).toEqual(fresh.files);
    expect(again.images).toEqual(fresh.images);
    expect(again.targets).toEqual(fresh.targets);
    expect(loader().load(3, 1).images).not.toEqual(fresh.images);
  });

  test("pads every batch to what the crowded image needs", () => {
    const one = loader();
    const shapes = [0, 1, 2, 3].flatMap((epoch) => [0, 1].map((step) => one.load(epoch, step).targets.truths));
    expect(new Set(shapes)).toEqual(new Set([16]));
  });
});
