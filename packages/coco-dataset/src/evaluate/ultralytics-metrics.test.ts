import { describe, expect, test } from "vitest";
import { goldenSet } from "../../test/golden-set.js";
import { ultralyticsMetrics } from "./ultralytics-metrics.js";

const { groundTruth, detections } = goldenSet();

describe("ultralyticsMetrics", () => {
  test.each([
    ["classic", 0.397293, 0.224154],
    ["trimmed", 0.300077, 0.153491],
  ] as const)("synthetic golden set G20, %s", (sentinel, map50, map) => {
    const result = ultralyticsMetrics({ groundTruth, detections, sentinel });
    expect(result.map50).toBeCloseTo(map50, 6);
    expect(result.map).toBeCloseTo(map, 6);
    expect(result.precision).toBeCloseTo(0.429721, 6);
    expect(result.recall).toBeCloseTo(0.476381, 6);
    expect(result.f1).toBeCloseTo(0.451665, 6);
    expect(result.confidence).toBeCloseTo(0.049049, 6);
  });

  const one = {
    images: [{ id: 1, width: 100, height: 100, file_name: "a" }],
    categories: [{ id: 1, name: "bolt" }],
    annotations: [{ id: 1, image_id: 1, category_id: 1, bbox: [0, 0, 10, 10] }],
  };
  const row = { image_id: 1, category_id: 1, bbox: [0, 0, 10, 10], score: 0.9 };

  test("a perfect class gives 0.995, none found gives 0", () => {
    expect(ultralyticsMetrics({ groundTruth: one, detections: [row] }).map).toBeCloseTo(0.995, 12);
    expect(ultralyticsMetrics({ groundTruth: one, detections: [] })).toMatchObject({ map: 0, map50: 0, recall: 0 });
  });

  test("a second detection of the object is false and is not assigned elsewhere", () => {
    const two = {
      ...one,
      annotations: [...one.annotations, { id: 2, image_id: 1, category_id: 1, bbox: [2, 0, 10, 10] }],
    };
    const rows = [row, { ...row, score: 0.8, bbox: [0.5, 0, 10, 10] }];
    // COCO's matching gives the second detection the second object (IoU 0.74); here both want the first.
    expect(ultralyticsMetrics({ groundTruth: two, detections: rows }).perClass[0]).toMatchObject({ recall: 0.5 });
  });

  test("more detections than comparable are refused by row", () => {
    const rows = Array.from({ length: 4 }, () => row);
    expect(() => ultralyticsMetrics({ groundTruth: one, detections: rows, maxDetections: 3 })).toThrow(
      expect.objectContaining({ code: "coco/eval-input", ids: [3] }),
    );
  });
});
