import { type CocoDataset, type CocoResult, evaluate } from "@seg/coco-dataset";
import { describe, expect, test } from "vitest";
import { compareObjects } from "./compare-objects.js";
import { evaluationCurves } from "./evaluation-curves.js";
import { bestAndWorst, imageScores } from "./image-scores.js";
import { matchedObjects } from "./matched-objects.js";
import { sizeScores } from "./size-scores.js";

/** Two small squares in image 1, a medium one in image 2; ids 1 to 3. */
const dataset: CocoDataset = {
  images: [1, 2].map((id) => ({ id, file_name: `${id}.png`, width: 100, height: 100 })),
  categories: [{ id: 5, name: "nut" }],
  annotations: [
    { id: 1, image_id: 1, category_id: 5, bbox: [0, 0, 10, 10], area: 100, iscrowd: 0 },
    { id: 2, image_id: 1, category_id: 5, bbox: [50, 50, 10, 10], area: 100, iscrowd: 0 },
    { id: 3, image_id: 2, category_id: 5, bbox: [10, 10, 40, 40], area: 1600, iscrowd: 0 },
  ],
};
const at = (image_id: number, bbox: number[], score: number): CocoResult => ({ image_id, category_id: 5, bbox, score });
const judge = (detections: CocoResult[]) =>
  evaluate({ groundTruth: dataset, detections, iouType: "bbox", matches: true });

/** Finds all three. */
const teacher = judge([at(1, [0, 0, 10, 10], 0.9), at(1, [50, 50, 10, 10], 0.8), at(2, [10, 10, 40, 40], 0.7)]);
/** Finds the first, the second only faintly, and something where nothing is. */
const student = judge([at(1, [0, 0, 10, 10], 0.9), at(1, [50, 50, 10, 10], 0.2), at(2, [70, 70, 20, 20], 0.6)]);

describe("matchedObjects", () => {
  test("cuts the matches of all detections off at the confidence", () => {
    const cells = matchedObjects(student, 0.5);
    expect(cells.map(({ imageId, found, missed, wrong }) => ({ imageId, found, missed, wrong }))).toEqual([
      { imageId: 1, found: [1], missed: [2], wrong: 0 },
      { imageId: 2, found: [], missed: [3], wrong: 1 },
    ]);
    expect(matchedObjects(student, null)[0]).toMatchObject({ found: [1, 2], missed: [] });
  });

  test("says that it needs matches", () => {
    const without = evaluate({ groundTruth: dataset, detections: [], iouType: "bbox" });
    expect(() => matchedObjects(without, 0.5)).toThrow("matches: true");
  });
});

describe("compareObjects", () => {
  const compare = (confidence: number | null) =>
    compareObjects({
      dataset,
      kind: "box",
      reference: { name: "teacher", result: teacher, confidence: null },
      candidate: { name: "student", result: student, confidence },
    });

  test("lists what the reference finds and the candidate does not, by class, size and image", () => {
    const { total, perClass, perSize, images, lost, unlisted } = compare(0.5);
    expect(total).toEqual({ objects: 3, reference: 3, candidate: 1, both: 1, lost: 2, gained: 0 });
    expect(perClass).toEqual([{ name: "nut", ...total }]);
    expect(perSize.map(({ size, lost: n }) => [size, n])).toEqual([
      ["small", 1],
      ["medium", 1],
    ]);
    expect(images.map(({ file, lost: n }) => [file, n])).toEqual([
      ["1.png", 1],
      ["2.png", 1],
    ]);
    expect(lost.map(({ annotation, width }) => [annotation, width])).toEqual([
      [2, 10],
      [3, 40],
    ]);
    expect(unlisted).toBe(0);
  });

  test("the confidence decides what counts as found", () => {
    expect(compare(null).lost.map(({ annotation }) => annotation)).toEqual([3]);
  });
});

test("imageScores orders images from the worst to the best, and both ends do not overlap", () => {
  const scores = imageScores(matchedObjects(student, 0.5));
  expect(scores.map(({ imageId, f1 }) => [imageId, f1])).toEqual([
    [2, 0],
    [1, 2 / 3],
  ]);
  const ends = bestAndWorst(scores, 6);
  expect([ends.worst.map((s) => s.imageId), ends.best.map((s) => s.imageId)]).toEqual([[2], [1]]);
});

test("evaluationCurves gives precision over recall, F1 over confidence and the best point", () => {
  const { lines, perClass } = evaluationCurves({ model: "student", kind: "box", result: student });
  // One class: its mean alone.
  expect(lines.map(({ name }) => name)).toEqual(["mean of the classes"]);
  const { precision, f1 } = lines[0]!;
  // Recall 1/3 with the first detection, 2/3 with the third of three.
  expect([precision[0], precision[33], precision[34], precision[66], precision[67]]).toEqual([1, 1, 0.6667, 0.6667, 0]);
  // From .61 one hit, from .21 also a false one, from 0 two hits and a false one.
  expect([f1[95], f1[70], f1[30], f1[0]]).toEqual([0, 0.5, 0.4, 0.6667]);
  expect(perClass[0]).toMatchObject({ name: "nut", objects: 3, best: { confidence: 0.2, recall: 2 / 3 } });
});

test("sizeScores has no score for a size without an object", () => {
  const large = sizeScores({ bbox: teacher, segm: null })[2]!;
  expect(large).toEqual({ size: "large", objects: 0, boxAp: null, maskAp: null });
  expect(sizeScores({ bbox: teacher, segm: null })[0]).toMatchObject({ objects: 2, boxAp: 1, maskAp: null });
});
