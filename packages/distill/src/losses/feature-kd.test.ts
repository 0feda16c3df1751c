import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { distributionKd } from "./distribution-kd.js";
import { cwdLoss, pkdLoss } from "./feature-kd.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const value = (x: tf.Tensor) => x.dataSync()[0]!;
/** One picture of 1 x n cells with one channel. */
const row = (...values: number[]) => tf.tensor4d(values, [1, 1, values.length, 1]);
const all = (n: number) => tf.ones([1, 1, n]) as tf.Tensor3D;
const student = () => row(1, 3, 2, 4);
const teacher = () => row(1, 2, 3, 4);

describe("pkdLoss (students-distill 5.1)", () => {
  test("is 1 - r: .2 for (1, 3, 2, 4) against (1, 2, 3, 4)", () => {
    expect(value(pkdLoss({ student: student(), teacher: teacher(), valid: all(4) }))).toBeCloseTo(0.2, 5);
  });
  test("is 0 for any a x + b with a > 0, on either side", () => {
    const scaled = tf.add(tf.mul(teacher(), 7), -3) as tf.Tensor4D;
    expect(value(pkdLoss({ student: scaled, teacher: teacher(), valid: all(4) }))).toBeCloseTo(0, 5);
    const moved = value(pkdLoss({ student: student(), teacher: scaled, valid: all(4) }));
    expect(moved).toBeCloseTo(0.2, 5);
  });
  test("cells without weight do not count, whatever they hold", () => {
    const valid = tf.tensor3d([1, 1, 1, 1, 0, 0], [1, 1, 6]);
    const pair = { student: row(1, 3, 2, 4, 99, -5), teacher: row(1, 2, 3, 4, 0, 7), valid };
    expect(value(pkdLoss(pair))).toBeCloseTo(0.2, 5);
    expect(value(cwdLoss(pair))).toBeCloseTo(0.1497385, 5);
  });
  test("without a valid cell value and gradient are 0", () => {
    for (const loss of [pkdLoss, cwdLoss]) {
      const { value: v, grad } = tf.valueAndGrad((x: tf.Tensor) =>
        loss({ student: x as tf.Tensor4D, teacher: teacher(), valid: tf.zeros([1, 1, 4]) }),
      )(student()) as { value: tf.Tensor; grad: tf.Tensor };
      expect(value(v)).toBe(0);
      expect([...grad.dataSync()].every((g) => g === 0)).toBe(true);
    }
  });
});

describe("cwdLoss (students-distill 5.1)", () => {
  test("tau 1", () => {
    expect(value(cwdLoss({ student: student(), teacher: teacher(), valid: all(4) }))).toBeCloseTo(0.1497385, 5);
  });
  test("is a mean over channels and pictures that have valid cells", () => {
    const twice = (x: tf.Tensor4D) => tf.concat([tf.concat([x, x], 3), tf.concat([x, x], 3)], 0) as tf.Tensor4D;
    const valid = tf.tensor3d([1, 1, 1, 1, 0, 0, 0, 0], [2, 1, 4]);
    const loss = cwdLoss({ student: twice(student()), teacher: twice(teacher()), valid });
    expect(value(loss)).toBeCloseTo(0.1497385, 5);
  });
});

describe("distributionKd (students-distill 5.1)", () => {
  test.each([
    [1, 1.0721097],
    [10, 2.6142944],
  ])("teacher .5 bin, student 0, temperature %i", (temperature, expected) => {
    const bins = tf.mul(tf.range(0, 16), 0.5).reshape([1, 16]);
    const loss = distributionKd({ student: tf.zeros([1, 16]), teacher: bins, temperature });
    expect(value(loss)).toBeCloseTo(expected, 4);
  });
});
