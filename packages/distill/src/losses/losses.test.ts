import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { assignTal } from "./assign-tal.js";
import { bceWithLogits } from "./bce.js";
import { completeIou, generalizedIou } from "./box-iou.js";
import { distributionExpectation, distributionFocalLoss } from "./distribution-focal.js";
import { type StudentTargets, studentLoss } from "./student-loss.js";
import { testAnchors } from "./test-anchors.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const UNIT = { box: 1, cls: 1, dfl: 1, seg: 1, kdCls: 1, kdBox: 1, kdMask: 1, kdFeat: 1 };

interface Truth {
  box: readonly number[];
  classId: number;
}

/** Targets of a batch; masks are filled boxes at a quarter of the input. */
function targetsOf({
  images,
  side,
  pad,
  positives,
}: {
  images: Truth[][];
  side: number;
  pad: number;
  positives: number;
}): StudentTargets {
  const batch = images.length;
  const cells = side / 4;
  const boxes = new Float32Array(batch * pad * 4);
  const classes = new Int32Array(batch * pad);
  const valid = new Float32Array(batch * pad);
  const masks = new Float32Array(batch * pad * cells * cells);
  images.forEach((truths, b) => {
    truths.forEach(({ box, classId }, g) => {
      const row = b * pad + g;
      boxes.set(box, row * 4);
      classes[row] = classId;
      valid[row] = 1;
      for (let i = 0; i < cells; i++) {
        for (let j = 0; j < cells; j++) {
          const inside = 4 * j + 2 >= box[0]! && 4 * j + 2 < box[2]! && 4 * i + 2 >= box[1]! && 4 * i + 2 < box[3]!;
          masks[(row * cells + i) * cells + j] = inside ? 1 : 0;
        }
      }
    });
  });
  return {
    gtBoxes: tf.tensor3d(boxes, [batch, pad, 4]),
    gtClasses: tf.tensor2d(classes, [batch, pad], "int32"),
    gtValid: tf.tensor2d(valid, [batch, pad]),
    gtMasks: tf.tensor4d(masks, [batch, pad, cells, cells]),
    gtHasMask: tf.tensor2d(valid, [batch, pad]),
    positives,
  };
}

interface Raw {
  box: tf.Tensor3D;
  cls: tf.Tensor3D;
  coef: tf.Tensor3D;
  proto: tf.Tensor4D;
}

function zeroOutputs({ batch, side, classes }: { batch: number; side: number; classes: number }): Raw {
  const anchors = testAnchors(side).strides.shape[0];
  return {
    box: tf.zeros([batch, 64, anchors]),
    cls: tf.zeros([batch, classes, anchors]),
    coef: tf.zeros([batch, 32, anchors]),
    proto: tf.zeros([batch, side / 4, side / 4, 32]),
  };
}

function randomOutputs({
  batch,
  side,
  classes,
  seed,
}: {
  batch: number;
  side: number;
  classes: number;
  seed: number;
}): Raw {
  const anchors = testAnchors(side).strides.shape[0];
  return {
    box: tf.randomNormal([batch, 64, anchors], 0, 1, "float32", seed),
    cls: tf.randomNormal([batch, classes, anchors], 0, 1, "float32", seed + 1),
    coef: tf.randomNormal([batch, 32, anchors], 0, 0.5, "float32", seed + 2),
    proto: tf.randomNormal([batch, side / 4, side / 4, 32], 0, 0.5, "float32", seed + 3),
  };
}

function lossOf(outputs: Raw, targets: StudentTargets, side: number) {
  const { total, parts } = studentLoss({
    outputs,
    targets,
    anchors: testAnchors(side),
    size: [side, side],
    gains: UNIT,
  });
  const values = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, value.dataSync()[0]!]));
  return { total: total.dataSync()[0]!, parts: values };
}

const relative = (actual: number, expected: number) =>
  Math.abs(actual - expected) / Math.max(Math.abs(expected), 1e-12);

