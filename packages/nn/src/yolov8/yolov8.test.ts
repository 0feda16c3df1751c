import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { BatchNorm2d } from "../layers/norm.js";
import type { Module } from "../module.js";
import { readSafetensors } from "../safetensors/read.js";
import { writeSafetensors } from "../safetensors/write.js";
import { loadStateDict, stateDict } from "../state-dict.js";
import { anchorPoints, deployForward, headTensors } from "./decode.js";
import type { Dfl } from "./head.js";
import { createYolov8 } from "./model.js";
import { scaleRepeats, YOLOV8_SCALES, type Yolov8ScaleName } from "./scales.js";

beforeAll(() => tf.setBackend("cpu"));

const parameters = (module: Module) =>
  [...module.namedParameters().values()].reduce((sum, parameter) => sum + parameter.size, 0);

// Folding a batch normalisation turns its two vectors into one convolution bias.
const normFeatures = (module: Module) =>
  [...module.namedModules()].reduce((sum, [, m]) => sum + (m instanceof BatchNorm2d ? m.weight.size : 0), 0);

describe("createYolov8", () => {
  // 80 classes: parameters, parameters with folded norms, keys; 3 classes: parameters, tensors that fit from 80 classes.
  test.each<[Yolov8ScaleName, boolean, number, number, number, number, number]>([
    ["p", true, 1_294_056, 1_290_688, 417, 1_032_417, 381],
    ["n", false, 3_157_200, 3_151_904, 355, 3_011_433, 319],
    ["n", true, 3_409_968, 3_404_320, 417, 3_264_201, 381],
    ["s", false, 11_166_560, 11_156_544, 355, 11_136_761, 349],
    ["s", true, 11_821_056, 11_810_560, 417, 11_791_257, 411],
    ["m", false, 25_902_640, 25_886_080, 475, 25_858_057, 469],
    ["m", true, 27_285_968, 27_268_704, 537, 27_241_385, 531],
  ])("%s, segment %s has the published sizes", (scale, segment, total, fused, keys, totalOf3, transferred) => {
    // Sizes do not depend on values, and drawing fifty million takes seconds.
    const model = createYolov8({ scale, classes: 80, segment, seed: 0, blank: true });
    expect(parameters(model)).toBe(total);
    expect([...model.namedLeaves()].length).toBe(keys);
    expect(total - normFeatures(model)).toBe(fused);
    const ofThree = createYolov8({ scale, classes: 3, segment, seed: 0, blank: true });
    expect(parameters(ofThree)).toBe(totalOf3);
    const report = loadStateDict(ofThree, stateDict(model), { strict: false });
    expect([report.matched.length, report.missing.length, report.unexpected.length]).toEqual([transferred, 0, 0]);
    expect(report.mismatched.every(({ key }) => key.startsWith("model.22.cv3."))).toBe(true);
    model.dispose();
    ofThree.dispose();
  });

  // The published count of YOLOv8x; FastSAM-x is this size with one class and masks.
  test("x with 80 classes has 68,229,648 parameters", () => {
    const model = createYolov8({ scale: "x", classes: 80, segment: false, seed: 0, blank: true });
    expect(parameters(model)).toBe(68_229_648);
    model.dispose();
  });

  test("p without segmentation has its size too", () => {
    const model = createYolov8({ scale: "p", classes: 80, segment: false, seed: 0 });
    expect([parameters(model), parameters(model) - normFeatures(model)]).toEqual([1_174_568, 1_171_488]);
    expect([...model.namedLeaves()].length).toBe(355);
    model.dispose();
  });

  test("has the published size layer by layer", () => {
    const sizes = (segment: boolean) => {
      const model = createYolov8({ scale: "n", classes: 80, segment, seed: 0, blank: true });
      const result = [...model.model].map(parameters);
      model.dispose();
      return result;
    };
    const body = [
      464, 4672, 7360, 18560, 49664, 73984, 197632, 295424, 460288, 164608, 0, 0, 148224, 0, 0, 37248, 36992, 0, 123648,
      147712, 0, 493056,
    ];
    expect(sizes(false)).toEqual([...body, 897664]);
    expect(sizes(true)).toEqual([...body, 1150432]);
  });

  test("uses the published key names and PyTorch shapes", () => {
    const model = createYolov8({ scale: "p", classes: 3, segment: true, seed: 0 });
    const dict = stateDict(model);
    const shapes = {
      "model.0.conv.weight": [8, 3, 3, 3],
      "model.0.bn.num_batches_tracked": [],
      "model.2.m.0.cv1.conv.weight": [8, 8, 3, 3],
      "model.4.m.1.cv2.bn.running_var": [16],
      "model.9.cv2.conv.weight": [128, 256, 1, 1],
      "model.22.cv2.0.0.conv.weight": [64, 32, 3, 3],
      "model.22.cv2.2.2.weight": [64, 64, 1, 1],
      "model.22.cv3.1.1.bn.weight": [32],
      "model.22.cv3.0.2.bias": [3],
      "model.22.cv4.0.2.weight": [32, 32, 1, 1],
      "model.22.dfl.conv.weight": [1, 16, 1, 1],
      "model.22.proto.upsample.weight": [32, 32, 2, 2],
      "model.22.proto.upsample.bias": [32],
      "model.22.proto.cv3.conv.weight": [32, 32, 1, 1],
    };
    for (const [key, shape] of Object.entries(shapes)) expect([key, dict.get(key)?.shape]).toEqual([key, shape]);
    expect(dict.has("model.0.conv.bias")).toBe(false);
    expect([...model.namedParameters()].filter(([, p]) => !p.requiresGrad).map(([name]) => name)).toEqual([
      "model.22.dfl.conv.weight",
    ]);
    model.dispose();
  });

  test("starts the head at the prior of the specification", () => {
    const model = createYolov8({ scale: "p", classes: 3, segment: false, seed: 0 });
    const bias = (key: string) => stateDict(model).get(key)!.data as Float32Array;
    expect([...bias("model.22.cv2.1.2.bias")]).toEqual(Array(64).fill(1));
    for (const [level, value] of [-8.253228, -6.866933, -5.480639].entries()) {
      for (const b of bias(`model.22.cv3.${level}.2.bias`)) expect(b).toBeCloseTo(value, 5);
    }
    model.dispose();
  });

  test("draws the same values from the same seed, others from another", () => {
    const first = (seed: number) => {
      const model = createYolov8({ scale: "p", classes: 1, segment: false, seed });
      const data = model.namedParameters().get("model.7.conv.weight")!.data().slice();
      model.dispose();
      return data;
    };
    expect(first(1)).toEqual(first(1));
    expect(first(1)).not.toEqual(first(2));
  });

  test("refuses a class count of 0", () => {
    expect(() => createYolov8({ scale: "p", classes: 0, segment: false, seed: 0 })).toThrow(/classes/);
  });

  test("normalises with eps 1e-3 and the given momentum", () => {
    const norms = (momentum?: number) => {
      const model = createYolov8({ scale: "p", classes: 1, segment: true, seed: 0, ...(momentum && { momentum }) });
      model.dispose();
      return [...model.namedModules()].flatMap(([, m]) => (m instanceof BatchNorm2d ? [`${m.eps} ${m.momentum}`] : []));
    };
    expect([...new Set(norms())]).toEqual(["0.001 0.03"]);
    expect([...new Set(norms(0.1))]).toEqual(["0.001 0.1"]);
  });

  test("scaleRepeats follows the depth multiplier", () => {
    expect([3, 6].map((n) => scaleRepeats(n, YOLOV8_SCALES.n))).toEqual([1, 2]);
    expect([1, 3, 6].map((n) => scaleRepeats(n, YOLOV8_SCALES.m))).toEqual([1, 2, 4]);
  });
});

