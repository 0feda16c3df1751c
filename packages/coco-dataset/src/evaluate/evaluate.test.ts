import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diamond, goldenSet } from "../../test/golden-set.js";
import type { CocoDataset, CocoResult } from "../document.js";
import { evaluate, evaluationReport, formatEvaluation } from "./evaluate.js";
import { maskIoUMetrics } from "./mask-iou-metrics.js";

type Truth = {
  bbox: number[];
  category_id?: number;
  iscrowd?: number;
  area?: number;
  image_id?: number;
  segmentation?: number[][];
};

function truths(list: Truth[], size = 400): CocoDataset {
  return {
    images: [1, 2].map((id) => ({ id, width: size, height: size, file_name: `${id}.jpg` })),
    categories: [1, 2, 3].map((id) => ({ id, name: `class ${id}` })),
    annotations: list.map((item, i) => ({
      id: i + 1,
      image_id: 1,
      category_id: 1,
      iscrowd: 0,
      area: item.bbox[2]! * item.bbox[3]!,
      ...item,
    })),
  };
}
const detection = (bbox: number[], score = 0.5, fields: Partial<CocoResult> = {}): CocoResult => ({
  image_id: 1,
  category_id: 1,
  bbox,
  score,
  ...fields,
});
const bbox = (groundTruth: CocoDataset, detections: CocoResult[]) =>
  evaluate({ groundTruth, detections, iouType: "bbox", matches: true });
const stat = (result: { names: readonly string[]; stats: readonly number[] }, name: string) =>
  result.stats[result.names.indexOf(name)]!;