describe("completeIou and generalizedIou (students-distill 5.1)", () => {
  test.each([
    [[0, 0, 10, 10], [5, 5, 15, 15], 0.031746],
    [[0, 0, 10, 10], [20, 0, 30, 10], -0.4],
    [[0, 0, 10, 20], [2, 4, 14, 16], 0.369308],
    [[3, 3, 3, 3], [0, 0, 10, 10], Number.NaN],
  ])("CIoU of %j and %j", (a, b, expected) => {
    const value = completeIou(tf.tensor2d([a]), tf.tensor2d([b])).dataSync()[0]!;
    // A degenerate box must stay finite; its value has no reference.
    if (Number.isNaN(expected)) expect(Number.isFinite(value)).toBe(true);
    else expect(relative(value, expected)).toBeLessThan(1e-5);
  });

  test("GIoU", () => {
    const value = generalizedIou(tf.tensor2d([[0, 0, 10, 10]]), tf.tensor2d([[5, 5, 15, 15]])).dataSync()[0]!;
    expect(relative(value, -0.0793651)).toBeLessThan(1e-5);
  });

  test("treats alpha as a constant: analytic gradient differs from that of the full expression only in the aspect term", () => {
    const a = tf.tensor2d([[0, 0, 10, 20]]);
    const b = tf.tensor2d([[2, 4, 14, 16]]);
    const gradient = tf
      .grad((x: tf.Tensor) => tf.sum(completeIou(x, b)))(a)
      .dataSync();
    // Central differences with alpha fixed at its value for (a, b).
    const plain = (box: number[], alpha: number) => {
      const [x1, y1, x2, y2] = box as [number, number, number, number];
      const inter = Math.max(0, Math.min(x2, 14) - Math.max(x1, 2)) * Math.max(0, Math.min(y2, 16) - Math.max(y1, 4));
      const iou = inter / ((x2 - x1) * (y2 - y1) + 144 - inter);
      const c2 = (Math.max(x2, 14) - Math.min(x1, 2)) ** 2 + (Math.max(y2, 16) - Math.min(y1, 4)) ** 2;
      const d2 = ((x1 + x2 - 16) / 2) ** 2 + ((y1 + y2 - 20) / 2) ** 2;
      const v = (4 / Math.PI ** 2) * (Math.atan(1) - Math.atan((x2 - x1) / (y2 - y1))) ** 2;
      return { value: iou - d2 / c2 - alpha * v, v, iou };
    };
    const { v, iou } = plain([0, 0, 10, 20], 0);
    const alpha = v / (v - iou + 1);
    for (let k = 0; k < 4; k++) {
      const shifted = (h: number) =>
        plain(
          [0, 0, 10, 20].map((x, i) => (i === k ? x + h : x)),
          alpha,
        ).value;
      const numeric = (shifted(1e-4) - shifted(-1e-4)) / 2e-4;
      expect(gradient[k]!).toBeCloseTo(numeric, 4);
    }
  });
});

describe("distributionFocalLoss and distributionExpectation", () => {
  const ramp = Array.from({ length: 16 }, (_, i) => 0.5 * i);
  test("golden values", () => {
    expect(
      relative(distributionFocalLoss(tf.zeros([1, 16]), tf.tensor1d([3.25])).dataSync()[0]!, 2.7725887),
    ).toBeLessThan(1e-5);
    expect(
      relative(distributionFocalLoss(tf.tensor2d([ramp]), tf.tensor1d([3.25])).dataSync()[0]!, 6.8074166),
    ).toBeLessThan(1e-5);
    expect(relative(distributionExpectation(tf.tensor2d([ramp])).dataSync()[0]!, 13.4638751)).toBeLessThan(1e-5);
  });
  test("clamps targets beyond the last bin", () => {
    const far = distributionFocalLoss(tf.tensor2d([ramp]), tf.tensor1d([99])).dataSync()[0]!;
    const edge = distributionFocalLoss(tf.tensor2d([ramp]), tf.tensor1d([14.99])).dataSync()[0]!;
    expect(far).toBe(edge);
  });
});

describe("bceWithLogits", () => {
  test("equals log(1 + e^x) - x t, also far out", () => {
    const values = bceWithLogits(tf.tensor1d([0, -1, 90, -90]), tf.tensor1d([0, 0.880797, 1, 0])).dataSync();
    expect(values[0]).toBeCloseTo(Math.LN2, 6);
    expect(values[1]).toBeCloseTo(1.1940588, 5);
    expect(values[2]).toBeCloseTo(0, 6);
    expect(values[3]).toBeCloseTo(0, 6);
  });
});

