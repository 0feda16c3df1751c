import { exportOnnx, traceStudent } from "@seg/export";
import { createDetector, createSession, decodeOutputs } from "@seg/export/runtime";
import { encodeModel } from "@seg/onnx";
import { letterbox } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import "@seg/tfjs-onnxruntime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { smallMobileSam } from "../../../test/small-mobile-sam.js";
import { modelAnchors } from "../../anchors.js";
import { studentLoss } from "../../losses/student-loss.js";
import type { Student } from "../../student.js";
import { embeddingLoss } from "./embedding-loss.js";
import { promptedMaskLoss } from "./prompted-mask-loss.js";
import { selectBoxes } from "./select-boxes.js";
import { createMobileSamStudent } from "./student.js";

const SIZE = 64;
const CLASSES = 2;
const OBJECTS = 5;

const config = smallMobileSam(SIZE);

let student: Student;
const image = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => ((i * 7919) % 251) / 251);

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  student = createMobileSamStudent({ classes: CLASSES, imgsz: SIZE, seed: 4, maxObjects: OBJECTS, config });
  student.net.train(false);
});
afterAll(() => student.dispose());

const boxesOf = (rows: number[][]) => tf.tensor3d([rows]);

describe("selectBoxes", () => {
  test("keeps the best of each object, best first, and gives what is left no score", () => {
    tf.tidy(() => {
      const { boxes, scores } = selectBoxes({
        boxes: boxesOf([
          [2, 2, 12, 12],
          [0, 0, 10, 10],
          [40, 40, 50, 50],
          [0, 0, 10.5, 10],
        ]),
        // The second box is a duplicate of the fourth, the first overlaps both by .5, the third is elsewhere.
        scores: tf.tensor3d([[[0.5], [0.6], [0.4], [0.9]]]),
        count: 4,
      });
      expect([...scores.dataSync()].map((s) => Number(s.toFixed(3)))).toEqual([0.9, 0.5, 0.4, 0]);
      expect([...boxes.dataSync()].slice(0, 12)).toEqual([0, 0, 10.5, 10, 2, 2, 12, 12, 40, 40, 50, 50]);
    });
  });

  test("boxes of different classes never suppress each other; images of a batch neither", () => {
    tf.tidy(() => {
      const one = [
        [0, 0, 10, 10],
        [0, 0, 10, 10],
      ];
      const { scores } = selectBoxes({
        boxes: tf.tensor3d([one, one]),
        scores: tf.tensor3d([
          [
            [0.9, 0.1],
            [0.2, 0.8],
          ],
          [
            [0.9, 0.1],
            [0.8, 0.2],
          ],
        ]),
        count: 2,
      });
      const values = [...scores.dataSync()].map((s) => Number(s.toFixed(3)));
      expect(values).toEqual([0.9, 0.1, 0.2, 0.8, 0.9, 0.1, 0, 0]);
    });
  });

  test("fewer anchors than wanted objects are all there is", () => {
    tf.tidy(() => {
      const { boxes } = selectBoxes({ boxes: boxesOf([[0, 0, 1, 1]]), scores: tf.tensor3d([[[0.5]]]), count: 50 });
      expect(boxes.shape).toEqual([1, 1, 4]);
    });
  });
});

describe("promptedMaskLoss", () => {
  test("of zero logits is ln 2 plus the Dice of one half, for objects with a mask only", () => {
    tf.tidy(() => {
      const gtMasks = tf.tensor4d([1, 1, 0, 0, 1, 1, 1, 1], [1, 2, 2, 2]);
      const logits = tf.zeros([1, 2, 2, 2]) as tf.Tensor4D;
      const loss = (weights: number[]) =>
        promptedMaskLoss({ logits, gtMasks, weights: tf.tensor2d(weights, [1, 2]) }).dataSync()[0]!;
      // 1 - (2 * 1 + 1) / (2 + 2 + 1) and 1 - (2 * 2 + 1) / (2 + 4 + 1)
      expect(loss([1, 0])).toBeCloseTo(Math.LN2 + 0.4, 6);
      expect(loss([0, 1])).toBeCloseTo(Math.LN2 + 2 / 7, 6);
      expect(loss([1, 1])).toBeCloseTo(Math.LN2 + 0.2 + 1 / 7, 6);
      expect(loss([0, 0])).toBe(0);
    });
  });
});

