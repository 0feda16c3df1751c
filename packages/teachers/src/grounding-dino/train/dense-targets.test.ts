import { describe, expect, test } from "vitest";
import { denseTargets } from "./dense-targets.js";

const LEVELS = [
  [16, 16],
  [8, 8],
  [4, 4],
  [2, 2],
] as const;
const at = (level: number, y: number, x: number) =>
  LEVELS.slice(0, level).reduce((sum, [h, w]) => sum + h * w, 0) + y * LEVELS[level]![1] + x;

describe("denseTargets", () => {
  test("no object: all background", () => {
    const { objects, positives } = denseTargets([{ phrases: [], boxes: [] }], LEVELS);
    expect(objects.every((object) => object === -1)).toBe(true);
    expect(positives).toBe(1);
  });

  test("positives lie in the central part, on the levels whose band holds the box", () => {
    // Side .3: levels 1 (.13-.4) and 2 (.3-.8). The central .165 around .5 holds centres from .4175 to .5825.
    const { objects } = denseTargets([{ phrases: [0], boxes: [[0.5, 0.5, 0.3, 0.3]] }], LEVELS);
    const positive = [...objects.keys()].filter((i) => objects[i] === 0);
    expect(positive).toEqual([at(1, 3, 3), at(1, 3, 4), at(1, 4, 3), at(1, 4, 4)]);
  });

  test("a box between the centres gets the token it lies in, on the finest fitting level", () => {
    const { objects, positives } = denseTargets([{ phrases: [0], boxes: [[0.25, 0.75, 0.02, 0.02]] }], LEVELS);
    expect(positives).toBe(1);
    expect(objects[at(0, 12, 4)]).toBe(0);
  });

  test("the smaller of two competing boxes wins, in any order", () => {
    const [large, small] = [[0.5, 0.5, 0.2, 0.2] as const, [0.5, 0.5, 0.15, 0.15] as const];
    for (const boxes of [
      [large, small],
      [small, large],
    ]) {
      const { objects } = denseTargets([{ phrases: [0, 0], boxes }], LEVELS);
      expect(objects[at(0, 8, 8)]).toBe(boxes.indexOf(small));
    }
  });
});