describe("evaluate, micro-fixtures", () => {
  test("thresholds are numpy's linspace", () => {
    const { params } = bbox(truths([]), []);
    expect(params.iouThresholds[8]).toBe(0.8999999999999999);
    expect(params.recallThresholds[35]).toBe(0.35000000000000003);
  });

  test("one true positive", () => {
    const result = bbox(truths([{ bbox: [10, 10, 50, 50] }]), [detection([10, 10, 50, 50])]);
    expect(stat(result, "AP")).toBeCloseTo(1, 12);
    expect(Math.max(...result.precision)).toBe(0.9999999999999998);
  });

  test("IoU of exactly 0.5 counts, 0.65 passes four thresholds", () => {
    const ground = truths([{ bbox: [0, 0, 100, 100] }]);
    expect(stat(bbox(ground, [detection([0, 0, 100, 50])]), "AP50")).toBeCloseTo(1, 12);
    const passed = bbox(ground, [detection([0, 0, 100, 65])]).matches![0]!.detectionMatches.filter(
      (row) => row[0] === 0,
    );
    expect(passed.length).toBe(4);
  });

  test("of two identical ground truths the later one is matched", () => {
    const ground = truths([{ bbox: [0, 0, 10, 10] }, { bbox: [0, 0, 10, 10] }]);
    const [cell] = bbox(ground, [detection([0, 0, 10, 10])]).matches!;
    expect(cell!.groundTruthIds[cell!.detectionMatches[0]![0]!]).toBe(2);
  });

  test("a crowd takes several detections, which are ignored", () => {
    const ground = truths([{ bbox: [0, 0, 100, 100], iscrowd: 1 }]);
    const [cell] = bbox(ground, [detection([0, 0, 50, 50]), detection([10, 10, 50, 50], 0.4)]).matches!;
    expect(cell!.detectionMatches[0]).toEqual([0, 0]);
    expect(cell!.detectionIgnored[0]).toEqual([true, true]);
  });

  test("a regular ground truth comes before the crowd around it", () => {
    const ground = truths([{ bbox: [0, 0, 100, 100], iscrowd: 1 }, { bbox: [0, 0, 50, 50] }]);
    const [cell] = bbox(ground, [detection([0, 0, 50, 50], 0.9), detection([1, 1, 50, 50], 0.8)]).matches!;
    expect(cell!.detectionMatches[0]!.map((g) => cell!.groundTruthIds[g]!)).toEqual([2, 1]);
    expect(cell!.detectionIgnored[0]).toEqual([false, true]);
  });

  test("ties in score keep file order", () => {
    const ground = truths([{ bbox: [0, 0, 10, 10] }, { bbox: [50, 50, 10, 10] }]);
    const [one, two, wrong] = [detection([0, 0, 10, 10]), detection([50, 50, 10, 10]), detection([200, 200, 10, 10])];
    expect(stat(bbox(ground, [wrong, one, two]), "AP50")).toBeCloseTo(0.6666666666666669, 12);
    expect(stat(bbox(ground, [one, two, wrong]), "AP50")).toBeCloseTo(1, 12);
  });

  test("the area field decides the size, also in bbox mode", () => {
    const result = bbox(truths([{ bbox: [0, 0, 40, 40], area: 500 }]), [detection([0, 0, 40, 40])]);
    expect(stat(result, "APs")).toBeCloseTo(1, 12);
    expect(stat(result, "APm")).toBe(-1);
  });

  test("an unmatched detection outside the area range is ignored", () => {
    const result = bbox(truths([{ bbox: [0, 0, 40, 40] }]), [
      detection([200, 200, 10, 10], 0.9),
      detection([0, 0, 40, 40], 0.5),
    ]);
    expect(stat(result, "APm")).toBeCloseTo(1, 12);
    expect(stat(result, "AP")).toBeCloseTo(0.5, 12);
  });

  test("that holds in an image without ground truth as well", () => {
    const far = detection([200, 200, 10, 10], 0.9, { image_id: 2 });
    const result = bbox(truths([{ bbox: [0, 0, 40, 40] }]), [far, detection([0, 0, 40, 40])]);
    expect(stat(result, "APm")).toBeCloseTo(1, 12);
    expect(stat(result, "AP")).toBeCloseTo(0.5, 12);
  });

  test("false positives of a class without ground truth change nothing and are reported", () => {
    const ground = truths([{ bbox: [0, 0, 40, 40] }]);
    const result = bbox(ground, [detection([0, 0, 40, 40]), detection([0, 0, 9, 9], 0.9, { category_id: 2 })]);
    expect(stat(result, "AP")).toBeCloseTo(1, 12);
    expect(result.warnings).toMatchObject([{ code: "detections_outside_ground_truth", count: 1 }]);
  });

  test("a category that is never present is -1 and leaves the mean alone", () => {
    const result = bbox(truths([{ bbox: [0, 0, 40, 40] }]), [detection([0, 0, 40, 40])]);
    expect(result.perClass.map((row) => row.ap50 > -1)).toEqual([true, false, false]);
  });

  test("no detections give zeros, no ground truth gives -1", () => {
    expect(stat(bbox(truths([{ bbox: [0, 0, 40, 40] }]), []), "AP")).toBe(0);
    expect(stat(bbox(truths([]), []), "AP")).toBe(-1);
  });

  test("detections beyond the maximum are dropped and reported", () => {
    const many = Array.from({ length: 103 }, (_, i) => detection([i, 0, 5, 5], i / 200));
    expect(bbox(truths([{ bbox: [0, 0, 5, 5] }]), many).warnings).toMatchObject([
      { code: "detections_beyond_max", count: 3 },
    ]);
  });

  test("prints COCO's summary lines", () => {
    const text = formatEvaluation(bbox(truths([{ bbox: [0, 0, 40, 40] }]), [detection([0, 0, 40, 40])]));
    expect(text.split("\n")[0]).toBe(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000");
    expect(text.split("\n").length).toBe(12);
  });
});

describe("evaluate, refused input", () => {
  const ground = truths([{ bbox: [0, 0, 40, 40] }]);
  test.each([
    ["a NaN score", [detection([0, 0, 4, 4], Number.NaN)]],
    ["an unknown image", [detection([0, 0, 4, 4], 1, { image_id: 9 })]],
    ["an unknown category id", [detection([0, 0, 4, 4], 1, { category_id: 77 })]],
    ["a row without geometry", [{ image_id: 1, category_id: 1, score: 1 }]],
  ])("%s names its row", (_, rows) => {
    expect(() => bbox(ground, rows)).toThrow(
      expect.objectContaining({ code: "coco/eval-input", subject: "detections", ids: [0] }),
    );
  });

  test("rows of different kinds", () => {
    const rows = [
      detection([0, 0, 4, 4]),
      { image_id: 1, category_id: 1, score: 1, segmentation: [[0, 0, 4, 0, 4, 4]] },
    ];
    expect(() => bbox(ground, rows)).toThrow(expect.objectContaining({ code: "coco/eval-input", ids: [1] }));
  });

  test("ground truth without masks is not evaluated as masks", () => {
    expect(() => evaluate({ groundTruth: ground, detections: [], iouType: "segm" })).toThrow(
      expect.objectContaining({ code: "coco/eval-input", subject: "ground-truth", ids: [1] }),
    );
  });
});

function closeTo(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => {
    // Float sums in another order than numpy's differ in the last bits.
    expect(Math.abs(value - expected[i]!), `entry ${i}: ${value} against ${expected[i]}`).toBeLessThan(1e-12);
  });
}

