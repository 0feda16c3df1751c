import { CounterRandom } from "@seg/augment";
import { anchorPoints } from "@seg/nn";
import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { modelAnchors } from "./anchors.js";
import { type StudentTargets, studentLoss } from "./losses/student-loss.js";
import { createStudent } from "./student.js";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

describe("a training step of yolov8p-seg", () => {
  test("reaches every trainable parameter with finite gradients and leaves no tensor behind", () => {
    const size = 32;
    const student = createStudent("yolov8p-seg", { classes: 2, imgsz: size, seed: 1 });
    student.net.train();
    const anchors = modelAnchors(size, size);
    const targets: StudentTargets = {
      gtBoxes: tf.tensor3d([
        [
          [4, 4, 28, 28],
          [2, 10, 16, 30],
        ],
        [
          [0, 0, 0, 0],
          [0, 0, 0, 0],
        ],
      ]),
      gtClasses: tf.tensor2d([1, 0, 0, 0], [2, 2], "int32"),
      gtValid: tf.tensor2d([1, 1, 0, 0], [2, 2]),
      gtMasks: tf.ones([2, 2, 8, 8]),
      gtHasMask: tf.tensor2d([1, 1, 0, 0], [2, 2]),
      teacherMasks: tf.fill([2, 2, 8, 8], 0.8),
      teacherWeights: tf.tensor2d([0.9, 0.7, 0, 0], [2, 2]),
      kdRamp: tf.scalar(1),
      positives: 20,
    };
    const variables = [...student.net.namedParameters().values()].filter((p) => p.requiresGrad).map((p) => p.variable);
    const images = tf.randomUniform([2, size, size, 3], 0, 1, "float32", 3) as tf.Tensor4D;
    const parts: Record<string, number> = {};
    const before = tf.memory().numTensors;
    const { value, grads } = tf.variableGrads(() => {
      const loss = studentLoss({ outputs: student.forward(images), targets, anchors, size: [size, size] });
      for (const [name, part] of Object.entries(loss.parts)) parts[name] = part.dataSync()[0]!;
      return loss.total;
    }, variables);
    expect(Object.keys(grads).length).toBe(variables.length);
    const norms = Object.entries(grads).map(([name, g]) => [name, Math.hypot(...g.dataSync())] as const);
    for (const [name, norm] of norms) expect([name, Number.isFinite(norm)]).toEqual([name, true]);
    expect(norms.filter(([, norm]) => norm > 0).length).toBeGreaterThan(0.9 * norms.length);
    expect(Object.keys(parts).sort()).toEqual(["box", "cls", "dfl", "kd_mask", "seg"]);
    const sum = Object.values(parts).reduce((a, b) => a + b, 0);
    expect(value.dataSync()[0]).toBeCloseTo(2 * sum, 2);
    tf.dispose([value, grads]);
    expect(tf.memory().numTensors).toBe(before);
    student.dispose();
  });
});

describe("modelAnchors", () => {
  test("centres are the anchor points of the network in pixels", () => {
    const { points, strides } = anchorPoints(64, 32);
    const anchors = modelAnchors(64, 32);
    expect([...anchors.strides.dataSync()]).toEqual([...strides]);
    expect([...anchors.centers.dataSync()]).toEqual([...points].map((v, i) => v * strides[i >> 1]!));
  });
});

describe("the engine", () => {
  test("gives the loss and gradients of tfjs cpu", async () => {
    // One image: tfjs cpu 4.22 computes a wrong gradient of resizeNearestNeighbor for larger batches.
    const [batch, size] = [1, 64];
    const cells = size / 4;
    const results: { loss: number; gradients: Map<string, Float32Array> }[] = [];
    for (const backend of ["cpu", "onnxruntime"]) {
      await tf.setBackend(backend);
      const student = createStudent("yolov8p-seg", { classes: 2, imgsz: size, seed: 1 });
      student.net.train();
      const named = [...student.net.namedParameters()].filter(([, p]) => p.requiresGrad);
      const random = new CounterRandom({ seed: 1, path: "parity" });
      const pixels = Float32Array.from({ length: batch * size * size * 3 }, () => random.uniform());
      const images = tf.tensor4d(pixels, [batch, size, size, 3]);
      const targets: StudentTargets = {
        gtBoxes: tf.tensor3d([
          [
            [4, 4, 50, 48],
            [22, 10, 60, 62],
          ],
        ]),
        gtClasses: tf.tensor2d([1, 0], [1, 2], "int32"),
        gtValid: tf.ones([1, 2]),
        gtMasks: tf.ones([1, 2, cells, cells]),
        gtHasMask: tf.ones([1, 2]),
        teacherMasks: tf.fill([1, 2, cells, cells], 0.8),
        teacherWeights: tf.fill([1, 2], 0.9),
        kdRamp: tf.scalar(1),
        positives: 20,
      };
      const anchors = modelAnchors(size, size);
      const { value, grads } = tf.variableGrads(
        () => studentLoss({ outputs: student.forward(images), targets, anchors, size: [size, size] }).total,
        named.map(([, p]) => p.variable),
      );
      const gradients = new Map(named.map(([name, p]) => [name, grads[p.variable.name]!.dataSync() as Float32Array]));
      results.push({ loss: value.dataSync()[0]!, gradients });
    }
    const [cpu, engine] = results as [(typeof results)[0], (typeof results)[0]];
    expect(Math.abs(engine.loss / cpu.loss - 1)).toBeLessThan(1e-5);
    for (const [name, expected] of cpu.gradients) {
      const actual = engine.gradients.get(name)!;
      const norm = Math.hypot(...expected);
      const difference = Math.hypot(...expected.map((v, i) => v - actual[i]!));
      // float32 through 60 layers whose deepest batch statistics are over four values.
      expect([name, difference / Math.max(norm, 1e-3) < 1e-2]).toEqual([name, true]);
    }
  });
});
