import { type Affine, applyAffine, composeAffine, IDENTITY, invertAffine } from "@seg/augment";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { modelAnchors } from "./anchors.js";
import { assignTal } from "./losses/assign-tal.js";
import {
  bucket,
  buildTargets,
  claimable,
  disposeTargets,
  type PointMap,
  sampleTeacherMask,
  type TargetInstance,
  targetArrays,
} from "./targets.js";
import { packLogits } from "./teacher/teacher-record.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** A map by matrix; `bent` hides that it is one. */
const mapOf = (affine: Affine, { bent = false } = {}): PointMap => ({
  affine: bent ? null : affine,
  forward: (x, y) => applyAffine(affine, x, y),
  backward: (x, y) => applyAffine(invertAffine(affine), x, y),
});
const square = (x1: number, y1: number, x2: number, y2: number) => Float64Array.of(x1, y1, x2, y1, x2, y2, x1, y2);

describe("bucket", () => {
  test.each([
    [0, 8],
    [8, 8],
    [9, 16],
    [17, 32],
    [33, 48],
    [49, 64],
    [65, 96],
    [97, 128],
    [129, 192],
    [193, 256],
    [257, 384],
  ])("%i -> %i", (n, expected) => expect(bucket(n)).toBe(expected));
});

describe("claimable", () => {
  test("counts centres strictly inside, at most ten", () => {
    // 32 px: stride 8 centres 12, 20 (x and y), stride 16 centres 8, 24, stride 32 centre 16: 4 + 4 + 1.
    expect(claimable([4.5, 4.5, 27.5, 27.5], 32)).toBe(9);
    expect(claimable([0, 0, 32, 32], 32)).toBe(10);
    expect(claimable([5, 5, 7, 7], 32)).toBe(0);
  });

  test("is never below what the assigner assigns", () => {
    const anchors = modelAnchors(64, 64);
    const count = anchors.strides.shape[0];
    for (let i = 0; i < 30; i++) {
      const [x, y] = [(i * 7) % 40, (i * 11) % 37];
      const box: [number, number, number, number] = [x, y, x + 4 + (i % 20), y + 4 + ((i * 3) % 24)];
      const { foreground } = assignTal({
        scores: tf.fill([1, 1, count], 0.5),
        boxes: tf.tile(tf.tensor3d([[box]]), [1, count, 1]) as tf.Tensor3D,
        centers: anchors.centers,
        gtBoxes: tf.tensor3d([[box]]),
        gtClasses: tf.tensor2d([[0]], [1, 1], "int32"),
        gtValid: tf.ones([1, 1]),
      });
      expect(foreground.sum().dataSync()[0]).toBeLessThanOrEqual(claimable(box, 64));
    }
  });
});

