import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { CocoDataset } from "../document.js";
import { channelStatistics } from "./channel-statistics.js";
import { computeStatistics, percentiles } from "./compute-statistics.js";

const dataset: CocoDataset = {
  images: [1, 2, 3].map((id) => ({ id, width: 320, height: 160, file_name: `${id}.png` })),
  categories: [
    { id: 4, name: "bolt" },
    { id: 9, name: "nut" },
  ],
  annotations: [
    { id: 1, image_id: 1, category_id: 4, bbox: [0, 0, 20, 10] },
    { id: 2, image_id: 1, category_id: 9, bbox: [300, 150, 20, 10] },
    { id: 3, image_id: 2, category_id: 4, segmentation: [[0, 0, 40, 0, 40, 40, 0, 40]] },
    { id: 4, image_id: 2, category_id: 4, bbox: [0, 0, 3, 90] },
    { id: 5, image_id: 2, category_id: 9, bbox: [0, 0, 9, 9], iscrowd: 1 },
  ],
};

describe("computeStatistics", () => {
  const result = computeStatistics(dataset);
  test("sizes, places and shapes, crowds left out", () => {
    expect(result.classes.map(({ name, instances, images }) => [name, instances, images])).toEqual([
      ["bolt", 3, 2],
      ["nut", 1, 1],
    ]);
    expect(result.classes[0]!.width).toMatchObject({ count: 3, min: 3, p50: 20, max: 40 });
    expect(result.classes[0]!.aspect.max).toBe(2);
    expect(result.heatmap.reduce((a, b) => a + b)).toBe(4);
    // The centre (310, 155) lies in the last row and column.
    expect(result.classes[1]!.heatmap[32 * 31 + 31]).toBe(1);
    expect(result.objectsPerImage).toMatchObject({ count: 3, min: 0, p50: 2, max: 2 });
    expect(result.coOccurrence).toEqual([
      [2, 1],
      [1, 1],
    ]);
    expect(result.verticesPerPolygon).toMatchObject({ count: 1, max: 4 });
    expect(result.imageSizes).toEqual([{ width: 320, height: 160, count: 3 }]);
  });

  test("imbalance, entropy, objects that vanish at 640 px", () => {
    expect(result.imbalance).toBe(3);
    expect(result.entropy).toBeCloseTo(-(0.75 * Math.log2(0.75) + 0.25 * Math.log2(0.25)), 12);
    // 3 px wide in an image of 320 is 6 px at 640.
    expect(result.tinyShare).toBe(0.25);
  });

  test("nothing in, zeros out", () => {
    const empty = computeStatistics({ images: [], categories: [], annotations: [] });
    expect(empty).toMatchObject({ imbalance: 0, entropy: 0, tinyShare: 0, classes: [] });
  });
});

describe("percentiles", () => {
  test("interpolates like numpy", () => {
    expect(percentiles([4, 1, 3, 2])).toMatchObject({
      min: 1,
      p25: 1.75,
      p50: 2.5,
      p75: 3.25,
      p95: 3.8499999999999996,
      max: 4,
      mean: 2.5,
    });
    expect(percentiles([])).toMatchObject({ count: 0, p50: 0 });
  });
});

describe("channelStatistics", () => {
  test("mean and deviation of the channels; a missing file is named", async () => {
    const { default: sharp } = await import("sharp");
    const folder = await mkdtemp(join(tmpdir(), "seg-colours-"));
    const plain = (background: { r: number; g: number; b: number }) =>
      sharp({ create: { width: 4, height: 4, channels: 3, background } }).png();
    await plain({ r: 255, g: 0, b: 51 }).toFile(join(folder, "1.png"));
    await plain({ r: 0, g: 0, b: 51 }).toFile(join(folder, "2.png"));
    const result = await channelStatistics(dataset, { imagesDir: folder });
    expect(result).toMatchObject({ mean: [0.5, 0, 0.2], images: 2, unreadable: [3] });
    expect(result.deviation[0]).toBeCloseTo(0.5, 12);
    expect(result.deviation[2]).toBeCloseTo(0, 12);
    expect((await channelStatistics(dataset, { imagesDir: folder, sample: 0 })).images).toBe(0);
    await rm(folder, { recursive: true });
  });
});
