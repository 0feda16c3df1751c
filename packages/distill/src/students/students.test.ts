import { traceStudent } from "@seg/export";
import { stateDict } from "@seg/nn";
import { countMacs } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import "@seg/tfjs-onnxruntime";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { StudentId } from "../select-student.js";
import { createStudent, type Student } from "../student.js";
import { loadWeights, regMaxOf } from "./weights/load-weights.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

const made: Student[] = [];
const create: typeof createStudent = (id, options) => {
  const student = createStudent(id, options);
  made.push(student);
  return student;
};
afterEach(() => {
  for (const student of made.splice(0)) student.dispose();
});

const parameters = ({ net }: Student) =>
  [...net.namedParameters().values()].reduce((sum, parameter) => sum + parameter.size, 0);

describe("students have the published sizes", () => {
  // Parameters and keys with 80 classes; GFLOP (convolutions, two per multiply-accumulate) at 640 px, as published to these digits.
  test.each<[StudentId, number, number, string]>([
    ["yolov8n", 3_157_200, 355, "8.74"],
    ["yolov8n-seg", 3_409_968, 417, "12.00"],
    ["yolov8s", 11_166_560, 355, "28.60"],
    ["yolov8s-seg", 11_821_056, 417, "40.09"],
    ["yolov8m", 25_902_640, 475, "78.94"],
    ["yolov8m-seg", 27_285_968, 537, "104.5"],
  ])("%s", (id, count, keys, gflop) => {
    const student = create(id, { classes: 80 });
    expect(student.imgsz).toBe(640);
    expect(parameters(student)).toBe(count);
    expect([...student.net.namedLeaves()].length).toBe(keys);
    const { total, unknown } = countMacs(traceStudent({ model: student.net, deploy: student.deploy, imgsz: 640 }));
    expect(unknown).toEqual([]);
    expect(((2 * total) / 1e9).toFixed(gflop.split(".")[1]!.length)).toBe(gflop);
  });

  test("fastsam-s is yolov8s-seg at 1024 px; its bins are read from the file and other classes keep 411 of 417 tensors", () => {
    const published = create("fastsam-s", { classes: 1 });
    expect([published.imgsz, parameters(published)]).toEqual([1024, 11_790_483]);
    const weights = stateDict(published.net);
    expect(regMaxOf(weights)).toBe(16);
    const ours = create("fastsam-s", { classes: 3, imgsz: 640 });
    const { transferred, total, skipped } = loadWeights(ours, weights);
    expect([transferred, total]).toEqual([411, 417]);
    expect(skipped.every((key) => /^model\.22\.cv3\.\d\.2\.(weight|bias)$/.test(key))).toBe(true);
    // What did not transfer starts at the prior of its level.
    const bias = stateDict(ours.net).get("model.22.cv3.0.2.bias")!.data as Float32Array;
    expect(bias[0]).toBeCloseTo(-8.253228, 5);
  });

  test("fastsam-s with 26 bins", () => {
    const wide = create("fastsam-s", { classes: 1, regMax: 26 });
    expect(parameters(wide)).toBe(12_315_253);
    expect(regMaxOf(stateDict(wide.net))).toBe(26);
  });

  test("mobilesam is MobileSAM and a detector on its embedding", () => {
    const student = create("mobilesam", { classes: 3 });
    expect(student.imgsz).toBe(1024);
    const count = (pattern: RegExp) =>
      [...student.net.namedParameters()].reduce((sum, [name, { size }]) => sum + (pattern.test(name) ? size : 0), 0);
    expect(count(/^vision_encoder\./)).toBe(5_743_892);
    expect(count(/^prompt_encoder\./)).toBe(6_220);
    expect(count(/^mask_decoder\./)).toBe(4_058_340);
    expect(count(/^det\./)).toBe(1_954_137);
    // The decoder stays as loaded; what trains is encoder and detector.
    const frozen = [...student.net.namedParameters()]
      .filter(([, { requiresGrad }]) => !requiresGrad)
      .map(([name]) => name);
    expect(frozen.every((name) => /^(prompt_encoder|mask_decoder)\.|dfl/.test(name))).toBe(true);
    expect(frozen.length).toBeGreaterThan(100);
    const wide = create("mobilesam", { classes: 80, trainDecoder: true });
    expect([...wide.net.namedParameters()].filter(([, p]) => !p.requiresGrad).map(([name]) => name)).toEqual([
      "det.head.dfl.conv.weight",
    ]);
    const det = [...wide.net.namedParameters()].filter(([name]) => name.startsWith("det."));
    expect(det.reduce((sum, [, { size }]) => sum + size, 0)).toBe(1_983_936);
  });
});

test("createStudent refuses unknown names and sides that are no multiple of 32", () => {
  expect(() => create("yolov8x" as StudentId, { classes: 1 })).toThrow(/one of yolov8p/);
  expect(() => create("mobilesam", { classes: 1, imgsz: 1000 })).toThrow(/multiple of 32/);
});
