import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CocoDataset } from "../document.js";
import { applySplit, extendSplit, verifySplit } from "./apply-split.js";
import { hashFraction, hashSplit } from "./hash-split.js";
import { kFold } from "./k-fold.js";
import { SplitRandom } from "./random.js";
import { parseRatios, splitTargets } from "./ratios.js";
import { splitDataset } from "./split-dataset.js";

/** Image i carries the classes of its list; an empty list is a negative. */
function dataset(classesOfImages: readonly (readonly number[])[]): CocoDataset {
  let id = 0;
  return {
    images: classesOfImages.map((_, i) => ({
      id: i + 1,
      width: 10,
      height: 10,
      file_name: `${i + 1}.jpg`,
      video: `v${i >> 2}`,
    })),
    categories: [1, 2, 3].map((category) => ({ id: category, name: `class ${category}` })),
    annotations: classesOfImages.flatMap((classes, i) =>
      classes.map((category_id) => ({
        id: ++id,
        image_id: i + 1,
        category_id,
        bbox: [0, 0, 5, 5],
        area: 25,
        iscrowd: 0,
      })),
    ),
  };
}
const sizes = (result: { splits: Readonly<Record<string, CocoDataset>> }) =>
  Object.values(result.splits).map((split) => split.images.length);
const imageIds = (split: CocoDataset) => split.images.map((image) => image.id);

describe("SplitRandom", () => {
  test("the vectors of the specification", () => {
    const random = new SplitRandom(42);
    expect([1, 2, 3, 4].map(() => random.uint32())).toEqual([659679763, 3329864737, 468824161, 2786511910]);
    expect(new SplitRandom(42).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])).toEqual([8, 9, 4, 2, 6, 5, 0, 1, 7, 3]);
    const zero = new SplitRandom(0);
    expect([zero.uint32(), zero.uint32()]).toEqual([104775714, 1484803768]);
    expect(new SplitRandom(0).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])).toEqual([1, 7, 5, 0, 8, 2, 6, 3, 9, 4]);
    expect(new SplitRandom("abc").uint32()).toBe(3710176005);
  });
});

describe("parseRatios and splitTargets", () => {
  test("reads text and objects", () => {
    expect(parseRatios("train:0.7, val:0.15,test:0.15")).toEqual(parseRatios({ train: 0.7, val: 0.15, test: 0.15 }));
  });

  test.each(["train:0.7,val:0.2", "train:1.2,val:-0.2", "a:0.5,a:0.5", "tr ain:1", "train", "train:x,val:0.5", ""])(
    "refuses %j",
    (ratios) => {
      expect(() => parseRatios(ratios)).toThrow(expect.objectContaining({ code: "coco/split", reason: "ratios" }));
    },
  );

  test("largest remainder, ties in declared order", () => {
    expect(splitTargets([0.7, 0.15, 0.15], 364)).toEqual([255, 55, 54]);
    expect(splitTargets([0.7, 0.15, 0.15], 10)).toEqual([7, 2, 1]);
    expect(splitTargets([0.7, 0.15, 0.15], 20)).toEqual([14, 3, 3]);
  });
});