describe("targetArrays", () => {
  test("pads, rasterises at pixels 4i + 2 and leaves ignored regions out", () => {
    const instances: TargetInstance[] = [
      { classId: 1, box: [4, 8, 12, 16], polygons: [square(4, 8, 12, 16)] },
      { classId: 0, box: [0, 0, 32, 32], ignore: true },
      { classId: 2, box: [1, 2, 20, 30] },
    ];
    const arrays = targetArrays({ samples: [{ instances }, { instances: [] }], size: 32, parts: { segment: true } });
    expect([arrays.batch, arrays.truths, arrays.side]).toEqual([2, 8, 8]);
    expect([...arrays.classes.slice(0, 3)]).toEqual([1, 2, 0]);
    expect([...arrays.valid]).toEqual([1, 1, ...Array(14).fill(0)]);
    expect([...arrays.hasMask!.slice(0, 2)]).toEqual([1, 0]);
    const rows = Array.from({ length: 8 }, (_, i) => [...arrays.masks!.slice(i * 8, i * 8 + 8)]);
    expect(rows.map((row) => row.reduce((a, b) => a + b, 0))).toEqual([0, 0, 2, 2, 0, 0, 0, 0]);
    expect(rows[2]!.slice(1, 3)).toEqual([1, 1]);
    expect(arrays.teacherMasks).toBeUndefined();
    const before = tf.memory().numTensors;
    const targets = buildTargets(arrays);
    expect(targets.gtMasks!.shape).toEqual([2, 8, 8, 8]);
    disposeTargets(targets);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("a batch without objects has one bucket of padding", () => {
    const arrays = targetArrays({ samples: [{ instances: [] }], size: 64, parts: { segment: false } });
    expect([arrays.truths, arrays.positives, arrays.valid.every((v) => v === 0)]).toEqual([8, 8, true]);
  });
});

describe("sampleTeacherMask", () => {
  // Logit grid 8 x 8 over a 64 x 64 image: left half 8 (clipped to 7.9375), right half -8.
  const grid = Float32Array.from({ length: 64 }, (_, i) => (i % 8 < 4 ? 8 : -8));
  const answer = {
    mask: { iou: 0.9, packed: packLogits(grid) },
    side: 8,
    toModel: [1 / 8, 0, 0, 0, 1 / 8, 0] as Affine,
  };
  const run = (matrix: Affine, options: { bent?: boolean } = {}) => {
    const out = new Float32Array(16 * 16);
    const map = mapOf(matrix, options);
    sampleTeacherMask({ cached: answer, map, side: 16, box: [0, 0, 64, 64], temperature: 1, out });
    return out;
  };

  test("interpolates logits, not probabilities, and keeps halves", () => {
    const out = run(IDENTITY);
    expect(out[0]).toBeCloseTo(1 / (1 + Math.exp(-7.9375)), 5);
    expect(out[15]).toBeCloseTo(1 / (1 + Math.exp(8)), 5);
    // Cell 7, centre x = 30 -> grid 3.75 -> between pixels 3 and 4 at 0.25: 7.9375 * 0.75 - 8 * 0.25.
    expect(out[7]).toBeCloseTo(1 / (1 + Math.exp(-(7.9375 * 0.75 - 8 * 0.25))), 5);
  });

  test("follows a flip and a shift", () => {
    const flip: Affine = [-1, 0, 64, 0, 1, 0];
    expect(run(flip)[15]).toBeCloseTo(run(IDENTITY)[0]!, 6);
    const shifted = run(composeAffine(IDENTITY, [1, 0, 32, 0, 1, 0]));
    // What lies left of the source image is unknown: probability 0.
    expect(shifted[0]).toBe(0);
    expect(shifted[8]).toBeCloseTo(run(IDENTITY)[0]!, 6);
  });

  test("a map that is no matrix is followed point by point", () => {
    const matrix: Affine = [1.2, 0.1, -5, -0.1, 0.9, 3];
    const [straight, bent] = [run(matrix), run(matrix, { bent: true })];
    straight.forEach((v, i) => {
      expect(bent[i]).toBeCloseTo(v, 6);
    });
  });
});

describe("what a teacher adds", () => {
  const logits = Float32Array.of(2, -3);
  const instances: TargetInstance[] = [
    { classId: 0, box: [4, 4, 20, 20], teacher: { logits, score: 0.88, box: [5, 4, 20, 20] } },
    { classId: 1, box: [8, 8, 30, 30], weight: 0.7, teacher: { logits, score: 0.6, box: [0, 0, 8, 8] } },
    { classId: 1, box: [0, 0, 16, 16], ignore: true },
  ];
  const parts = { segment: false, classes: 2, teacherBoxes: true, weights: true, ignore: true };
  const arrays = targetArrays({ samples: [{ instances }], size: 32, parts });

  test("logits with scores, boxes where they agree with the label, weights", () => {
    expect([...arrays.classLogits!.slice(0, 4)]).toEqual([2, -3, 2, -3]);
    expect([...arrays.classScores!.slice(0, 3)].map((v) => v.toFixed(2))).toEqual(["0.88", "0.60", "0.00"]);
    expect([...arrays.teacherBoxes!.slice(0, 4)]).toEqual([5, 4, 20, 20]);
    expect([...arrays.boxScores!.slice(0, 2)].map((v) => v.toFixed(2))).toEqual(["0.88", "0.00"]);
    expect([...arrays.weights!.slice(0, 2)].map((v) => v.toFixed(2))).toEqual(["1.00", "0.70"]);
  });

  test("anchors in ignored regions are marked on every level", () => {
    // Centres from 0 to 16: 4 and 12 on stride 8, 8 on stride 16, 16 itself on stride 32.
    expect([...arrays.ignored!].flatMap((v, i) => (v === 1 ? [i] : []))).toEqual([0, 1, 4, 5, 16, 20]);
  });
});
