import { expect, test } from "vitest";
import { studentT } from "./student-t.js";

test("studentT is the tabled quantile, and falls smoothly to that of the normal distribution", () => {
  expect([1, 2, 10].map(studentT)).toEqual([12.706, 4.303, 2.228]);
  for (const [degrees, value] of [
    [11, 2.201],
    [15, 2.131],
    [30, 2.042],
    [1e6, 1.96],
  ] as const) {
    expect(Math.abs(studentT(degrees) - value)).toBeLessThan(0.0025);
  }
});
