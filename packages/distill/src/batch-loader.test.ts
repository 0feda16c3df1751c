import { describe, expect, test } from "vitest";
import { BatchLoader, type BatchLoaderOptions } from "./batch-loader.js";
import type { DistillationData } from "./teacher/prepare-distillation.js";
import { packLogits } from "./teacher/teacher-record.js";
import type { TrainingImage } from "./training-images.js";

const size = 32;
const images: TrainingImage[] = Array.from({ length: 3 }, (_, n) => {
  const count = n === 2 ? 12 : 1;
  const at = Array.from({ length: count }, (_, k) => k);
  const data = new Uint8Array(size * size * 3).fill(50 * n + 10);
  return {
    imageId: n,
    fileName: `${n}.png`,
    sample: {
      image: { width: size, height: size, channels: 3, data },
      bboxes: at.map((k) => [k, k, k + 16, k + 16]),
      labels: at.map(() => 0),
      iscrowd: at.map(() => false),
    },
    objects: at.map((k) => ({ annotationId: 100 * n + k, weight: 1 })),
    scale: [2, 2],
  };
});
const loader = (over: Partial<BatchLoaderOptions> = {}) =>
  new BatchLoader(images, {
    batch: 2,
    size,
    seed: 4,
    parts: { segment: false },
    augment: { mosaic: 0, mixup: 0, copyPaste: 0 },
    mixUntil: 0,
    distillation: null,
    featureStrides: [],
    temperature: 1,
    ...over,
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

  test("a fixed number of steps goes through the images pass after pass, with new draws for each", () => {
    const one = loader({ stepsPerEpoch: 5 });
    expect(one.stepsPerEpoch).toBe(5);
    const files = [0, 1].flatMap((epoch) => [0, 1, 2, 3, 4].flatMap((step) => one.load(epoch, step).files));
    // 20 places: six whole passes of three and two more.
    const counts = images.map(({ fileName }) => files.filter((file) => file === fileName).length).sort();
    expect(counts).toEqual([6, 7, 7]);
    const first = one.load(0, 0);
    expect(loader({ stepsPerEpoch: 5 }).load(0, 0).images).toEqual(first.images);
    const same = [0, 1, 2, 3, 4].map((step) => one.load(0, step)).filter(({ files: f }) => f.includes("0.png"));
    expect(new Set(same.map(({ images: pixels }) => pixels.join())).size).toBe(same.length);
  });

  test("what a teacher said of an object goes wherever the object goes, mosaics included", () => {
    // A detection and a mask behind every annotation: the box itself, in original pixels (half of the scaled ones).
    const boxOf = (annotationId: number) => {
      const k = annotationId % 100;
      return [k / 2, k / 2, k / 2 + 8, k / 2 + 8] as const;
    };
    const grid = Float32Array.from({ length: 16 * 16 }, () => 8);
    const distillation = {
      detection: (id: number) => ({ box: boxOf(id), logits: Float32Array.of(1, -2), classId: 0, score: 0.73 }),
      mask: () => ({ side: 16, toModel: [1, 0, 0, 0, 1, 0], mask: { iou: 0.9, packed: packLogits(grid) } }),
    } as unknown as DistillationData;
    const parts = { segment: true, classes: 2, teacherBoxes: true, teacherMasks: true };
    for (const mosaic of [0, 1]) {
      const augment = { mosaic, mixup: 0, copyPaste: 0, scale: 0.3 };
      const { targets } = loader({ parts, augment, distillation, mixUntil: 9 }).load(0, 0);
      const { boxes, valid, teacherBoxes, boxScores, classScores, teacherWeights, teacherMasks, side, truths } =
        targets;
      let seen = 0;
      valid.forEach((v, row) => {
        if (v === 0) return;
        seen += 1;
        for (let i = 0; i < 4; i++) expect(teacherBoxes![4 * row + i]).toBeCloseTo(boxes[4 * row + i]!, 3);
        expect([boxScores![row]!, classScores![row]!].map((s) => s.toFixed(2))).toEqual(["0.73", "0.73"]);
        expect(teacherWeights![row]).toBeCloseTo(0.9, 6);
        // Where the box is, the teacher says inside.
        const [x1, y1, x2, y2] = boxes.slice(4 * row, 4 * row + 4) as unknown as [number, number, number, number];
        for (let i = Math.ceil(y1 / 4); i < Math.floor(y2 / 4); i++) {
          for (let j = Math.ceil(x1 / 4); j < Math.floor(x2 / 4); j++)
            expect(teacherMasks![(row * side + i) * side + j]).toBeGreaterThan(0.99);
        }
      });
      expect(seen).toBeGreaterThan(1);
      expect(truths).toBeGreaterThanOrEqual(seen / 2);
    }
  });

  test("an object that something was pasted over keeps what is left of its mask", () => {
    const ring = (k: number) => [[k, k, k + 16, k, k + 16, k + 16, k, k + 16]];
    const masked = images.map((image) => ({
      ...image,
      sample: { ...image.sample, masks: (image.sample.bboxes as number[][]).map(([k]) => ring(k!)) },
    }));
    const augment = { mosaic: 0, mixup: 0, copyPaste: 1, scale: 0, translate: 0, fliplr: 0 };
    const options = { batch: 2, size, seed: 4, mixUntil: 9, distillation: null, featureStrides: [], temperature: 1 };
    const pasting = new BatchLoader(masked, { ...options, parts: { segment: true }, augment });
    let [cut, whole] = [0, 0];
    for (const epoch of [0, 1, 2, 3, 4, 5]) {
      const { targets } = pasting.load(epoch, 0);
      const { masks, hasMask, valid, boxes, side } = targets;
      valid.forEach((v, row) => {
        if (v === 0) return;
        expect(hasMask![row]).toBe(1);
        const cells = masks!.subarray(row * side * side, (row + 1) * side * side).reduce((sum, c) => sum + c, 0);
        const [x1, y1, x2, y2] = boxes.slice(4 * row, 4 * row + 4) as unknown as [number, number, number, number];
        const inBox = Math.round(((x2 - x1) * (y2 - y1)) / 16);
        expect(cells).toBeLessThanOrEqual(inBox + 9);
        if (cells < inBox - 2) cut += 1;
        else whole += 1;
      });
    }
    expect([cut > 0, whole > 0]).toEqual([true, true]);
  });

  test("features are looked up through the map of the picture; mixed pictures have none", () => {
    const features = [
      // Columns of the original image (16 px): the value is the column.
      {
        stride: 8,
        height: 1,
        width: 16,
        channels: 1,
        data: Float32Array.from({ length: 16 }, (_, x) => x + 0.5),
        toMap: [1, 0, 0, 0, 1 / 16, 0],
      },
    ];
    const distillation = {
      featureChannels: new Map([[8, 1]]),
      features: () => features,
      detection: () => null,
      mask: () => null,
    } as unknown as DistillationData;
    const still = { mosaic: 0, mixup: 0, copyPaste: 0, scale: 0, translate: 0, hsv: false as const };
    const [plain] = loader({ distillation, featureStrides: [8], augment: { ...still, fliplr: 0 } }).load(0, 0).features;
    expect([...plain!.valid].every((v) => v === 1)).toBe(true);
    // Cell j of four has its centre at 8 j + 4 scaled pixels, half of that in the original.
    expect([...plain!.values.slice(0, 4)]).toEqual([2, 6, 10, 14]);
    const [flipped] = loader({ distillation, featureStrides: [8], augment: { ...still, fliplr: 1 } }).load(
      0,
      0,
    ).features;
    expect([...flipped!.values.slice(0, 4)]).toEqual([14, 10, 6, 2]);
    const [mixed] = loader({ distillation, featureStrides: [8], augment: { ...still, mosaic: 1 }, mixUntil: 9 }).load(
      0,
      0,
    ).features;
    expect([...mixed!.valid].some((v) => v !== 0)).toBe(false);
  });
});
