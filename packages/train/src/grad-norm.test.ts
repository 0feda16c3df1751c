import { describe, expect, test } from "vitest";
import { NonFiniteGradientError } from "./errors.js";
import { clipGradNorm, gradStats } from "./grad-norm.js";

describe("clipGradNorm", () => {
  test("returns the norm before clipping and scales to the limit", () => {
    const grads = new Map([
      ["a", Float32Array.of(3)],
      ["b", Float32Array.of(4)],
    ]);
    expect(clipGradNorm(grads, { maxNorm: 1 })).toBe(5);
    expect(grads.get("a")![0]).toBeCloseTo(0.6, 6);
    expect(grads.get("b")![0]).toBeCloseTo(0.8, 6);
  });

  test("leaves small gradients alone", () => {
    const grad = Float32Array.of(0.3, 0.4);
    expect(clipGradNorm(new Map([["a", grad]]), { maxNorm: 10 })).toBeCloseTo(0.5, 6);
    expect(grad).toEqual(Float32Array.of(0.3, 0.4));
  });

  test("scales a shared array once", () => {
    const shared = Float32Array.of(1);
    const norm = clipGradNorm(
      new Map([
        ["a", shared],
        ["b", shared],
      ]),
      { maxNorm: Math.SQRT2 / 2 },
    );
    expect(norm).toBeCloseTo(Math.SQRT2, 12);
    expect(shared[0]).toBeCloseTo(0.5, 5);
  });

  test("names the first parameter that is not finite and applies nothing", () => {
    const grads = new Map([
      ["a", Float32Array.of(100)],
      ["b", Float32Array.of(1, Number.NaN)],
      ["c", Float32Array.of(Number.POSITIVE_INFINITY)],
    ]);
    let error: unknown;
    try {
      clipGradNorm(grads, { maxNorm: 1 });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(NonFiniteGradientError);
    expect(error).toMatchObject({ code: "train/non-finite-gradient", parameter: "b", index: 1, value: Number.NaN });
    expect(grads.get("a")![0]).toBe(100);
  });
});

describe("gradStats", () => {
  test("adds the largest and the mean magnitude", () => {
    expect(gradStats(new Map([["a", Float32Array.of(3, -4, 0, 0)]]))).toEqual({ norm: 5, max: 4, mean: 1.75 });
    expect(gradStats(new Map())).toEqual({ norm: 0, max: 0, mean: 0 });
  });

  test("is not finite when one gradient is not", () => {
    expect(gradStats(new Map([["a", Float32Array.of(1, Number.NaN)]])).norm).toBeNaN();
  });
});
