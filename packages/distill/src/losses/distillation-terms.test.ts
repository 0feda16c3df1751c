import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import type { Positives } from "./detection-loss.js";
import { boxTerm, classTerm, softClassTargets } from "./distillation-terms.js";
import { DEFAULT_GAINS, lossGains } from "./student-loss.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const value = (x: tf.Tensor) => x.dataSync()[0]!;
/** Two rows of one image: anchor 2 belongs to truth 1, the other row is empty. */
const built = (): Positives => ({
  anchors: tf.tensor2d([[2, 0]], [1, 2], "int32"),
  truths: tf.tensor2d([[1, 0]], [1, 2], "int32"),
  used: tf.tensor1d([1, 0]),
  boxes: tf.zeros([2, 4]),
});

describe("classTerm", () => {
  const cls = () =>
    tf.tensor3d([
      [
        [9, 9, -1],
        [9, 9, -1],
      ],
    ]);
  const logits = (a: number, b: number) =>
    tf.tensor3d([
      [
        [7, 7],
        [a, b],
      ],
    ]);
  const term = (scores: number[], forms = {}, a = 2, b = 2) =>
    value(
      classTerm({
        ...{ cls: cls(), positives: built(), classLogits: logits(a, b), forms },
        classScores: tf.tensor2d([scores]),
      }),
    );

  test("compares each positive with the teacher's logits of its truth, sum over classes", () => {
    // z_s -1 against z_t 2 in both classes.
    expect(term([0, 0.9])).toBeCloseTo(2 * 0.7305916, 5);
    expect(term([0, 0.2])).toBeCloseTo(2 * 0.7305916, 5);
  });
  test("is 0 where the teacher says nothing of that truth", () => {
    expect(term([0.9, 0])).toBe(0);
  });
  test("softmax and binary forms are options", () => {
    expect(term([0, 1], { kl: "binary", sigmoidTemperature: 1 })).toBeCloseTo(2 * 0.8287249, 5);
    expect(term([0, 1], { kl: "softmax", temperature: 4 })).toBeCloseTo(0, 6);
    expect(term([0, 1], { kl: "softmax", temperature: 1 }, 2, -2)).toBeGreaterThan(0.1);
  });
});

describe("boxTerm", () => {
  test("is 1 - GIoU of the positives with the teacher's box, and no gradient reaches the teacher", () => {
    const predicted = tf.tensor2d([
      [0, 0, 10, 10],
      [3, 3, 4, 4],
    ]);
    const teacherBoxes = tf.tensor3d([
      [
        [0, 0, 1, 1],
        [5, 5, 15, 15],
      ],
    ]);
    const boxScores = tf.tensor2d([[1, 0.6]]);
    expect(value(boxTerm({ predicted, positives: built(), teacherBoxes, boxScores }))).toBeCloseTo(1.0793651, 5);
  });
});

describe("softClassTargets", () => {
  test("mixes one-hot and teacher where the teacher confirms the label", () => {
    const targets = softClassTargets({
      gtClasses: tf.tensor2d([[0, 1]], [1, 2], "int32"),
      classLogits: tf.tensor3d([
        [
          [0, Math.log(3)],
          [5, 5],
        ],
      ]),
      classScores: tf.tensor2d([[0.75, 0]]),
      share: 0.4,
    });
    const expected = [0.6 + 0.4 * 0.5, 0.4 * 0.75, 0, 1];
    [...targets.dataSync()].forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i]!, 6);
    });
  });
});

describe("lossGains", () => {
  test("normalised to the task: published gains, distillation at two thirds", () => {
    expect(DEFAULT_GAINS).toMatchObject({ box: 7.5, cls: 0.5, dfl: 1.5, seg: 7.5 });
    expect(DEFAULT_GAINS.kdCls).toBeCloseTo(2 / 3, 12);
    expect(DEFAULT_GAINS.kdMask).toBeCloseTo(2.5, 12);
  });
  test("as written: everything times .3 and .2", () => {
    const gains = lossGains({ normalize: "none" });
    expect([gains.box, gains.seg]).toEqual([7.5 * 0.3, 7.5 * 0.3]);
    expect(gains.kdBox).toBeCloseTo(0.4, 12);
  });
  test("single terms and groups can be set", () => {
    expect(lossGains({ weights: { logit: 0 } }).kdMask).toBe(0);
    expect(lossGains({ gains: { kdBox: 5 } }).kdBox).toBe(5);
    expect(lossGains({ weights: { detection: 0.1 }, segment: false })).toMatchObject({ box: 7.5, kdCls: 2 });
  });
});
