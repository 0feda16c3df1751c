import { describe, expect, test } from "vitest";
import { detectionCounts, shareInterval } from "./detection-counts.js";

describe("detectionCounts", () => {
  test("counts found, mistaken, missed and unannotated by class and over all", () => {
    const { all, perClass } = detectionCounts({
      names: ["ear", "label", "ghost", "background"],
      // Rows predicted, columns annotated.
      counts: [
        [8, 1, 0, 3],
        [1, 4, 0, 0],
        [0, 0, 0, 2],
        [1, 5, 0, 0],
      ],
    });
    expect(perClass).toEqual([
      { name: "ear", objects: 10, found: 8, mistaken: 1, missed: 1, unannotated: 3 },
      { name: "label", objects: 10, found: 4, mistaken: 1, missed: 5, unannotated: 0 },
    ]);
    // What is taken for a class that nobody annotated counts, too.
    expect(all).toEqual({ objects: 20, found: 12, mistaken: 2, missed: 6, unannotated: 5 });
  });
});

describe("shareInterval", () => {
  test.each([
    [46, 54, 0.734, 0.923],
    [0, 10, 0, 0.278],
    [10, 10, 0.722, 1],
  ])("of %i in %i is %f to %f", (k, n, low, high) => {
    expect(shareInterval(k, n).map((value) => Number(value.toFixed(3)))).toEqual([low, high]);
  });
});