describe("embeddingLoss", () => {
  test("is the mean square, or half of it near and linear far; the teacher's grid must be the student's", () => {
    tf.tidy(() => {
      const student = tf.tensor4d([0, 0.5, 3, -2], [1, 2, 2, 1]);
      const teacher = tf.zeros([1, 2, 2, 1]) as tf.Tensor4D;
      expect(embeddingLoss({ student, teacher }).dataSync()[0]).toBeCloseTo((0.25 + 9 + 4) / 4, 6);
      // .125, 3 - .5, 2 - .5
      expect(embeddingLoss({ student, teacher, form: "huber" }).dataSync()[0]).toBeCloseTo((0.125 + 2.5 + 1.5) / 4, 6);
      // Only the second and the third cell count.
      const valid = tf.tensor3d([0, 1, 1, 0], [1, 2, 2]);
      expect(embeddingLoss({ student, teacher, valid }).dataSync()[0]).toBeCloseTo((0.25 + 9) / 2, 6);
      expect(embeddingLoss({ student, teacher, valid: tf.zerosLike(valid) }).dataSync()[0]).toBe(0);
      const other = tf.zeros([1, 1, 1, 1]) as tf.Tensor4D;
      expect(() => embeddingLoss({ student, teacher: other })).toThrow(/same input side/);
    });
  });
});