describe("ops.stopGradient on this backend", () => {
  test("keeps the value and cuts the gradient, also through ops without one", () => {
    const x = tf.tensor1d([3, 1, 2]);
    const f = (v: tf.Tensor) => tf.sum(tf.mul(v, tf.cast(tf.topk(ops.stopGradient(v), 3).indices, "float32")));
    expect([...tf.grad(f)(x).dataSync()]).toEqual([0, 2, 1]);
  });
});

describe("studentLoss on all-zero logits (students-distill 5.1)", () => {
  test("160 px, 2 classes, one large object", () => {
    const targets = targetsOf({ images: [[{ box: [0, 0, 120, 120], classId: 0 }]], side: 160, pad: 2, positives: 16 });
    const { parts, total } = lossOf(zeroOutputs({ batch: 1, side: 160, classes: 2 }), targets, 160);
    expect(relative(parts["box"]!, 0.12201955)).toBeLessThan(1e-4);
    expect(relative(parts["cls"]!, 192.69536)).toBeLessThan(1e-4);
    expect(relative(parts["dfl"]!, 2.7725887)).toBeLessThan(1e-4);
    expect(relative(parts["seg"]!, Math.LN2)).toBeLessThan(1e-4);
    expect(relative(total, 0.12201955 + 192.69536 + 2.7725887 + Math.LN2)).toBeLessThan(1e-4);
  });

  test("160 px: scores of the ten positives", () => {
    const anchors = testAnchors(160);
    const { gtBoxes, gtClasses, gtValid } = targetsOf({
      images: [[{ box: [0, 0, 120, 120], classId: 1 }]],
      side: 160,
      pad: 2,
      positives: 16,
    });
    const half = tf.mul(tf.reshape(anchors.strides, [1, -1, 1]), 7.5);
    const centers = tf.reshape(anchors.centers, [1, -1, 2]);
    const boxes = tf.concat([tf.sub(centers, half), tf.add(centers, half)], -1) as tf.Tensor3D;
    const result = assignTal({
      scores: tf.fill([1, 2, 525], 0.5),
      boxes,
      centers: anchors.centers,
      gtBoxes,
      gtClasses,
      gtValid,
    });
    const scores = [...(result.targetScores.dataSync() as Float32Array)].slice(525);
    const positive = scores.filter((s) => s > 0).sort((a, b) => b - a);
    const expected = [1, ...Array(4).fill(0.44243517), ...Array(4).fill(0.20479048), 0.18806713];
    expect(positive.length).toBe(10);
    for (let i = 0; i < 10; i++) expect(relative(positive[i]!, expected[i])).toBeLessThan(1e-4);
    expect(
      relative(
        scores.reduce((a, b) => a + b, 0),
        3.77696972,
      ),
    ).toBeLessThan(1e-4);
    expect(result.foreground.sum().dataSync()[0]).toBe(10);
  });

  test("32 px, an object with fewer candidates than places", () => {
    const targets = targetsOf({ images: [[{ box: [4, 4, 28, 28], classId: 1 }]], side: 32, pad: 1, positives: 16 });
    const { parts } = lossOf(zeroOutputs({ batch: 1, side: 32, classes: 2 }), targets, 32);
    expect(relative(parts["box"]!, 0.10613506)).toBeLessThan(1e-4);
    expect(relative(parts["cls"]!, 29.1121816)).toBeLessThan(1e-4);
    expect(relative(parts["dfl"]!, 0.30617435)).toBeLessThan(1e-4);
    expect(relative(parts["seg"]!, Math.LN2)).toBeLessThan(1e-4);
  });

  test("without ground truth only the class loss remains, and gradients are finite", () => {
    const targets = targetsOf({ images: [[]], side: 32, pad: 4, positives: 8 });
    const outputs = zeroOutputs({ batch: 1, side: 32, classes: 2 });
    const { parts } = lossOf(outputs, targets, 32);
    expect(relative(parts["cls"]!, 29.1121816)).toBeLessThan(1e-4);
    expect([parts["box"], parts["dfl"], parts["seg"]]).toEqual([0, 0, 0]);
    const gradients = tf.grads((box: tf.Tensor, coef: tf.Tensor) => {
      const all = { ...outputs, box: box as tf.Tensor3D, coef: coef as tf.Tensor3D };
      return studentLoss({ outputs: all, targets, anchors: testAnchors(32), size: [32, 32] }).total;
    })([outputs.box, outputs.coef]);
    for (const gradient of gradients) expect(tf.max(tf.abs(gradient)).dataSync()[0]).toBe(0);
  });
});

