import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { linearAxis, logAxis } from "./axis.js";

describe("linearAxis", () => {
  test("ends at nice ticks and labels them with the decimals they need", () => {
    const axis = linearAxis({ min: 0, max: 0.87, range: [100, 0] });
    expect(axis.ticks.map(({ label }) => label)).toEqual(["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    expect([axis.position(0), axis.position(1)]).toEqual([100, 0]);
  });

  test("gives finite positions and few ticks for every finite range", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e9, max: 1e9, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
        (min, span) => {
          const axis = linearAxis({ min, max: min + span, range: [0, 100] });
          expect(axis.ticks.length).toBeLessThanOrEqual(12);
          // The axis may begin a rounding error of its own scale above the data: far below a pixel.
          expect(axis.min).toBeLessThanOrEqual(min + 1e-6 * (Math.abs(min) + span));
          expect(Number.isFinite(axis.position(min))).toBe(true);
        },
      ),
    );
    expect(Number.isFinite(linearAxis({ min: 3, max: 3, range: [0, 100] }).position(3))).toBe(true);
  });
});

describe("logAxis", () => {
  test("covers the values with 1-2-5 ticks", () => {
    const axis = logAxis({ min: 8.7, max: 455, range: [0, 100] });
    expect(axis.ticks.map(({ label }) => label)).toEqual(["5", "10", "20", "50", "100", "200", "500"]);
    expect(axis.position(50)).toBeCloseTo(50, 6);
  });

  test("works for a single value and far below 1", () => {
    expect(Number.isFinite(logAxis({ min: 1, max: 1, range: [0, 100] }).position(1))).toBe(true);
    expect(logAxis({ min: 0.004, max: 0.5, range: [0, 100] }).ticks[0]!.value).toBeGreaterThan(0);
  });
});
