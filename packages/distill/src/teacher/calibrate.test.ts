import { CounterRandom } from "@seg/augment";
import type { Box } from "@seg/coco-dataset";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { applyCalibration, calibrate, fitPlatt, matchGreedily } from "./calibrate.js";
import { sigmoid } from "./detections.js";

const box = (x: number): Box => [x, 0, x + 10, 10];

/** Detections of `classes` classes whose best logit is z; right with probability sigmoid(slope z + intercept) of their class. */
function images({ count, scaling }: { count: number; scaling: readonly { slope: number; intercept: number }[] }) {
  const random = new CounterRandom({ seed: 1, path: "calibration" });
  const classes = scaling.length;
  return Array.from({ length: count }, () => {
    const classId = random.integer(0, classes - 1);
    const z = random.uniform(-3, 1);
    const { slope, intercept } = scaling[classId]!;
    const isRight = random.uniform() < sigmoid(slope * z + intercept);
    const logits = new Float32Array(classes).fill(-9);
    logits[classId] = z;
    return { boxes: [box(0)], logits, truths: isRight ? [{ classId, box: box(1) }] : [{ classId, box: box(90) }] };
  });
}

describe("matchGreedily", () => {
  test("takes the best overlap first, each once, equal classes only", () => {
    const truths = [
      { classId: 0, box: box(0) },
      { classId: 1, box: box(20) },
    ];
    const detections = [
      { classId: 0, box: box(2) },
      { classId: 0, box: box(1) },
      { classId: 0, box: box(20) },
    ];
    expect([...matchGreedily({ detections, truths })]).toEqual([-1, 0, -1]);
    expect([...matchGreedily({ detections: [], truths })]).toEqual([]);
  });
});

describe("fitPlatt", () => {
  test("is the logistic regression with Platt's targets", () => {
    // Two groups: the optimum gives each group its mean target, so slope and intercept follow from two logits.
    const group = (z: number, right: number, wrong: number) => [
      ...Array.from({ length: right }, () => ({ z, isRight: true })),
      ...Array.from({ length: wrong }, () => ({ z, isRight: false })),
    ];
    const [high, low] = [(70 + 1) / (70 + 2), 1 / (30 + 2)];
    const target = (right: number, wrong: number) => (right * high + wrong * low) / (right + wrong);
    const logit = (p: number) => Math.log(p / (1 - p));
    const [a, b] = [logit(target(20, 20)), logit(target(50, 10))];
    const { slope, intercept } = fitPlatt([...group(-1, 20, 20), ...group(1, 50, 10)]);
    expect(slope).toBeCloseTo((b - a) / 2, 6);
    expect(intercept).toBeCloseTo((a + b) / 2, 6);
  });
  test("stays finite on separable scores", () => {
    const separable = [-2, -1, 1, 2].flatMap((z) => Array.from({ length: 6 }, () => ({ z, isRight: z > 0 })));
    const { slope, intercept } = fitPlatt(separable);
    expect([Number.isFinite(slope), Number.isFinite(intercept), slope <= 10]).toEqual([true, true, true]);
  });
});

describe("calibrate", () => {
  test("finds each class's own scaling and lowers the calibration error", () => {
    const scaling = [
      { slope: 1.5, intercept: 2 },
      { slope: 0.7, intercept: 0.5 },
    ];
    const calibration = calibrate({ images: images({ count: 4000, scaling }), classes: 2 });
    calibration.classes.forEach(({ slope, intercept, fittedOn }, c) => {
      expect(fittedOn).toBe("class");
      // 2,000 draws a class: the standard error of a probability is about .01.
      for (const z of [-3, -2, -1, 0, 1]) {
        const difference = sigmoid(slope * z + intercept) - sigmoid(scaling[c]!.slope * z + scaling[c]!.intercept);
        expect(Math.abs(difference)).toBeLessThan(0.05);
      }
    });
    expect(calibration.ece!.before).toBeGreaterThan(0.15);
    expect(calibration.ece!.after).toBeLessThan(0.04);
  });
  test("pools classes with fewer than 20 right answers, and leaves logits alone without enough of all", () => {
    const scaling = [
      { slope: 1, intercept: 3 },
      { slope: 1, intercept: -9 },
    ];
    const { classes } = calibrate({ images: images({ count: 200, scaling }), classes: 2 });
    expect(classes.map(({ fittedOn }) => fittedOn)).toEqual(["class", "pooled"]);
    const few = calibrate({ images: images({ count: 15, scaling }), classes: 2 });
    expect(
      few.classes.every(({ fittedOn, slope, intercept }) => fittedOn === "none" && slope === 1 && !intercept),
    ).toBe(true);
    expect(calibrate({ images: [], classes: 1 }).ece).toBeNull();
  });
});

describe("applyCalibration", () => {
  const scaled = (...fits: readonly [slope: number, intercept: number][]) => ({
    classes: fits.map(([slope, intercept]) => ({
      ...{ slope, intercept, detections: 0, matches: 0, fittedOn: "class" as const },
    })),
    ece: null,
  });

  test("moves the best class of a box by its own fit", () => {
    const result = applyCalibration(Float32Array.of(-1, -9, -9, 1), scaled([2, 3], [1, 0.5]));
    expect(result[0]).toBeCloseTo(1, 6);
    expect(result[3]).toBeCloseTo(1.5, 6);
  });
  test("a class that the detector denied stays denied, however much surer it was made", () => {
    // .5 becomes .953; .03 of the other class would become .35 by the same fit.
    const [own, other] = applyCalibration(Float32Array.of(0, -3.5), scaled([0.9, 3], [0.9, 3]));
    expect(sigmoid(own!)).toBeCloseTo(0.9526, 4);
    expect(sigmoid(other!)).toBeCloseTo(((1 - 0.9526) * sigmoid(-3.5)) / 0.5, 4);
  });
  test("in doubt all classes keep their scores, and what was not asked about stays so", () => {
    const logits = Float32Array.of(-1, -2, Number.NEGATIVE_INFINITY);
    const result = applyCalibration(logits, scaled([1, 0], [1, 0], [1, 0]));
    expect(result[0]).toBe(-1);
    expect(result[1]).toBeCloseTo(-2, 5);
    expect(result[2]).toBe(Number.NEGATIVE_INFINITY);
  });
  test("leaves boxes alone whose class has no fit", () => {
    const unfitted = calibrate({ images: [], classes: 2 });
    expect([...applyCalibration(Float32Array.of(2, 1), unfitted)]).toEqual([2, 1]);
  });
  test("keeps the order of the classes, and no other class is surer than the doubt", () => {
    const fit = fc.tuple(fc.double({ min: 0.1, max: 3, noNaN: true }), fc.double({ min: -4, max: 4, noNaN: true }));
    const row = fc.uniqueArray(fc.integer({ min: -80, max: 60 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(row, fc.tuple(fit, fit, fit), (tenths, fits) => {
        const logits = Float32Array.from(tenths, (z) => z / 10);
        const result = [...applyCalibration(logits, scaled(...fits))];
        const order = (values: ArrayLike<number>) => [0, 1, 2].sort((a, b) => values[b]! - values[a]!);
        const [best, second] = order(logits) as [number, number, number];
        expect(order(result)[0]).toBe(best);
        expect(sigmoid(result[second]!)).toBeLessThanOrEqual(1 - sigmoid(result[best]!) + 1e-5);
      }),
    );
  });
});