describe("weight files", () => {
  test("round-trip bit for bit", () => {
    const directory = mkdtempSync(join(tmpdir(), "seg-yolo-"));
    const path = join(directory, "p.safetensors");
    const source = createYolov8({ scale: "p", classes: 3, segment: true, seed: 1 });
    const target = createYolov8({ scale: "p", classes: 3, segment: true, seed: 2 });
    writeSafetensors(path, stateDict(source));
    const report = loadStateDict(target, readSafetensors(path).toStateDict());
    rmSync(directory, { recursive: true });
    expect(report.matched.length).toBe(417);
    const loaded = stateDict(target);
    for (const [key, { data }] of stateDict(source))
      expect(Buffer.from(loaded.get(key)!.data.buffer).equals(Buffer.from(data.buffer))).toBe(true);
    source.dispose();
    target.dispose();
  });
});

describe("anchorPoints", () => {
  test.each([
    [128, 336],
    [160, 525],
    [320, 2100],
    [640, 8400],
    [1024, 21504],
  ])("%i px gives %i anchors", (size, count) => {
    expect(anchorPoints(size, size).strides.length).toBe(count);
  });

  test("is row-major, x before y, from the finest level on", () => {
    const { points, strides } = anchorPoints(32, 64);
    expect([...points.slice(0, 4)]).toEqual([0.5, 0.5, 1.5, 0.5]);
    expect([...points.slice(16, 18)]).toEqual([0.5, 1.5]);
    expect([...strides]).toEqual([...Array(32).fill(8), ...Array(8).fill(16), 32, 32]);
    expect([...points.slice(-4)]).toEqual([0.5, 0.5, 1.5, 0.5]);
  });
});

