import { describe, expect, test } from "vitest";
import { addToHistogram, entropyRange, type Histogram, percentileRange, squaredErrorRange } from "./histogram.js";

/** Inverse of the normal distribution function by Newton's method on its series. */
function normalQuantile(p: number): number {
  // Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...)
  const cdf = (x: number): number => {
    let term = x;
    let sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && k < 400; k++) {
      term *= (x * x) / (2 * k + 1);
      sum += term;
    }
    return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  };
  let x = 0;
  for (let i = 0; i < 60; i++) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const step = (cdf(x) - p) / density;
    x -= Math.max(-0.5, Math.min(0.5, step));
    if (Math.abs(step) < 1e-12) break;
  }
  return x;
}

/** x_i = Phi^-1((i + 0.5) / 20000) and one outlier of 40. */
const data = Float32Array.from({ length: 20_001 }, (_, i) => (i === 20_000 ? 40 : normalQuantile((i + 0.5) / 20_000)));
const histogram = (bins: number): Histogram => addToHistogram(null, data, { bins })!;

function expectRange(actual: readonly [number, number], expected: readonly [number, number], tolerance: number): void {
  expect(Math.abs(actual[0] - expected[0])).toBeLessThan(tolerance);
  expect(Math.abs(actual[1] - expected[1])).toBeLessThan(tolerance);
}

describe("entropyRange", () => {
  test.each([
    [128, [-4.0556, 40], 1e-4],
    [2048, [-4.0556, 5.8984], 1e-4],
    [8001, [-3.8545, 3.8545], 1e-4],
  ] as const)("%d bins: %j", (bins, expected, tolerance) => {
    expectRange(entropyRange(histogram(bins)), expected, tolerance);
  });
});

describe("percentileRange", () => {
  test.each([
    [2048, 99.99, [-3.8281, 4.0234]],
    [2048, 99.999, [-4.0556, 39.9609]],
    [8001, 99.9, [-3.2846, 3.3046]],
  ] as const)("%d bins, %d %%: %j", (bins, percentile, expected) => {
    expectRange(percentileRange(histogram(bins), { percentile }), expected, 1e-4);
  });
});

describe("squaredErrorRange", () => {
  test("cuts the outlier of a normal distribution, but not the tail", () => {
    const [low, high] = squaredErrorRange(histogram(2048));
    expect(low).toBeCloseTo(-4.0556, 3);
    // Cutting the one value of 40 at h costs (40 - h)^2, a step of (h + 4.06) / 255 costs 20,000 step^2 / 12: least at h = 38.9.
    expect(high).toBeCloseTo(38.869, 2);
    const without = addToHistogram(null, data.subarray(0, 20_000))!;
    const [a, b] = squaredErrorRange(without);
    expect(b - a).toBeLessThan(without.max - without.min);
    expect(b).toBeGreaterThan(3);
  });
});

describe("addToHistogram", () => {
  test("a larger batch adds whole bins on both sides and keeps the old counts in the middle", () => {
    const first = addToHistogram(null, Float32Array.of(-1, 0.1, 1), { bins: 4 })!;
    expect([...first.counts]).toEqual([1, 0, 1, 1]);
    // stride 0.5, T' = 1.7: k = floor(0.7 / 0.5) + 1 = 2, range +-2
    const second = addToHistogram(first, Float32Array.of(1.7, -1.7))!;
    expect(second.threshold).toBe(2);
    expect([...second.counts]).toEqual([1, 0, 1, 0, 1, 1, 0, 1]);
    expect([second.min, second.max]).toEqual([Math.fround(-1.7), Math.fround(1.7)]);
  });

  test("zeros alone make no histogram", () => {
    expect(addToHistogram(null, new Float32Array(3))).toBeNull();
  });
});