describe("evaluate, synthetic golden set G20 (pycocotools 2.0.11)", () => {
  const { groundTruth, detections } = goldenSet();
  test("is the set of the specification", () => {
    expect(groundTruth.annotations.length).toBe(52);
    expect(groundTruth.annotations.filter((a) => a.iscrowd === 1).length).toBe(1);
    expect(detections.length).toBe(59);
    expect(groundTruth.annotations[0]).toMatchObject({ bbox: [80, 46, 67, 48], category_id: 1 });
    expect(detections[0]).toMatchObject({ bbox: [82, 15, 68, 47], score: 0.32 });
  });

  test("bbox", () => {
    closeTo(
      evaluate({ groundTruth, detections, iouType: "bbox" }).stats,
      [
        0.15824740954487607, 0.30131413141314134, 0.1623805517806683, 0.08382838283828382, 0.23837158257950336, -1,
        0.19183006535947716, 0.2799762329174094, 0.2799762329174094, 0.1571428571428571, 0.36746031746031743, -1,
      ],
    );
  });

  test("segm, every box replaced by its diamond", () => {
    const masks = {
      ...groundTruth,
      annotations: groundTruth.annotations.map((a) => ({
        ...a,
        segmentation: diamond(a.bbox!),
        area: (a.bbox![2]! * a.bbox![3]!) / 2,
      })),
    };
    const rows = detections.map(({ bbox: box, ...row }) => ({ ...row, segmentation: diamond(box!) }));
    closeTo(
      evaluate({ groundTruth: masks, detections: rows, iouType: "segm" }).stats,
      [
        0.12068512061290164, 0.23800671383664976, 0.06507023251344743, 0.05133513351335133, 0.286978102572162, -1,
        0.15866013071895424, 0.23416518122400473, 0.23416518122400473, 0.09966329966329965, 0.36001082251082245, -1,
      ],
    );
  });

  test("inputs are left alone, and the order of images and annotations of other images does not matter", () => {
    const before = structuredClone({ groundTruth, detections });
    const shuffled = { ...groundTruth, images: groundTruth.images.toReversed() };
    expect(evaluate({ groundTruth: shuffled, detections, iouType: "bbox" }).stats).toEqual(
      evaluate({ groundTruth, detections, iouType: "bbox" }).stats,
    );
    expect({ groundTruth, detections }).toEqual(before);
  });
});

