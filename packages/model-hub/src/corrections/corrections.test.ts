import { type CocoDataset, validateDataset } from "@seg/coco-dataset";
import { describe, expect, test } from "vitest";
import { compareAnnotations } from "./compare-annotations.js";
import { correctionsDataset } from "./corrections-dataset.js";

const image = (id: number, file_name: string) => ({ id, file_name, width: 100, height: 80 });
const box = (id: number, image_id: number, category_id: number, bbox: readonly number[], more: object = {}) => ({
  ...{ id, image_id, category_id, bbox, area: bbox[2]! * bbox[3]!, iscrowd: 0 },
  ...more,
});
const ear = { id: 1, name: "ear" };
const label = { id: 2, name: "label" };

const predicted: CocoDataset = {
  images: [image(1, "belt/a.png"), image(2, "belt/b.png"), image(3, "belt/c.png")],
  categories: [ear, label],
  annotations: [
    box(1, 1, 1, [10, 10, 20, 20], { score: 0.9 }),
    box(2, 1, 1, [50, 10, 20, 20], { score: 0.8 }),
    box(3, 1, 2, [10, 50, 20, 20], { score: 0.7 }),
    box(4, 1, 2, [70, 50, 20, 20], { score: 0.3 }),
    box(5, 2, 1, [0, 0, 9, 9], { score: 0.3 }),
  ],
};
/** From a tool: no folders, other ids, a class of its own; image c was not looked at. */
const corrected: CocoDataset = {
  images: [image(7, "a.png"), image(8, "b.png"), image(9, "elsewhere.png")],
  categories: [
    { id: 4, name: "label" },
    { id: 5, name: "ear" },
    { id: 6, name: "tear" },
  ],
  annotations: [
    box(1, 7, 5, [10, 10, 20, 20], { score: 0.9 }),
    box(2, 7, 5, [54, 12, 20, 20]),
    box(3, 7, 6, [10, 50, 20, 20]),
    box(4, 7, 4, [40, 60, 10, 10]),
    box(5, 9, 4, [40, 60, 10, 10]),
  ],
};
const base: CocoDataset = {
  images: [image(3, "belt/a.png"), image(12, "belt/z.png")],
  categories: [{ id: 20, name: "ear" }],
  annotations: [box(30, 3, 20, [1, 1, 2, 2]), box(31, 12, 20, [1, 1, 2, 2])],
};

describe("compareAnnotations", () => {
  test("tells what a person did to every object", () => {
    const { images, counts, kept_share, corrections } = compareAnnotations({ predicted, corrected });
    expect(images).toBe(2);
    expect(counts).toEqual({ kept: 1, moved: 1, reclassified: 1, added: 1, removed: 2 });
    expect(kept_share).toBe(1 / 5);
    expect(corrections.find(({ kind }) => kind === "reclassified")).toEqual({
      ...{ kind: "reclassified", file_name: "a.png", predicted: "label", corrected: "tear", iou: 1 },
    });
    // 16 x 18 of 2 x 400 - 288
    expect(corrections.find(({ kind }) => kind === "moved")!.iou).toBeCloseTo(288 / 512, 12);
  });

  test("where both have masks their shapes count, not their boxes", () => {
    const withMask = (segmentation: number[][]): CocoDataset => ({
      images: [image(1, "a.png")],
      categories: [ear],
      annotations: [{ ...box(1, 1, 1, [10, 10, 20, 20]), segmentation }],
    });
    const square = withMask([[10, 10, 30, 10, 30, 30, 10, 30]]);
    const triangle = withMask([[10, 10, 30, 10, 30, 30]]);
    expect(compareAnnotations({ predicted: square, corrected: square }).counts.kept).toBe(1);
    expect(compareAnnotations({ predicted: square, corrected: triangle }).counts.moved).toBe(1);
  });

  test("nothing found: no share", () => {
    const none = { ...predicted, annotations: [] };
    expect(compareAnnotations({ predicted: none, corrected })).toMatchObject({
      kept_share: null,
      counts: { added: 4 },
    });
  });
});

describe("correctionsDataset", () => {
  test("is a valid data set of what was looked at, negatives among it, without scores", () => {
    const { corrections, merged } = correctionsDataset({ predicted, corrected });
    expect(merged).toBeNull();
    expect(corrections.images.map(({ file_name }) => file_name)).toEqual(["belt/a.png", "belt/b.png"]);
    expect(corrections.categories.map(({ name }) => name)).toEqual(["ear", "label", "tear"]);
    expect(corrections.annotations.map(({ category_id }) => category_id)).toEqual([1, 1, 3, 2]);
    expect(corrections.annotations.some((annotation) => "score" in annotation)).toBe(false);
  });

  test("takes the place of the same images in the data set it is merged with", async () => {
    const { corrections, merged, replaced } = correctionsDataset({ predicted, corrected, base });
    expect(replaced).toBe(1);
    expect(merged!.images.map(({ id, file_name }) => [id, file_name])).toEqual([
      [3, "belt/a.png"],
      [12, "belt/z.png"],
      [13, "belt/b.png"],
    ]);
    expect(merged!.categories.map(({ id, name }) => [id, name])).toEqual([
      [20, "ear"],
      [21, "label"],
      [22, "tear"],
    ]);
    expect(merged!.annotations.map(({ id, image_id }) => [id, image_id])).toEqual([
      [31, 12],
      [32, 3],
      [33, 3],
      [34, 3],
      [35, 3],
    ]);
    for (const dataset of [corrections, merged!]) {
      const { report } = await validateDataset(dataset);
      expect(report.findings.filter(({ severity }) => severity === "error")).toEqual([]);
    }
  });

  test("refuses corrections of other images", () => {
    const other = { ...corrected, images: [image(1, "x.png")] };
    expect(() => correctionsDataset({ predicted, corrected: other })).toThrow(/same by file name/);
    const twice = { ...corrected, images: [image(1, "x/a.png"), image(2, "y/a.png")] };
    expect(() => correctionsDataset({ predicted, corrected: twice })).toThrow(/two images named a\.png/);
  });
});
