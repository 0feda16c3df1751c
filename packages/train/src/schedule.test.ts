import { describe, expect, test } from "vitest";
import { schedule, warmup, warmupLength, yoloWarmup } from "./schedule.js";

describe("schedule", () => {
  test.each([
    [3, 0.001],
    [150, 5.1285365e-4],
    [299, 1.00277e-5],
  ])("cosine from 1e-3 to 1e-5 after 3 of 300 epochs: epoch %d is %d", (epoch, lr) => {
    const factor = schedule({ epochs: 300, stepsPerEpoch: 7, baseLr: 1e-3, minLr: 1e-5, warmupEpochs: 3 });
    expect((factor(epoch * 7 + 6) * 1e-3) / lr).toBeCloseTo(1, 5);
  });

  test.each([
    [1, 0.9967],
    [150, 0.505],
    [299, 0.0133],
  ])("linear to 1 %%: epoch %d is %d", (epoch, factor) => {
    const linear = schedule({ kind: "linear", epochs: 300, stepsPerEpoch: 1, baseLr: 1, lrf: 0.01 });
    expect(linear(epoch)).toBeCloseTo(factor, 12);
  });

  test("holds within an epoch, or moves with every batch", () => {
    const base = { kind: "linear", epochs: 10, stepsPerEpoch: 4, baseLr: 1, lrf: 0 } as const;
    expect(schedule(base)(7)).toBe(0.9);
    expect(schedule({ ...base, per: "step" })(6)).toBeCloseTo(0.85, 12);
  });

  test("never rises when the minimum is above the base", () => {
    expect(schedule({ epochs: 10, stepsPerEpoch: 1, baseLr: 1e-6, minLr: 1e-5 })(9)).toBe(1);
  });
});

describe("warmup", () => {
  test.each([
    ["linear", 0.55],
    ["cosine", 0.55],
    ["constant", 0.1],
  ] as const)("%s is %d at half way from 0.1", (kind, value) => {
    const factor = warmup({ kind, epochs: 10, stepsPerEpoch: 10, warmupSteps: 20, byEpoch: false });
    expect(factor(10)).toBeCloseTo(value, 12);
    expect(factor(0)).toBeCloseTo(0.1, 12);
    expect(factor(20)).toBe(1);
    expect(factor(99)).toBe(1);
  });

  test("holds the factor within an epoch by default", () => {
    const factor = warmup({ epochs: 10, stepsPerEpoch: 10, warmupEpochs: 2, warmupRatio: 0 });
    expect([0, 9, 10, 19, 20].map((step) => factor(step))).toEqual([0, 0, 0.5, 0.5, 1]);
  });

  test("starts at warmup_lr, and the biases at their own rate", () => {
    const factor = warmup({
      epochs: 9,
      stepsPerEpoch: 4,
      warmupLr: 1e-5,
      warmupBiasLr: 0.1,
      baseLr: 1e-2,
      byEpoch: false,
    });
    expect(factor(0)).toBeCloseTo(1e-3, 12);
    expect(factor(0, "bias")).toBeCloseTo(10, 12);
    expect(factor(12, "bias")).toBe(1);
  });

  test("leaves one epoch at the full rate", () => {
    expect(warmupLength({ epochs: 2, stepsPerEpoch: 5 })).toBe(5);
    expect(warmup({ epochs: 1, stepsPerEpoch: 5 })(0)).toBe(1);
  });
});

describe("yoloWarmup", () => {
  test("leads momentum from 0.8 and accumulation from 1", () => {
    const ramp = yoloWarmup({ batch: 16, epochs: 10, stepsPerEpoch: 10 });
    expect([0, 15, 30].map(ramp.momentum)).toEqual([0.8, expect.closeTo(0.8685, 12), expect.closeTo(0.937, 12)]);
    expect([0, 15, 30, 90].map(ramp.accumulate)).toEqual([1, 3, 4, 4]);
  });
});