describe("forward passes", () => {
  test("give the documented shapes and leave no tensor behind in tidy", () => {
    const model = createYolov8({ scale: "p", classes: 3, segment: true, seed: 0 });
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      const output = model.forward(tf.zeros([2, 32, 64, 3]));
      expect(output.levels.map(({ box, cls, coef }) => [box.shape, cls.shape, coef?.shape])).toEqual([
        [
          [2, 4, 8, 64],
          [2, 4, 8, 3],
          [2, 4, 8, 32],
        ],
        [
          [2, 2, 4, 64],
          [2, 2, 4, 3],
          [2, 2, 4, 32],
        ],
        [
          [2, 1, 2, 64],
          [2, 1, 2, 3],
          [2, 1, 2, 32],
        ],
      ]);
      expect(output.proto?.shape).toEqual([2, 8, 16, 32]);
      expect(output.features.map((map) => map.shape)).toEqual([
        [2, 4, 8, 32],
        [2, 2, 4, 64],
        [2, 1, 2, 128],
      ]);
      const { box, cls, coef } = headTensors(output);
      expect([box.shape, cls.shape, coef?.shape]).toEqual([
        [2, 64, 42],
        [2, 3, 42],
        [2, 32, 42],
      ]);
      // Anchor (row 1, column 3) of the first level is number 11.
      const expected = output.levels[0]!.box.slice([1, 1, 3, 0], [1, 1, 1, 64]).dataSync();
      expect(box.slice([1, 0, 11], [1, 64, 1]).dataSync()).toEqual(expected);
    });
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  test("refuse sizes that are not multiples of 32", () => {
    const model = createYolov8({ scale: "p", classes: 1, segment: false, seed: 0 });
    expect(() => model.forward(tf.zeros([1, 48, 32, 3]))).toThrow(/multiples of 32/);
    model.dispose();
  });

  test("deployForward decodes the raw head as the formulas say", () => {
    const model = createYolov8({ scale: "p", classes: 3, segment: true, seed: 3 });
    tf.tidy(() => {
      const image = tf.randomUniform([1, 32, 32, 3], 0, 1, "float32", 7) as tf.Tensor4D;
      const { output0, output1 } = deployForward(model, tf.transpose(image, [0, 3, 1, 2]));
      const raw = model.forward(image);
      const { box, cls, coef } = headTensors(raw);
      expect(output0.shape).toEqual([1, 39, 21]);
      expect(output1!.dataSync()).toEqual(tf.transpose(raw.proto!, [0, 3, 1, 2]).dataSync());
      const [o, b, c, m] = [output0, box, cls, coef!].map((t) => (t.arraySync() as number[][][])[0]!) as [
        number[][],
        number[][],
        number[][],
        number[][],
      ];
      const { points, strides } = anchorPoints(32, 32);
      for (let a = 0; a < 21; a++) {
        const sides = [0, 1, 2, 3].map((side) => {
          const exp = Array.from({ length: 16 }, (_, bin) => Math.exp(b[16 * side + bin]![a]!));
          return exp.reduce((sum, e, bin) => sum + e * bin, 0) / exp.reduce((sum, e) => sum + e, 0);
        }) as [number, number, number, number];
        const [left, top, right, bottom] = sides;
        const [x, y, s] = [points[2 * a]!, points[2 * a + 1]!, strides[a]!];
        const boxes = [
          (x + (right - left) / 2) * s,
          (y + (bottom - top) / 2) * s,
          (left + right) * s,
          (top + bottom) * s,
        ];
        for (const [k, value] of boxes.entries()) expect(o[k]![a]).toBeCloseTo(value, 3);
        for (let k = 0; k < 3; k++) expect(o[4 + k]![a]).toBeCloseTo(1 / (1 + Math.exp(-c[k]![a]!)), 6);
        for (let k = 0; k < 32; k++) expect(o[7 + k]![a]).toBe(m[k]![a]);
      }
    });
    model.dispose();
  });

  test("the distribution expectation reaches regMax - 1 and is its mean for equal logits", () => {
    const model = createYolov8({ scale: "p", classes: 1, segment: false, regMax: 26, seed: 0 });
    const dfl: Dfl = model.head.dfl;
    tf.tidy(() => {
      const logits = new Float32Array(104);
      logits[25] = 100;
      const distances = dfl.forward(tf.tensor3d(logits, [1, 104, 1])).dataSync();
      expect(distances[0]).toBeCloseTo(25, 4);
      expect(distances[1]).toBeCloseTo(12.5, 4);
    });
    model.dispose();
  });

  test("a training pass updates running statistics and reaches every trainable parameter", () => {
    const model = createYolov8({ scale: "p", classes: 2, segment: true, seed: 0 }).train();
    const before = model.namedParameters();
    const variables = [...before.values()].filter((p) => p.requiresGrad).map((p) => p.variable);
    const tensors = tf.memory().numTensors;
    const { value, grads } = tf.variableGrads(() => {
      const { levels, proto } = model.forward(tf.randomNormal([2, 32, 32, 3], 0, 1, "float32", 5) as tf.Tensor4D);
      const terms = levels.flatMap(({ box, cls, coef }) => [box, cls, coef!]);
      return tf.addN([...terms, proto!].map((t) => tf.mean(tf.square(t)).asScalar()));
    }, variables);
    expect(Object.keys(grads).length).toBe(variables.length);
    for (const [name, grad] of Object.entries(grads))
      expect([name, grad.dataSync().every(Number.isFinite)]).toEqual([name, true]);
    expect(stateDict(model).get("model.0.bn.num_batches_tracked")!.data[0]).toBe(1n);
    expect(
      stateDict(model)
        .get("model.0.bn.running_mean")!
        .data.some((x) => x !== 0),
    ).toBe(true);
    tf.dispose([value, grads]);
    expect(tf.memory().numTensors).toBe(tensors);
    model.dispose();
  });
});