describe("splitDataset", () => {
  test("proportions are kept, negatives too", () => {
    const list = Array.from({ length: 100 }, (_, i) => (i < 60 ? [1] : i < 80 ? [2] : i < 90 ? [3, 3] : []));
    const { distribution, findings } = splitDataset(dataset(list), { ratios: "train:0.8,val:0.1,test:0.1", seed: 42 });
    expect(distribution.splits.map(({ images, negatives }) => [images, negatives])).toEqual([
      [80, 8],
      [10, 1],
      [10, 1],
    ]);
    expect(distribution.splits.map((split) => split.classes.map((row) => row.images))).toEqual([
      [48, 16, 8],
      [6, 2, 1],
      [6, 2, 1],
    ]);
    expect(findings).toEqual([]);
  });

  test("a class with three images reaches three splits", () => {
    const list = Array.from({ length: 40 }, (_, i) => (i < 3 ? [1, 3] : i < 20 ? [1] : [1, 2]));
    for (const seed of [0, 1, 2, 3, 4]) {
      const { distribution } = splitDataset(dataset(list), { seed });
      expect(distribution.splits.map((split) => split.classes[2]!.images)).toEqual([1, 1, 1]);
    }
  });

  test("a class with too few images is reported and goes to the first splits", () => {
    const list = Array.from({ length: 20 }, (_, i) => (i < 2 ? [1, 3] : [1]));
    const { distribution, findings } = splitDataset(dataset(list));
    expect(findings).toMatchObject([{ code: "insufficient_instances", ids: [3] }]);
    expect(distribution.splits.map((split) => split.classes[2]!.images)).toEqual([1, 1, 0]);
  });

  test("an empty split and too few units are errors", () => {
    const few = dataset(Array.from({ length: 5 }, () => [1]));
    expect(() => splitDataset(few, { ratios: "train:0.9,val:0.05,test:0.05" })).toThrow(
      expect.objectContaining({ code: "coco/split", reason: "empty-split" }),
    );
    expect(() => splitDataset(dataset([[1], [1]]))).toThrow(expect.objectContaining({ reason: "too-few-units" }));
    expect(() => splitDataset(few, { groupBy: "camera" })).toThrow(expect.objectContaining({ reason: "group-by" }));
  });

  test("the lock restores the split and refuses another dataset", () => {
    const source = dataset(Array.from({ length: 30 }, (_, i) => [1 + (i % 3)]));
    const { splits, lock } = splitDataset(source, { groupBy: "video" });
    expect(lock).toMatchObject({ version: 1, seed: 42, groupBy: "video", dataset: { numImages: 30 } });
    expect(applySplit(JSON.parse(JSON.stringify(lock)), source)).toEqual(splits);
    const changed = { ...source, images: source.images.slice(1) };
    expect(() => applySplit(lock, changed)).toThrow(expect.objectContaining({ reason: "dataset-changed", ids: [1] }));
  });

  test("properties: disjoint, complete, exact sizes, order of the input does not matter", () => {
    const lists = fc.array(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }), { minLength: 8, maxLength: 60 });
    fc.assert(
      fc.property(lists, fc.nat(), fc.boolean(), (list, seed, stratify) => {
        const source = dataset(list);
        const result = splitDataset(source, { seed, stratify, ratios: "train:0.6,val:0.2,test:0.2" });
        expect(sizes(result)).toEqual(splitTargets([0.6, 0.2, 0.2], list.length));
        const all = Object.values(result.splits).flatMap(imageIds);
        expect(all.toSorted((a, b) => a - b)).toEqual(imageIds(source));
        const annotations = Object.values(result.splits).reduce((sum, split) => sum + split.annotations.length, 0);
        expect(annotations).toBe(source.annotations.length);
        const reversed = {
          ...source,
          images: source.images.toReversed(),
          annotations: source.annotations.toReversed(),
        };
        expect(splitDataset(reversed, { seed, stratify, ratios: "train:0.6,val:0.2,test:0.2" }).lock).toEqual(
          result.lock,
        );
      }),
      { numRuns: 60 },
    );
  });

  test("properties: groups stay together and no split overshoots by a whole group", () => {
    const lists = fc.array(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }), {
      minLength: 40,
      maxLength: 80,
    });
    fc.assert(
      fc.property(lists, fc.nat(), (list, seed) => {
        const result = splitDataset(dataset(list), { seed, groupBy: "video" });
        const home = new Map<unknown, string>();
        for (const [name, split] of Object.entries(result.splits)) {
          for (const image of split.images) {
            expect(home.get(image["video"]) ?? name).toBe(name);
            home.set(image["video"], name);
          }
        }
        // A split closes once it is full, so it overshoots by less than a group (4); the last one gets what the others left.
        const targets = splitTargets([0.7, 0.15, 0.15], list.length);
        sizes(result).forEach((size, j) => {
          expect(size - targets[j]!).toBeLessThan(4);
          expect(targets[j]! - size).toBeLessThanOrEqual(2 * 3);
        });
      }),
      { numRuns: 40 },
    );
  });
});

describe("splitDataset, what else is kept in proportion", () => {
  test("instances, not only images: the mean error of a class's instance share", () => {
    // Image i carries 1 to 7 objects of one of two classes.
    const list = Array.from({ length: 400 }, (_, i) => new Array<number>(1 + ((i * 7919) % 7)).fill(1 + (i % 2)));
    const { lock } = splitDataset(dataset(list), { ratios: "train:0.8,val:0.1,test:0.1" });
    expect(lock.metrics.meanInstanceError).toBeLessThan(0.001);
    expect(lock.metrics.maxSizeDeviation).toBe(0);
  });

  test("sizes and object counts when asked for, recorded in the lock", () => {
    const source = dataset(Array.from({ length: 80 }, () => [1]));
    const annotations = source.annotations.map((a, i) => ({ ...a, area: i % 8 === 0 ? 20_000 : 100 }));
    const { splits, lock } = splitDataset(
      { ...source, annotations },
      { ratios: "a:0.5,b:0.5", sizeBins: true, countQuartiles: true },
    );
    const large = Object.values(splits).map((split) => split.annotations.filter((a) => a.area === 20_000).length);
    expect(large).toEqual([5, 5]);
    expect(lock).toMatchObject({ sizeBins: true, countQuartiles: true });
  });

  test("clusters of duplicates stay together, joined with groups", () => {
    const source = dataset(Array.from({ length: 40 }, () => [1]));
    const { splits } = splitDataset(source, {
      together: [
        [1, 20, 33],
        [33, 7],
      ],
      groupBy: "video",
    });
    const home = (id: number) => Object.keys(splits).find((name) => imageIds(splits[name]!).includes(id));
    // 5 shares a video with 7.
    expect(new Set([1, 20, 33, 7, 5].map(home)).size).toBe(1);
  });
});