describe("maskIoUMetrics", () => {
  const square = (x: number, y: number, side: number) => [[x, y, x + side, y, x + side, y + side, x, y + side]];
  const groundTruth = truths(
    [
      { bbox: [0, 0, 10, 10], segmentation: square(0, 0, 10) },
      { bbox: [50, 50, 10, 10], segmentation: square(50, 50, 10) },
    ],
    100,
  );
  const row = (segmentation: number[][], score: number): CocoResult => ({
    image_id: 1,
    category_id: 1,
    score,
    segmentation,
  });

  test("a missed object counts 0, a low score does not enter the mean", () => {
    const half = [[0, 0, 10, 0, 10, 5, 0, 5]];
    const result = maskIoUMetrics({ groundTruth, detections: [row(half, 0.9), row(square(50, 50, 10), 0.1)] });
    expect(result).toEqual({
      meanMaskIoU: 0.25,
      matchedMaskIoU: 0.75,
      semanticMIoU: 0.25,
      // Bands of 3 px: 84 of the square, all 50 of its half, 42 in both.
      boundaryIoU: 42 / 92 / 2,
      numGroundTruths: 2,
      numMatched: 2,
      resolution: null,
    });
  });
});

describe("evaluate, quirks of pycocotools", () => {
  test("id 0 is ordinary unless its reading as unmatched is asked for", () => {
    const ground = truths([{ bbox: [0, 0, 40, 40] }]);
    const zero = { ...ground, annotations: ground.annotations.map((annotation) => ({ ...annotation, id: 0 })) };
    const input = { groundTruth: zero, detections: [detection([0, 0, 40, 40])], iouType: "bbox" } as const;
    expect(stat(evaluate(input), "AP")).toBeCloseTo(1, 12);
    const reproduced = evaluate({ ...input, reproduceIdZero: true });
    expect(stat(reproduced, "AP")).toBe(0);
    expect(reproduced.warnings).toMatchObject([{ code: "ground_truth_id_zero", count: 1 }]);
  });

  test("ignore is overwritten by iscrowd, strict honours it", () => {
    const ground = truths([{ bbox: [0, 0, 40, 40] }, { bbox: [100, 0, 40, 40] }]);
    const [first, second] = ground.annotations;
    const ignoring = { ...ground, annotations: [first!, { ...second!, ignore: 1 }] };
    const input = { groundTruth: ignoring, detections: [detection([0, 0, 40, 40])], iouType: "bbox" } as const;
    expect(evaluate(input).warnings).toMatchObject([{ code: "ignore_overwritten", count: 1 }]);
    expect(evaluate(input).perClass[0]!.instances).toBe(2);
    expect(evaluate({ ...input, compat: "strict" }).perClass[0]).toMatchObject({ instances: 1 });
  });

  test("a mask row with a box takes the box's area, strict the mask's", () => {
    const triangle = [[0, 0, 40, 0, 0, 40]];
    const ground = truths([{ bbox: [200, 200, 40, 40], segmentation: [[200, 200, 240, 200, 200, 240]], area: 800 }]);
    const rows = [detection([0, 0, 40, 40], 0.9, { segmentation: triangle })];
    const match = (compat: "pycocotools" | "strict") =>
      evaluate({
        groundTruth: ground,
        detections: rows,
        iouType: "segm",
        compat,
        matches: true,
        params: { areaRanges: [{ label: "small", range: [0, 1024] }] },
      }).matches!.find((cell) => cell.detectionRows.length > 0)!.detectionIgnored[0];
    // 1600 is no small object, 780 is.
    expect(match("pycocotools")).toEqual([true]);
    expect(match("strict")).toEqual([false]);
  });

  test("per size, and as plain JSON", () => {
    const result = bbox(truths([{ bbox: [0, 0, 40, 40] }]), [detection([0, 0, 40, 40])]);
    expect(result.perClass[0]!.sizes.map(({ label, instances }) => [label, instances])).toEqual([
      ["all", 1],
      ["small", 0],
      ["medium", 1],
      ["large", 0],
    ]);
    const report = evaluationReport(result);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(report.stats["APm"]).toBeCloseTo(1, 12);
  });
});