describe("studentLoss properties", () => {
  const side = 32;
  const truths: Truth[] = [
    { box: [1, 2, 20, 22], classId: 0 },
    { box: [10, 8, 31, 30], classId: 1 },
    { box: [6, 3, 15, 29], classId: 1 },
  ];

  test("permuting the ground truths changes nothing", () => {
    const outputs = randomOutputs({ batch: 1, side, classes: 2, seed: 5 });
    const forward = lossOf(outputs, targetsOf({ images: [truths], side, pad: 4, positives: 21 }), side);
    const backward = lossOf(outputs, targetsOf({ images: [[...truths].reverse()], side, pad: 4, positives: 21 }), side);
    for (const [name, value] of Object.entries(forward.parts))
      expect(relative(backward.parts[name]!, value)).toBeLessThan(1e-5);
  });

  test("padding and spare positive rows change nothing", () => {
    const outputs = randomOutputs({ batch: 1, side, classes: 2, seed: 6 });
    const tight = lossOf(outputs, targetsOf({ images: [[truths[0]!]], side, pad: 1, positives: 10 }), side);
    const loose = lossOf(outputs, targetsOf({ images: [[truths[0]!]], side, pad: 7, positives: 21 }), side);
    for (const [name, value] of Object.entries(tight.parts))
      expect(relative(loose.parts[name]!, value)).toBeLessThan(1e-5);
  });

  test("two copies of an image: same parts, twice the total", () => {
    const one = randomOutputs({ batch: 1, side, classes: 2, seed: 7 });
    const two = Object.fromEntries(Object.entries(one).map(([k, v]) => [k, tf.concat([v, v], 0)])) as unknown as Raw;
    const single = lossOf(one, targetsOf({ images: [truths], side, pad: 3, positives: 21 }), side);
    const double = lossOf(two, targetsOf({ images: [truths, truths], side, pad: 3, positives: 21 }), side);
    // Only where tss is above its floor of 1; a big box with random logits may lie below, so compare the sums' ratio.
    expect(relative(double.parts["seg"]!, single.parts["seg"]!)).toBeLessThan(1e-5);
    expect(
      relative(
        double.total,
        2 * (double.parts["box"]! + double.parts["cls"]! + double.parts["dfl"]! + double.parts["seg"]!),
      ),
    ).toBeLessThan(1e-5);
  });

  test("flipping image, boxes and masks changes nothing", () => {
    const outputs = randomOutputs({ batch: 1, side, classes: 2, seed: 8 });
    const flipRow = (t: tf.Tensor3D): tf.Tensor3D => {
      // [B, C, A]: reverse x inside every level.
      let start = 0;
      const levels: tf.Tensor[] = [];
      for (const stride of [8, 16, 32]) {
        const n = side / stride;
        const level = tf.slice(t, [0, 0, start], [-1, -1, n * n]);
        levels.push(tf.reshape(tf.reverse(tf.reshape(level, [1, t.shape[1], n, n]), [3]), [1, t.shape[1], n * n]));
        start += n * n;
      }
      return tf.concat(levels, 2) as tf.Tensor3D;
    };
    const [l, t, r, b] = tf.split(outputs.box, 4, 1);
    const flipped: Raw = {
      box: flipRow(tf.concat([r!, t!, l!, b!], 1) as tf.Tensor3D),
      cls: flipRow(outputs.cls),
      coef: flipRow(outputs.coef),
      proto: tf.reverse(outputs.proto, [2]) as tf.Tensor4D,
    };
    // Multiples of 4, so that the half-open crop mirrors onto itself.
    const even: Truth[] = [
      { box: [0, 4, 20, 24], classId: 0 },
      { box: [8, 8, 32, 28], classId: 1 },
    ];
    const mirrored = even.map(({ box, classId }) => ({
      box: [side - box[2]!, box[1]!, side - box[0]!, box[3]!],
      classId,
    }));
    const straight = lossOf(outputs, targetsOf({ images: [even], side, pad: 2, positives: 21 }), side);
    const mirror = lossOf(flipped, targetsOf({ images: [mirrored], side, pad: 2, positives: 21 }), side);
    for (const [name, value] of Object.entries(straight.parts))
      expect(relative(mirror.parts[name]!, value)).toBeLessThan(2e-5);
  });

  test("gradients equal central differences", () => {
    const outputs = randomOutputs({ batch: 2, side, classes: 2, seed: 9 });
    const targets = targetsOf({ images: [truths, [truths[0]!]], side, pad: 3, positives: 21 });
    const withTeacher: StudentTargets = {
      ...targets,
      teacherMasks: tf.add(tf.mul(targets.gtMasks!, 0.8), 0.1) as tf.Tensor4D,
      teacherWeights: tf.mul(targets.gtHasMask!, 0.9) as tf.Tensor2D,
    };
    const names = ["box", "coef", "proto"] as const;
    // Class logits and boxes move the targets too (stopped in the analytic gradient); cls, coef and proto do not enter them,
    // so finite differences are exact for coef and proto; for box and cls the direction is tested with frozen targets below.
    const value = (raw: Raw) =>
      studentLoss({ outputs: raw, targets: withTeacher, anchors: testAnchors(side), size: [side, side] }).total;
    const gradients = tf.grads((coef: tf.Tensor, proto: tf.Tensor) =>
      value({ ...outputs, coef: coef as tf.Tensor3D, proto: proto as tf.Tensor4D }),
    )([outputs.coef, outputs.proto]);
    for (const [k, name] of (names.slice(1) as ("coef" | "proto")[]).entries()) {
      const direction = tf.randomNormal(outputs[name].shape, 0, 1, "float32", 11 + k);
      const analytic = tf.sum(tf.mul(gradients[k]!, direction)).dataSync()[0]!;
      const shifted = (h: number) =>
        value({ ...outputs, [name]: tf.add(outputs[name], tf.mul(direction, h)) } as Raw).dataSync()[0]!;
      const numeric = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
      // float32 differences of a loss of order 100: three digits.
      expect(relative(analytic, numeric)).toBeLessThan(5e-3);
    }
  });

  test("a teacher's mask shares the weight of the label's, by its ramp and predicted IoU; without one the label keeps all", () => {
    const outputs = randomOutputs({ batch: 2, side, classes: 2, seed: 9 });
    const targets = targetsOf({ images: [truths, [truths[0]!]], side, pad: 3, positives: 21 });
    const alone = lossOf(outputs, targets, side).parts["seg"]!;
    const beside = (iou: number, ramp: number) => {
      const teacherWeights = tf.mul(targets.gtHasMask!, iou) as tf.Tensor2D;
      const taught: StudentTargets = {
        ...targets,
        teacherMasks: targets.gtMasks!,
        teacherWeights,
        kdRamp: tf.scalar(ramp),
      };
      return lossOf(outputs, taught, side).parts["seg"]!;
    };
    // Equal gains: the share is the ramp.
    expect(relative(beside(0.9, 1), (1 - 0.9) * alone)).toBeLessThan(1e-5);
    expect(relative(beside(0.9, 0.5), (1 - 0.45) * alone)).toBeLessThan(1e-5);
    expect(relative(beside(0, 1), alone)).toBeLessThan(1e-6);
  });

  test("box gradient equals central differences where the assignment is saturated", () => {
    // One truth and one candidate: its target score is align * overlap / (align + 1e-9) = overlap, so the weight moves with the box;
    // the analytic gradient holds it constant. d/dx [w (1 - ciou)] at fixed w is checked on the DFL and CIoU pieces directly.
    const logits = tf.randomNormal([3, 4, 16], 0, 1, "float32", 21);
    const truth = tf.tensor2d([
      [1, 1, 6, 7],
      [2, 0, 9, 5],
      [0, 3, 4, 12],
    ]);
    const center = tf.tensor2d([
      [3, 3],
      [5, 2],
      [2, 6],
    ]);
    const f = (x: tf.Tensor): tf.Tensor => {
      const d = distributionExpectation(x);
      const box = tf.concat(
        [tf.sub(center, tf.slice(d, [0, 0], [3, 2])), tf.add(center, tf.slice(d, [0, 2], [3, 2]))],
        1,
      );
      const side4 = tf.tensor2d([
        [2, 2, 3, 4],
        [3, 2, 4, 3],
        [2, 3, 2, 6],
      ]);
      return tf.add(tf.sum(generalizedIou(box, truth)), tf.sum(distributionFocalLoss(x, side4)));
    };
    const gradient = tf.grad(f)(logits);
    const direction = tf.randomNormal([3, 4, 16], 0, 1, "float32", 22);
    const analytic = tf.sum(tf.mul(gradient, direction)).dataSync()[0]!;
    const at = (h: number) => f(tf.add(logits, tf.mul(direction, h))).dataSync()[0]!;
    expect(relative(analytic, (at(1e-2) - at(-1e-2)) / 2e-2)).toBeLessThan(5e-3);
  });
});