describe("verifySplit, extendSplit", () => {
  const source = dataset(Array.from({ length: 30 }, (_, i) => [1 + (i % 3)]));
  const grown = dataset(Array.from({ length: 50 }, (_, i) => [1 + (i % 3)]));
  const { lock } = splitDataset(source, { groupBy: "video" });

  test("names what differs", () => {
    expect(verifySplit(lock, source)).toMatchObject({ ok: true, added: [], removed: [] });
    expect(verifySplit(lock, grown)).toMatchObject({
      ok: false,
      added: Array.from({ length: 20 }, (_, i) => 31 + i),
      isContentEqual: true,
    });
    const damaged = structuredClone(lock) as unknown as { splits: Record<string, { ids: number[] }> };
    damaged.splits["train"]!.ids.push(damaged.splits["val"]!.ids[0]!);
    const found = verifySplit(damaged as never, source);
    expect(found).toMatchObject({ ok: false, damaged: ["train"], overlapping: [lock.splits["val"]!.ids[0]] });
    expect(() => applySplit(damaged as never, source)).toThrow(expect.objectContaining({ code: "coco/split" }));
  });

  test("new images are placed, old ones stay, known groups attract", () => {
    const extended = extendSplit(lock, grown);
    for (const [name, { ids }] of Object.entries(lock.splits)) {
      expect(extended.lock.splits[name]!.ids).toEqual(expect.arrayContaining([...ids]));
    }
    expect(sizes(extended).reduce((a, b) => a + b)).toBe(50);
    expect(verifySplit(extended.lock, grown).ok).toBe(true);
    // Images 29 and 30 are locked, 31 and 32 share their video.
    const home = (id: number) =>
      Object.keys(extended.splits).find((name) => imageIds(extended.splits[name]!).includes(id));
    expect(home(31)).toBe(home(29));
    expect(applySplit(lock, grown, { extend: true })).toEqual(extended.splits);
  });

  test("a lock made with a function wants it again; changed annotations are refused", () => {
    const byFunction = splitDataset(source, { groupBy: (image) => image.id >> 2 }).lock;
    expect(() => extendSplit(byFunction, grown)).toThrow(expect.objectContaining({ reason: "group-by" }));
    const relabelled = { ...grown, annotations: grown.annotations.map((a) => ({ ...a, category_id: 1 })) };
    expect(() => extendSplit(lock, relabelled)).toThrow(expect.objectContaining({ reason: "dataset-changed" }));
  });
});

describe("hashSplit", () => {
  test.each([
    ["000000000139.jpg", 0.4918767746665552],
    ["a.jpg", 0.34886157088461944],
    ["b.jpg", 0.9033933407092635],
  ])("%s is %d", (key, fraction) => {
    expect(hashFraction(key)).toBe(fraction);
  });

  test("more images move none, groups stay together", () => {
    const small = hashSplit(dataset(Array.from({ length: 30 }, () => [1]))).splits;
    const large = hashSplit(dataset(Array.from({ length: 90 }, () => [1]))).splits;
    for (const name of ["train", "val", "test"])
      expect(imageIds(large[name]!)).toEqual(expect.arrayContaining(imageIds(small[name]!)));
    const grouped = hashSplit(dataset(Array.from({ length: 40 }, () => [1])), { groupBy: "video" }).splits;
    for (const split of Object.values(grouped)) expect(split.images.length % 4).toBe(0);
  });
});

describe("kFold", () => {
  test("each image is held out once", () => {
    const source = dataset(Array.from({ length: 23 }, (_, i) => [1 + (i % 3)]));
    const { folds } = kFold(source, { k: 4 });
    expect(folds.map(({ val }) => val.images.length)).toEqual([6, 6, 6, 5]);
    expect(folds.flatMap(({ val }) => imageIds(val)).sort((a, b) => a - b)).toEqual(imageIds(source));
    for (const { train, val } of folds) expect(train.images.length + val.images.length).toBe(23);
    expect(() => kFold(source, { k: 1 })).toThrow(expect.objectContaining({ code: "coco/split" }));
  });
});
