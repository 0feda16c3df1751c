import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { binaryKd, boxKd, logitKd, softmaxKd } from "./logit-kd.js";
import { maskKd, maskLoss, positiveMasks } from "./mask-loss.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const value = (x: tf.Tensor) => x.dataSync()[0]!;

describe("logitKd (students-distill 5.1)", () => {
  const one = (x: number) => tf.tensor3d([[[x]]]);
  test("sigmoid form of z_s -1, z_t 2 is BCE 1.1940588 times the gap 0.6118557", () => {
    const loss = logitKd({ student: one(-1), teacher: one(2), anchorWeights: tf.ones([1, 1]) });
    expect(value(loss)).toBeCloseTo(0.7305916, 5);
  });
  test("anchors of weight 0 do not count", () => {
    const student = tf.tensor3d([[[-1, 5]]]);
    const teacher = tf.tensor3d([[[2, -5]]]);
    expect(value(logitKd({ student, teacher, anchorWeights: tf.tensor2d([[1, 0]]) }))).toBeCloseTo(0.7305916, 5);
  });
});

describe("binaryKd (students-distill 5.1)", () => {
  const columns = (...values: number[]) => tf.tensor3d(values, [1, values.length, 1]);
  const loss = (student: number[], teacher: number[], temperature: number) =>
    value(
      binaryKd({
        student: columns(...student),
        teacher: columns(...teacher),
        anchorWeights: tf.ones([1, 1]),
        temperature,
      }),
    );
  test.each([
    [1, 0.8287249],
    [4, 1.0993109],
  ])("z_s -1, z_t 2, temperature %i", (temperature, expected) => {
    expect(loss([-1], [2], temperature)).toBeCloseTo(expected, 5);
  });
  test("a common shift of the teacher changes it: it can say that nothing is there", () => {
    expect(loss([0.5, 0.2, -1], [2, -1, -3], 4)).toBeCloseTo(0.9084039, 4);
    expect(loss([0.5, 0.2, -1], [-3, -6, -8], 4)).toBeCloseTo(9.0352399, 4);
  });
});

describe("softmaxKd (students-distill 5.1)", () => {
  const teacher = tf.tensor2d([[2, -1, -3]]);
  const student = tf.tensor2d([[0.5, 0.2, -1]]);
  test.each([
    [1, 0.4704174],
    [4, 1.164718],
  ])("temperature %i", (temperature, expected) => {
    expect(value(softmaxKd({ student, teacher, temperature }))).toBeCloseTo(expected, 5);
    // Its weakness: a common shift of the teacher changes nothing.
    expect(value(softmaxKd({ student, teacher: tf.sub(teacher, 5), temperature }))).toBeCloseTo(expected, 4);
  });
});

describe("softmaxKd with weights", () => {
  test("rows of weight 0 do not count", () => {
    const student = tf.tensor2d([
      [0.5, 0.2, -1],
      [9, 9, -9],
    ]);
    const teacher = tf.tensor2d([
      [2, -1, -3],
      [0, 0, 0],
    ]);
    const loss = softmaxKd({ student, teacher, temperature: 1, weights: tf.tensor1d([0.4, 0]) });
    expect(value(loss)).toBeCloseTo(0.4704174, 5);
  });
});

describe("boxKd", () => {
  test("is the weighted mean of 1 - GIoU", () => {
    const student = tf.tensor2d([
      [0, 0, 10, 10],
      [0, 0, 1, 1],
    ]);
    const teacher = tf.tensor2d([
      [5, 5, 15, 15],
      [9, 9, 10, 10],
    ]);
    expect(value(boxKd({ student, teacher, weights: tf.tensor1d([0.5, 0]) }))).toBeCloseTo(1.0793651, 5);
  });
});

describe("maskLoss and maskKd", () => {
  const masksOf = (side: number, box: number[], logit: number) => {
    const cells = side / 4;
    return positiveMasks({
      coef: tf.fill([1, 1, 3], logit) as tf.Tensor3D,
      proto: tf.ones([1, cells, cells, 1]),
      positives: {
        anchors: tf.tensor2d([[2, 0]], [1, 2], "int32"),
        truths: tf.tensor2d([[0, 0]], [1, 2], "int32"),
        used: tf.tensor1d([1, 0]),
        boxes: tf.tensor2d([box, box]),
      },
      size: [side, side],
    });
  };

  test("do not depend on the size of the object", () => {
    const loss = (side: number, box: number[]) => {
      const cells = side / 4;
      const gtMasks = tf.ones([1, 1, cells, cells]) as tf.Tensor4D;
      return value(maskLoss({ masks: masksOf(side, box, 0.7), gtMasks, weights: tf.ones([1, 1]) }));
    };
    expect(loss(64, [0, 0, 16, 16])).toBeCloseTo(Math.log1p(Math.exp(-0.7)), 5);
    expect(loss(64, [0, 0, 64, 32])).toBeCloseTo(Math.log1p(Math.exp(-0.7)), 5);
  });

  test("a teacher that agrees costs only its own uncertainty, one of weight 0 nothing", () => {
    const teacherMasks = tf.fill([1, 1, 4, 4], 1 / (1 + Math.exp(-0.7))) as tf.Tensor4D;
    const run = (iou: number) =>
      value(maskKd({ masks: masksOf(16, [0, 0, 16, 16], 0.7), teacherMasks, teacherWeights: tf.fill([1, 1], iou) }));
    const p = 1 / (1 + Math.exp(-0.7));
    const entropy = -p * Math.log(p) - (1 - p) * Math.log(1 - p);
    const dice = 1 - (2 * 16 * p * p + 1) / (2 * 16 * p + 1);
    expect(run(0.9)).toBeCloseTo(0.9 * (entropy + dice), 5);
    expect(run(0)).toBe(0);
  });
});