describe("assignTal conflicts", () => {
  test("an anchor claimed twice goes to the larger overlap, equal overlaps to the lower index", () => {
    const centers = tf.tensor2d([
      [5, 5],
      [90, 90],
    ]);
    const boxes = tf.tensor3d([
      [
        [0, 0, 10, 10],
        [80, 80, 99, 99],
      ],
    ]);
    const scores = tf.fill([1, 2, 2], 0.5) as tf.Tensor3D;
    const run = (list: number[][]) =>
      assignTal({
        scores,
        boxes,
        centers,
        gtBoxes: tf.tensor3d([list]),
        gtClasses: tf.tensor2d([[0, 1]], [1, 2], "int32"),
        gtValid: tf.ones([1, 2]),
      });
    const better = run([
      [0, 0, 10, 14],
      [0, 0, 10, 11],
    ]);
    expect(better.targetIndex.dataSync()[0]).toBe(1);
    expect(better.targetScores.dataSync()[0]).toBe(0);
    const equal = run([
      [0, 0, 10, 12],
      [0, 0, 10, 12],
    ]);
    expect(equal.targetIndex.dataSync()[0]).toBe(0);
  });

  test("a padded row never claims, a centre on the border is outside", () => {
    const input = {
      scores: tf.fill([1, 1, 2], 0.5) as tf.Tensor3D,
      boxes: tf.tensor3d([
        [
          [0, 0, 10, 10],
          [0, 0, 10, 10],
        ],
      ]),
      centers: tf.tensor2d([
        [5, 5],
        [10, 5],
      ]),
      gtBoxes: tf.tensor3d([[[0, 0, 10, 10]]]),
      gtClasses: tf.tensor2d([[0]], [1, 1], "int32"),
    };
    expect([...assignTal({ ...input, gtValid: tf.ones([1, 1]) }).foreground.dataSync()]).toEqual([1, 0]);
    expect([...assignTal({ ...input, gtValid: tf.zeros([1, 1]) }).foreground.dataSync()]).toEqual([0, 0]);
  });

  test("a candidate of alignment 0 is taken before any anchor outside the box", () => {
    const result = assignTal({
      scores: tf.fill([1, 1, 3], 0.5) as tf.Tensor3D,
      // The box of anchor 2 lies elsewhere: CIoU <= 0.
      boxes: tf.tensor3d([
        [
          [50, 50, 60, 60],
          [50, 50, 60, 60],
          [50, 50, 60, 60],
        ],
      ]),
      centers: tf.tensor2d([
        [20, 20],
        [30, 30],
        [5, 5],
      ]),
      gtBoxes: tf.tensor3d([[[0, 0, 10, 10]]]),
      gtClasses: tf.tensor2d([[0]], [1, 1], "int32"),
      gtValid: tf.ones([1, 1]),
      topk: 1,
    });
    expect([...result.foreground.dataSync()]).toEqual([0, 0, 1]);
    expect(result.weights.sum().dataSync()[0]).toBe(0);
  });
});
