import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import type { ClassMapping } from "@seg/coco-dataset";
import { Buffer, createYolov8, deployForward, Parameter, type Yolov8 } from "@seg/nn";
import { census, encodeModel } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import "@seg/tfjs-onnxruntime";
import { exportOnnx } from "./export-onnx.js";
import { calibrate } from "./quantize/calibrate.js";
import { headNodes } from "./quantize/head.js";
import { quantizeStatic } from "./quantize/quantize-static.js";
import { createSession } from "./runtime/session.js";
import { traceStudent } from "./trace-student.js";
import { verifyExport } from "./verify/verify-export.js";
import { writeArtefacts } from "./write-artefacts.js";

const SIZE = 64;
const directory = mkdtempSync(join(tmpdir(), "seg-trace-"));
afterAll(() => rmSync(directory, { recursive: true }));
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

/** A network whose biases and running statistics differ from channel to channel, as after training. */
function student(classes: number, segment: boolean): Yolov8 {
  const model = createYolov8({ scale: "n", classes, segment, seed: 3 });
  for (const [path, leaf] of model.namedLeaves()) {
    const random = new CounterRandom({ seed: 7, path });
    const isPositive = /running_var$|bn\.weight$/.test(path);
    if (!/bn\.|bias$|running_/.test(path) || !(leaf instanceof Parameter || leaf instanceof Buffer)) continue;
    const size = leaf.shape.reduce((product, side) => product * side, 1);
    leaf.assign(
      Float32Array.from({ length: size }, () => (isPositive ? random.uniform(0.8, 1.2) : random.uniform(-0.2, 0.2))),
    );
  }
  return model;
}

const mapping = (count: number): ClassMapping => ({
  classes: Array.from({ length: count }, (_, index) => ({ index, categoryId: index + 1, name: `class ${index}` })),
});
const images = (count: number): Float32Array[] =>
  Array.from({ length: count }, (_, index) => {
    const random = new CounterRandom({ seed: 2, path: "image", index });
    return Float32Array.from({ length: 3 * SIZE * SIZE }, () => random.uniform());
  });
const shared = { imgsz: SIZE, author: "Test", license: "Apache-2.0" } as const;

describe("traceStudent + exportOnnx", () => {
  test("YOLOv8n-seg has the golden census and parameters; 27 + 2 head nodes", async () => {
    const { model } = await exportOnnx({
      ...shared,
      trace: () => traceStudent({ model: student(80, true), imgsz: SIZE }),
      task: "segment",
      classes: mapping(80),
    });
    const { ops, nodes, parameters } = census(model);
    expect(nodes).toBe(267);
    expect(ops).toEqual({
      ...{ Conv: 76, Sigmoid: 67, Mul: 67, Concat: 20, Reshape: 8, Split: 10, Add: 8, MaxPool: 3 },
      ...{ Resize: 2, Sub: 2, Div: 1, Softmax: 1, Transpose: 1, ConvTranspose: 1 },
    });
    expect(parameters).toBe(3_404_320);
    const described = new Set([...model.graph.valueInfo, ...model.graph.outputs].map(({ name }) => name));
    expect(model.graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => !described.has(name))).toEqual([]);
    expect([...headNodes(model.graph).values()].map(({ length }) => length)).toEqual([27, 2]);
    expect(model.graph.initializers.some(({ name }) => name === "model.0.conv.weight")).toBe(true);
  });

  test("YOLOv8n has 232 nodes and 23 head nodes", async () => {
    const { model } = await exportOnnx({
      ...shared,
      trace: () => traceStudent({ model: student(80, false), imgsz: SIZE }),
      task: "detect",
      classes: mapping(80),
    });
    expect(census(model)).toMatchObject({ nodes: 232, parameters: 3_151_904 });
    expect([...headNodes(model.graph).values()].map(({ length }) => length)).toEqual([23]);
  });

  test("the exported graph computes what tfjs computes; INT8 is at most 0.30 of the size; both are certified", async () => {
    const network = student(3, true);
    const classes = mapping(3);
    const { model, bytes } = await exportOnnx({
      ...shared,
      trace: () => traceStudent({ model: network, imgsz: SIZE }),
      task: "segment",
      classes,
    });
    const samples = images(4);
    const [expected0, expected1] = tf.tidy(() => {
      const { output0, output1 } = deployForward(network, tf.tensor4d(samples[0]!, [1, 3, SIZE, SIZE]));
      return [output0.dataSync() as Float32Array, output1!.dataSync() as Float32Array] as const;
    });
    const session = await createSession({ model: bytes });
    const actual = await session.run({ images: { data: samples[0]!, dims: [1, 3, SIZE, SIZE] } });
    await session.dispose();
    // Folding moves roundings; relative to the largest value of each output.
    for (const [name, expected] of [
      ["output0", expected0],
      ["output1", expected1],
    ] as const) {
      const found = actual[name]!.data;
      const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const error = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - found[i]!)), 0);
      expect(found.length).toBe(expected.length);
      expect(error / largest, name).toBeLessThan(1e-4);
    }
    const table = await calibrate(model, samples);
    const int8 = quantizeStatic(model, table);
    expect(encodeModel(int8).length / bytes.length).toBeLessThanOrEqual(0.3);
    const models = { "model.onnx": bytes, "model_int8.onnx": int8 };
    const paths = writeArtefacts(directory, { models, model, classes, calibration: table });
    const spec = { classes, images: samples, reference: bytes };
    const certificates = [
      await verifyExport(paths["model.onnx"]!, spec),
      await verifyExport(paths["model_int8.onnx"]!, { ...spec, precision: "int8" }),
    ];
    expect(certificates.map(({ promptFree }) => promptFree)).toEqual([true, true]);
    expect(certificates[1]!.parity!.classSqnrDb).toBeGreaterThan(20);
  });
});
