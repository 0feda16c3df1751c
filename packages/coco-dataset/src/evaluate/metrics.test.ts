import { describe, expect, test } from "vitest";
import { goldenSet } from "../../test/golden-set.js";
import type { CocoDataset, CocoResult } from "../document.js";
import { bootstrapDelta } from "./bootstrap-delta.js";
import { confusionMatrix } from "./confusion-matrix.js";
import { detectionCurves } from "./detection-curves.js";
import { errorBreakdown } from "./error-breakdown.js";
import { evaluate } from "./evaluate.js";
import { evaluateSlices } from "./evaluate-slices.js";
import { lvisEvaluate } from "./lvis-evaluate.js";

const golden = goldenSet();

type Box = [number, number, number, number];
function scene(
  truths: { box: Box; c?: number; crowd?: number; image?: number }[],
  fields: Partial<CocoDataset> = {},
): CocoDataset {
  return {
    images: [1, 2].map((id) => ({ id, width: 200, height: 200, file_name: `${id}.jpg` })),
    categories: [1, 2].map((id) => ({ id, name: `class ${id}` })),
    annotations: truths.map(({ box, c = 1, crowd = 0, image = 1 }, i) => ({
      id: i + 1,
      image_id: image,
      category_id: c,
      bbox: box,
      area: box[2] * box[3],
      iscrowd: crowd,
    })),
    ...fields,
  };
}
const found = (box: Box, score = 0.9, c = 1, image = 1): CocoResult => ({
  image_id: image,
  category_id: c,
  bbox: box,
  score,
});

describe("confusionMatrix", () => {
  test("rows are predictions, columns annotations, the last of each is the background", () => {
    const groundTruth = scene([
      { box: [0, 0, 10, 10] },
      { box: [50, 50, 10, 10], c: 2 },
      { box: [100, 0, 10, 10], c: 2 },
      { box: [0, 100, 90, 90], crowd: 1 },
    ]);
    const detections = [
      found([0, 0, 10, 10]),
      found([50, 50, 10, 10], 0.8, 1),
      found([150, 150, 10, 10]),
      found([100, 0, 10, 10], 0.1, 2),
      found([20, 120, 10, 10]),
    ];
    const { counts, names } = confusionMatrix({ groundTruth, detections });
    expect(names).toEqual(["class 1", "class 2", "background"]);
    expect(counts).toEqual([
      [1, 1, 1],
      [0, 0, 0],
      [0, 1, 0],
    ]);
  });

  test("columns without background sum to the annotated objects", () => {
    const { counts } = confusionMatrix({ ...golden, scoreThreshold: 0 });
    const regular = golden.groundTruth.annotations.filter((annotation) => annotation.iscrowd === 0).length;
    expect(counts.flatMap((row) => row.slice(0, -1)).reduce((a, b) => a + b)).toBe(regular);
  });
});

describe("detectionCurves", () => {
  test("raw precision, recall and F1, the best point and the one asked for", () => {
    const groundTruth = scene([{ box: [0, 0, 10, 10] }, { box: [50, 0, 10, 10] }]);
    const detections = [found([0, 0, 10, 10], 0.9), found([100, 0, 10, 10], 0.6), found([50, 0, 10, 10], 0.3)];
    const { classes, mean } = detectionCurves({ groundTruth, detections, iouType: "bbox", confidence: 0.5 });
    const [curve, other] = classes;
    expect(Array.from(curve!.hits)).toEqual([1, 0, 1]);
    expect(Array.from(curve!.precision)).toEqual([1, 1 / 2, 2 / 3]);
    expect(Array.from(curve!.recall)).toEqual([0.5, 0.5, 1]);
    expect(curve!.best).toMatchObject({ confidence: 0.3, recall: 1 });
    expect(curve!.atConfidence).toMatchObject({ precision: 0.5, recall: 0.5 });
    expect(other!.best.f1).toBe(-1);
    expect(mean).toMatchObject({ precision: 0.5, recall: 0.5 });
  });

  test("the calibration error of sure and right detections is 0, of sure and wrong ones 1", () => {
    const groundTruth = scene([{ box: [0, 0, 10, 10] }]);
    const error = (box: Box) =>
      detectionCurves({ groundTruth, detections: [found(box, 1)], iouType: "bbox" }).calibrationError;
    expect(error([0, 0, 10, 10])).toBe(0);
    expect(error([90, 0, 10, 10])).toBe(1);
  });
});

