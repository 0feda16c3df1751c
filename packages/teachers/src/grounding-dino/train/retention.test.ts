import { describe, expect, test } from "vitest";
import { countMatches, formatRetention } from "./retention.js";

const at = (classId: number, x: number, score = 0.5) => ({ classId, box: [x, 0, x + 10, 10] as const, score });

describe("countMatches", () => {
  test("needs the same phrase and half an overlap, and uses every box once", () => {
    expect(countMatches([], [at(0, 0)])).toBe(0);
    expect(countMatches([at(0, 0)], [at(1, 0)])).toBe(0);
    expect(countMatches([at(0, 0)], [at(0, 3)])).toBe(1); // 7 / 13
    expect(countMatches([at(0, 0)], [at(0, 4)])).toBe(0); // 6 / 14
    expect(countMatches([at(0, 0)], [at(0, 0), at(0, 1)])).toBe(1);
    expect(countMatches([at(0, 0), at(0, 20)], [at(0, 21), at(0, 1)])).toBe(2);
  });
});

describe("formatRetention", () => {
  test("says what was not measured", () => {
    const agreement = { f1: null, reference: 3, adapted: 9, matched: 1 };
    expect(formatRetention({ labelled: null, agreement })).toMatch(/not measured \(3 reference boxes, needs 20\)/);
    const labelled = { ratio: 0.5, base: 0.4, adapted: 0.2 };
    expect(formatRetention({ labelled, agreement: { ...agreement, f1: 0.75, reference: 40 } })).toBe(
      "kept on other classes 0.500 (mAP50 0.400 -> 0.200); agreement with the base on other prompts 0.750 (40 reference boxes)",
    );
  });
});
