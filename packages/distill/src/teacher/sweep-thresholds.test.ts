import type { Box } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Calibration, LabelledDetections } from "./calibrate.js";
import { sigmoid } from "./detections.js";
import { sweepThresholds } from "./sweep-thresholds.js";

const identity = (classes: number): Calibration => ({
  classes: Array.from({ length: classes }, () => ({
    ...{ slope: 1, intercept: 0, detections: 0, matches: 0, fittedOn: "none" as const },
  })),
  ece: null,
});
const box = (x: number): Box => [x, 0, x + 10, 10];
const logit = (p: number) => Math.log(p / (1 - p));

/** One image a detection: of class `classId`, sure to `p`, on an object or beside it. */
const images = (list: readonly { classId: number; p: number; isRight: boolean }[], classes: number) =>
  list.map(({ classId, p, isRight }): LabelledDetections => {
    const logits = new Float32Array(classes).fill(-20);
    logits[classId] = logit(p);
    return { boxes: [box(0)], logits, truths: isRight ? [{ classId, box: box(0) }] : [] };
  });
const many = (count: number, value: { classId: number; p: number; isRight: boolean }) =>
  Array.from({ length: count }, () => value);

describe("sweepThresholds", () => {
  test("cuts each class where right and wrong answers part", () => {
    const list = [
      ...many(20, { classId: 0, p: 0.4, isRight: true }),
      ...many(30, { classId: 0, p: 0.2, isRight: false }),
      ...many(20, { classId: 1, p: 0.8, isRight: true }),
      ...many(30, { classId: 1, p: 0.7, isRight: false }),
    ];
    const found = sweepThresholds({ images: images(list, 2), calibration: identity(2), fallback: 0.6 });
    expect(found.map(({ score, f1, sweptOn }) => [Number(score.toFixed(6)), f1, sweptOn])).toEqual([
      [0.3, 1, "class"],
      [0.75, 1, "class"],
    ]);
  });

  test("missed objects cost nothing at any cut, so doubtful answers are taken when half of them are right", () => {
    const list = [
      ...many(20, { classId: 0, p: 0.9, isRight: true }),
      ...many(20, { classId: 0, p: 0.3, isRight: true }),
      ...many(15, { classId: 0, p: 0.3, isRight: false }),
    ];
    const [found] = sweepThresholds({ images: images(list, 1), calibration: identity(1), fallback: 0.6 });
    // 2 * 40 / (55 + 40) against 2 * 20 / (20 + 40)
    expect(found!.f1).toBeCloseTo(80 / 95, 12);
    expect(found!.score).toBeCloseTo(0.15, 6);
  });

  test("a class with few right answers takes the cut of all, and too few of all the default", () => {
    const list = [
      ...many(25, { classId: 0, p: 0.5, isRight: true }),
      ...many(3, { classId: 1, p: 0.9, isRight: true }),
      ...many(20, { classId: 0, p: 0.3, isRight: false }),
    ];
    const found = sweepThresholds({ images: images(list, 2), calibration: identity(2), fallback: 0.6 });
    expect(found.map(({ sweptOn }) => sweptOn)).toEqual(["class", "pooled"]);
    expect(found[1]!.score).toBeCloseTo(0.4, 6);
    const few = sweepThresholds({ images: images(list.slice(0, 9), 2), calibration: identity(2), fallback: 0.6 });
    expect(few).toEqual(many(2, { score: 0.6, f1: 0, sweptOn: "none" } as never));
  });

  test("no other cut is better", () => {
    const detection = fc.record({ p: fc.integer({ min: 1, max: 19 }).map((k) => k / 20), isRight: fc.boolean() });
    fc.assert(
      fc.property(fc.array(detection, { minLength: 1, maxLength: 40 }), (drawn) => {
        const list = [...drawn, ...many(20, { classId: 0, p: 0.99, isRight: true })].map((d) => ({ ...d, classId: 0 }));
        const [found] = sweepThresholds({ images: images(list, 1), calibration: identity(1), fallback: 0.6 });
        const truths = list.filter(({ isRight }) => isRight).length;
        const f1At = (cut: number) => {
          const kept = list.filter(({ p }) => sigmoid(Math.fround(logit(p))) >= cut);
          return (2 * kept.filter(({ isRight }) => isRight).length) / (kept.length + truths);
        };
        expect(found!.f1).toBeCloseTo(f1At(found!.score), 12);
        for (let cut = 0; cut < 1; cut += 0.025) expect(f1At(cut)).toBeLessThanOrEqual(found!.f1 + 1e-12);
      }),
      { numRuns: 60 },
    );
  });
});