describe("errorBreakdown", () => {
  test.each([
    ["Dupe", [found([0, 0, 10, 10]), found([1, 0, 10, 10], 0.8)]],
    ["Loc", [found([0, 0, 10, 10]), found([105, 0, 10, 10], 0.8)]],
    ["Cls", [found([0, 0, 10, 10]), found([100, 0, 10, 10], 0.95, 2)]],
    ["Both", [found([0, 0, 10, 10]), found([106, 0, 10, 10], 0.95, 2)]],
    ["Bkg", [found([150, 150, 10, 10], 0.95), found([0, 0, 10, 10])]],
  ] as const)("%s", (type, detections) => {
    const groundTruth = scene([{ box: [0, 0, 10, 10] }, { box: [100, 0, 10, 10] }, { box: [0, 100, 10, 10], c: 2 }]);
    const { counts, deltaAp } = errorBreakdown({ groundTruth, detections });
    expect(counts[type]).toBe(1);
    if (type === "Cls" || type === "Loc" || type === "Bkg") expect(deltaAp[type]).toBeGreaterThan(0);
    for (const value of Object.values(deltaAp)) expect(value).toBeGreaterThanOrEqual(0);
  });

  test("its AP is COCO's AP50, and every false detection has one kind", () => {
    const breakdown = errorBreakdown(golden);
    const result = evaluate({ ...golden, iouType: "bbox", matches: true });
    expect(breakdown.ap).toBeCloseTo(result.stats[1]!, 12);
    const falseOnes = result.matches!.flatMap((cell) =>
      cell.detectionMatches[0]!.filter((g, d) => g < 0 && !cell.detectionIgnored[0]![d]),
    ).length;
    const { Miss: missed, ...kinds } = breakdown.counts;
    expect(missed).toBeGreaterThan(0);
    expect(Object.values(kinds).reduce((a, b) => a + b)).toBe(falseOnes);
  });
});

describe("bootstrapDelta", () => {
  test("equal models differ by nothing, a better one wins, the seed decides the resamples", () => {
    const groundTruth = golden.groundTruth;
    const perfect = groundTruth.annotations.map(({ image_id, category_id, bbox }) => ({
      image_id,
      category_id,
      bbox: bbox!,
      score: 1,
    }));
    const same = bootstrapDelta({ groundTruth, teacher: golden.detections, student: golden.detections, resamples: 20 });
    expect(same).toMatchObject({ delta: 0, interval: [0, 0], studentWins: 0 });
    expect(same.teacher).toBeCloseTo(evaluate({ ...golden, iouType: "bbox" }).stats[0]!, 12);
    const input = { groundTruth, teacher: golden.detections, student: perfect, resamples: 50, seed: 7 };
    const better = bootstrapDelta(input);
    expect(better.studentWins).toBe(1);
    expect(better.interval[0]).toBeGreaterThan(0.3);
    expect(bootstrapDelta(input)).toEqual(better);
    expect(bootstrapDelta({ ...input, seed: 8 }).interval).not.toEqual(better.interval);
  });
});

describe("evaluateSlices", () => {
  test("evaluates the images of each value", () => {
    const groundTruth = scene([{ box: [0, 0, 10, 10] }, { box: [0, 0, 10, 10], image: 2 }]);
    const images = groundTruth.images.map((image) => ({ ...image, light: image.id === 1 ? "day" : "night" }));
    const slices = evaluateSlices({
      groundTruth: { ...groundTruth, images },
      detections: [found([0, 0, 10, 10])],
      iouType: "bbox",
      by: "light",
    });
    expect(Object.entries(slices).map(([name, result]) => [name, Math.round(result.stats[0]!)])).toEqual([
      ["day", 1],
      ["night", 0],
    ]);
    const none = () => evaluateSlices({ groundTruth, detections: [], iouType: "bbox", by: "light" });
    expect(none).toThrow(expect.objectContaining({ code: "coco/eval-input", subject: "params" }));
  });
});