describe("evaluate, invariances", () => {
  /** Distinct scores: ties are resolved by order, which is what the transformations change. */
  const scenes = fc
    .record({
      seed: fc.array(
        fc.record({
          x: fc.nat(80),
          y: fc.nat(80),
          w: fc.integer({ min: 3, max: 60 }),
          h: fc.integer({ min: 3, max: 60 }),
          c: fc.integer({ min: 1, max: 3 }),
          image: fc.integer({ min: 1, max: 2 }),
          crowd: fc.boolean(),
        }),
        { maxLength: 10 },
      ),
      found: fc.array(
        fc.record({
          x: fc.nat(80),
          y: fc.nat(80),
          w: fc.integer({ min: 3, max: 60 }),
          h: fc.integer({ min: 3, max: 60 }),
          c: fc.integer({ min: 1, max: 3 }),
          image: fc.integer({ min: 1, max: 2 }),
        }),
        { maxLength: 14 },
      ),
    })
    .map(({ seed, found }) => ({
      groundTruth: truths(
        seed.map(({ x, y, w, h, c, image, crowd }) => ({
          bbox: [x, y, w, h],
          category_id: c,
          image_id: image,
          iscrowd: crowd ? 1 : 0,
        })),
      ),
      detections: found.map(({ x, y, w, h, c, image }, i) =>
        detection([x, y, w, h], (i * 7 + 3) / 200, { category_id: c, image_id: image }),
      ),
    }));
  const stats = (groundTruth: CocoDataset, detections: readonly CocoResult[]) =>
    evaluate({ groundTruth, detections, iouType: "bbox" }).stats;

  test("renaming and permuting images, order of rows, monotone scores and useless detections change nothing", () => {
    fc.assert(
      fc.property(scenes, ({ groundTruth, detections }) => {
        const expected = stats(groundTruth, detections);
        const renamed = <T extends { image_id: number }>(items: readonly T[]) =>
          items.map((item) => ({ ...item, image_id: 10 - item.image_id }));
        const other = {
          ...groundTruth,
          images: groundTruth.images.map((image) => ({ ...image, id: 10 - image.id })),
          annotations: renamed(groundTruth.annotations),
        };
        closeTo(stats(other, renamed(detections)), expected);
        expect(stats(groundTruth, detections.toReversed())).toEqual(expected);
        const squared = detections.map((row) => ({ ...row, score: row.score ** 2 }));
        expect(stats(groundTruth, squared)).toEqual(expected);
        const used = new Set(groundTruth.annotations.map((annotation) => annotation.category_id));
        const unused = [1, 2, 3].find((id) => !used.has(id));
        if (unused !== undefined) {
          expect(stats(groundTruth, [...detections, detection([0, 0, 9, 9], 0.999, { category_id: unused })])).toEqual(
            expected,
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  test("statistics lie in [0, 1], a perfect copy gives 1, a false alarm on top never helps", () => {
    fc.assert(
      fc.property(scenes, ({ groundTruth, detections }) => {
        for (const value of stats(groundTruth, detections))
          expect(value === -1 || (value >= 0 && value <= 1)).toBe(true);
        const before = stats(groundTruth, detections)[0]!;
        const alarms = [1, 2, 3].map((c) => detection([390, 390, 10, 10], 1, { category_id: c }));
        expect(stats(groundTruth, [...detections, ...alarms])[0]!).toBeLessThanOrEqual(before + 1e-12);
        const regular = groundTruth.annotations.filter((annotation) => annotation.iscrowd === 0);
        const copy = regular.map(({ image_id, category_id, bbox: box }) => ({
          image_id,
          category_id,
          bbox: box!,
          score: 1,
        }));
        if (regular.length > 0) expect(stats(groundTruth, copy)[0]).toBeCloseTo(1, 12);
      }),
      { numRuns: 150 },
    );
  });
});