describe("the prompt-free MobileSAM", () => {
  test("takes the image alone and keeps the contract of the other mask students", async () => {
    const before = tf.memory().numTensors;
    const [rows, masks] = tf.tidy(() => {
      const { output0, output1 } = student.deploy(tf.tensor4d(image, [1, 3, SIZE, SIZE]));
      expect(output0.shape).toEqual([1, 4 + CLASSES + OBJECTS, OBJECTS]);
      expect(output1!.shape).toEqual([1, OBJECTS, SIZE / 4, SIZE / 4]);
      return [output0.dataSync(), output1!.dataSync()];
    });
    expect(tf.memory().numTensors).toBe(before);
    const { geometry } = letterbox(
      { width: SIZE, height: SIZE, data: new Uint8Array(3 * SIZE * SIZE) },
      { size: SIZE },
    );
    const found = decodeOutputs({
      output0: { data: rows as Float32Array, dims: [1, 4 + CLASSES + OBJECTS, OBJECTS] },
      output1: { data: masks as Float32Array, dims: [1, OBJECTS, SIZE / 4, SIZE / 4] },
      numClasses: CLASSES,
      geometry,
      confidence: 0,
      iou: 1,
      maskMode: "native",
    });
    expect(found.scores.length).toBeGreaterThan(0);
    expect(found.masks!.length).toBe(found.scores.length);
  });

  test("its masks are those of its boxes as prompts", () => {
    tf.tidy(() => {
      const batch = tf.tensor4d(image, [1, 3, SIZE, SIZE]);
      const { output0, output1 } = student.deploy(batch);
      const columns = output0.arraySync()[0]!;
      const boxes = Array.from({ length: OBJECTS }, (_, k) => {
        const [x, y, w, h] = [columns[0]![k]!, columns[1]![k]!, columns[2]![k]!, columns[3]![k]!];
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
      });
      const { promptedMasks } = student.forward(tf.transpose(batch, [0, 2, 3, 1]));
      const again = promptedMasks!(boxesOf(boxes)).dataSync();
      output1!.dataSync().forEach((value, i) => {
        expect(value).toBeCloseTo(again[i]!, 4);
      });
      // Unit vectors pick one mask each.
      for (let k = 0; k < OBJECTS; k++) {
        const coefficients = columns.slice(4 + CLASSES).map((row) => row[k]);
        expect(coefficients).toEqual(Array.from({ length: OBJECTS }, (_, j) => (j === k ? 1 : 0)));
      }
    });
  });

  test("is one ONNX graph that onnxruntime runs to the same numbers", async () => {
    const model = traceStudent({ model: student.net, deploy: student.deploy, imgsz: SIZE });
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["images"]);
    const session = await createSession({ model: encodeModel(model), threads: 1 });
    const outputs = await session.run({ images: { data: image, dims: [1, 3, SIZE, SIZE] } });
    tf.tidy(() => {
      const { output0, output1 } = student.deploy(tf.tensor4d(image, [1, 3, SIZE, SIZE]));
      for (const [name, tensor] of Object.entries({ output0, output1: output1! })) {
        const { data } = outputs[name]!;
        tensor.dataSync().forEach((value, i) => {
          expect(Math.abs(value - data[i]!)).toBeLessThan(1e-4 * Math.max(1, Math.abs(value)));
        });
      }
    });
    await session.dispose();
  });

  test("exports with a mask per box and runs behind the ordinary detector", async () => {
    const { bytes } = await exportOnnx({
      trace: () => traceStudent({ model: student.net, deploy: student.deploy, imgsz: SIZE }),
      imgsz: SIZE,
      task: "segment",
      classes: {
        classes: Array.from({ length: CLASSES }, (_, k) => ({ index: k, categoryId: k + 1, name: `class ${k}` })),
      },
      author: "test",
      license: "Apache-2.0",
    });
    const detector = await createDetector({ model: bytes });
    const data = Uint8Array.from({ length: 90 * 50 * 3 }, (_, i) => (i * 7919) % 255);
    const result = await detector.predict({ width: 90, height: 50, data }, { confidence: 1e-6 });
    expect(result.names.length).toBeGreaterThan(0);
    expect(result.masks?.length).toBe(result.names.length);
    await detector.dispose();
  });

  test("a training step reaches encoder and detector and leaves the decoder alone", () => {
    const anchors = modelAnchors(SIZE, SIZE);
    student.net.train(true);
    const trained = [...student.net.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad);
    const variables = trained.map(([, { variable }]) => variable);
    const masks = new Float32Array(2 * 16 * 16).map((_, i) => (i % 16 < 8 ? 1 : 0));
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(() => {
        const outputs = student.forward(tf.transpose(tf.tensor4d(image, [1, 3, SIZE, SIZE]), [0, 2, 3, 1]));
        const { total, parts } = studentLoss({
          outputs,
          targets: {
            gtBoxes: boxesOf([
              [4, 4, 40, 40],
              [20, 24, 60, 60],
            ]),
            gtClasses: tf.tensor2d([[0, 1]], [1, 2], "int32"),
            gtValid: tf.ones([1, 2]),
            positives: 24,
            gtMasks: tf.tensor4d(masks, [1, 2, 16, 16]),
            gtHasMask: tf.ones([1, 2]),
          },
          anchors,
          size: [SIZE, SIZE],
        });
        expect(Object.keys(parts).sort()).toEqual(["box", "cls", "dfl", "seg"]);
        return total;
      }, variables);
      expect(Number.isFinite(value.dataSync()[0]!)).toBe(true);
      const names = new Map(trained.map(([name, { variable }]) => [variable.name, name]));
      const reached = new Set(Object.keys(grads).map((name) => names.get(name)!));
      expect(trained.map(([name]) => name).filter((name) => !reached.has(name))).toEqual([]);
      for (const grad of Object.values(grads)) expect(grad.dataSync().every(Number.isFinite)).toBe(true);
      expect([...reached].some((name) => name.startsWith("vision_encoder."))).toBe(true);
    });
    tf.dispose([anchors.centers, anchors.strides]);
    student.net.train(false);
  });
});