describe("lvisEvaluate", () => {
  const categories = [
    { id: 1, name: "a", frequency: "r" },
    { id: 2, name: "b", image_count: 50 },
    { id: 3, name: "c", image_count: 500 },
  ];
  const run = (images: object[], detections: CocoResult[], options = {}) => {
    const groundTruth = scene([{ box: [0, 0, 10, 10] }, { box: [50, 0, 10, 10], c: 2 }], { categories });
    const merged = groundTruth.images.map((image, i) => ({ ...image, ...images[i] }));
    return lvisEvaluate({ groundTruth: { ...groundTruth, images: merged }, detections, iouType: "bbox", ...options });
  };
  const right = [found([0, 0, 10, 10], 0.5), found([50, 0, 10, 10], 0.5, 2)];
  const wrong = found([150, 150, 10, 10], 0.9);

  test("means by frequency", () => {
    const { metrics, perClass } = run([{}, {}], right);
    expect(perClass.map(({ frequency }) => frequency)).toEqual(["r", "c", "f"]);
    expect([metrics.AP, metrics.APr, metrics.APc, metrics.APf, metrics.AR].map((value) => Math.round(value))).toEqual([
      1, 1, 1, -1, 1,
    ]);
  });

  test("a detection counts only where its category was checked", () => {
    const elsewhere = { ...wrong, image_id: 2 };
    expect(run([{}, {}], [...right, elsewhere]).metrics.APr).toBeCloseTo(1, 12);
    expect(run([{}, { neg_category_ids: [1] }], [...right, elsewhere]).metrics.APr).toBeCloseTo(0.5, 12);
  });

  test("unmatched detections of a category that is not exhaustive are ignored", () => {
    expect(run([{}, {}], [...right, wrong]).metrics.APr).toBeCloseTo(0.5, 12);
    expect(run([{ not_exhaustive_category_ids: [1] }, {}], [...right, wrong]).metrics.APr).toBeCloseTo(1, 12);
  });

  test("the limit holds for an image over all categories", () => {
    const result = run([{}, {}], [...right, wrong], { maxDetections: 2 });
    expect(result.metrics.APc).toBe(0);
    expect(result.warnings).toMatchObject([{ code: "detections_beyond_max", count: 1 }]);
    expect(run([{}, {}], [...right, wrong], { maxDetections: -1 }).warnings).toEqual([]);
  });

  test("equals lvis 0.5.3 on the golden set with checked and not exhaustive categories, three detections an image", () => {
    // Recorded by LVISEval of the lvis package (iou_type bbox, max_dets 3); tolerance: order of additions.
    const images = golden.groundTruth.images.map((image) => ({
      ...image,
      neg_category_ids: image.id % 2 === 1 ? [1, 2, 3] : [],
      not_exhaustive_category_ids: image.id % 4 === 0 ? [1 + (image.id % 3)] : [],
    }));
    const classes = golden.groundTruth.categories.map((category, i) => ({ ...category, frequency: "rcf"[i] }));
    const { metrics } = lvisEvaluate({
      groundTruth: { ...golden.groundTruth, images, categories: classes },
      detections: golden.detections,
      iouType: "bbox",
      maxDetections: 3,
    });
    const recorded = {
      AP: 0.14595816189201224,
      AP50: 0.26048150988223945,
      AP75: 0.16259543247557834,
      APs: 0.06905940594059407,
      APm: 0.21886822015534882,
      APl: -1,
      APr: 0.03696369636963696,
      APc: 0.2895190947666195,
      APf: 0.11139169453978025,
      AR: 0.2229740847387906,
      ARs: 0.11904761904761904,
      ARm: 0.29888888888888887,
      ARl: -1,
    };
    for (const [name, value] of Object.entries(recorded)) {
      expect(Math.abs(metrics[name as keyof typeof recorded] - value), name).toBeLessThan(1e-12);
    }
  });
});
