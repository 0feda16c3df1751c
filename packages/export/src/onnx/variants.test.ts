import { createYolov8, type Yolov8 } from "@seg/nn";
import { checkModel, encodeModel, type Model } from "@seg/onnx";
import "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { beforeAll, describe, expect, test } from "vitest";
import { randomImages } from "../../test/random-images.js";
import { ExportError } from "../errors.js";
import { exportOnnx } from "../export-onnx.js";
import { decodeOutputs } from "../runtime/decode.js";
import { traceStudent } from "../trace-student.js";
import { certifyPromptFree } from "../verify/prompt-free.js";
import { endToEnd } from "./end-to-end.js";

const classes = { classes: ["a", "b", "c"].map((name, index) => ({ index, categoryId: index + 1, name })) };
const options = { task: "segment", classes, author: "Test", license: "Apache-2.0" } as const;
let network: Yolov8;
const trace =
  (imgsz: number) =>
  ({ batch }: { batch: number }) =>
    traceStudent({ model: network, imgsz, batch });

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  network = createYolov8({ scale: "p", classes: 3, segment: true, seed: 3 });
  // Class biases of the prior would detect nothing; spread boxes make suppression work.
  for (const [name, parameter] of network.namedParameters()) {
    if (/cv3\.\d\.2\.bias/.test(name)) parameter.assign(Float32Array.of(-1, -1.04, -1.02));
    if (/cv3\.\d\.2\.weight/.test(name)) parameter.assign(parameter.data().map((value) => value * 100));
  }
});

async function run(model: Model, data: Float32Array, dims: number[]): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(encodeModel(model), { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const outputs = await session.run({ images: new Tensor("float32", data, dims) });
  await session.release();
  return outputs as Record<string, Tensor>;
}
const data = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array;

describe("dynamic export", () => {
  test("computes what the static graphs do, for several images and other sizes", async () => {
    const { model } = await exportOnnx({
      ...options,
      imgsz: 64,
      trace: trace(64),
      dynamic: { batch: true, size: true },
    });
    expect(checkModel(model)).toEqual([]);
    expect(model.graph.inputs[0]!.shape).toEqual(["batch", 3, "height", "width"]);
    expect(model.metadataProps.find(({ key }) => key === "args")!.value).toContain("'dynamic': True");
    for (const size of [64, 96]) {
      const fixed = (await exportOnnx({ ...options, imgsz: size, trace: trace(size) })).model;
      const images = randomImages(2, size);
      const both = new Float32Array(images.flatMap((image) => [...image]));
      const dynamic = await run(model, both, [2, 3, size, size]);
      for (const [i, image] of images.entries()) {
        const expected = await run(fixed, image, [1, 3, size, size]);
        for (const name of ["output0", "output1"]) {
          const x = data(expected[name]);
          const y = data(dynamic[name]).subarray(i * x.length, (i + 1) * x.length);
          let largest = 0;
          x.forEach((value, at) => {
            largest = Math.max(largest, Math.abs(value - y[at]!));
          });
          expect(largest).toBeLessThan(1e-4);
        }
      }
    }
  });

  test("a single traced model cannot have a dynamic batch", async () => {
    const model = trace(64)({ batch: 1 });
    await expect(exportOnnx({ ...options, imgsz: 64, trace: model, dynamic: { batch: true } })).rejects.toSatisfy(
      (error) => ExportError.is(error, "UNSUPPORTED_OP"),
    );
  });
});

describe("endToEnd", () => {
  const geometry = {
    ...{ origW: 64, origH: 64, contentW: 64, contentH: 64, netW: 64, netH: 64 },
    ...{ scaleX: 1, scaleY: 1, padL: 0, padT: 0 },
  };

  test("finds what decodeOutputs finds; empty slots hold 0, 0, -1 and 0", async () => {
    const { model } = await exportOnnx({ ...options, imgsz: 64, trace: trace(64) });
    const [image] = randomImages(1, 64);
    const raw = await run(model, image!, [1, 3, 64, 64]);
    const as = (name: string) => ({ data: data(raw[name]), dims: raw[name]!.dims });
    const found = decodeOutputs({
      output0: as("output0"),
      output1: as("output1"),
      numClasses: 3,
      geometry,
      maxDetections: 100,
    });
    const count = found.scores.length;
    expect(count).toBeGreaterThan(3);
    expect(count).toBeLessThan(100);
    const variant = endToEnd(model, { numClasses: 3 });
    expect(checkModel(variant)).toEqual([]);
    expect(certifyPromptFree(variant).promptFree).toBe(true);
    const { boxes, scores, class_ids: ids, masks } = await run(variant, image!, [1, 3, 64, 64]);
    expect([boxes!.dims, scores!.dims, ids!.dims, masks!.dims]).toEqual([
      [1, 100, 4],
      [1, 100],
      [1, 100],
      [1, 100, 16, 16],
    ]);
    expect(ids!.type).toBe("int64");
    expect([...data(scores).subarray(0, count)]).toEqual([...found.scores]);
    const idValues = Array.from(ids!.data as BigInt64Array, Number);
    expect(idValues.slice(0, count)).toEqual([...found.classes]);
    for (let i = 0; i < 4 * count; i++) {
      // decodeOutputs clips to the image.
      expect(Math.abs(Math.min(Math.max(data(boxes)[i]!, 0), 64) - found.boxes[i]!)).toBeLessThan(1e-3);
    }
    expect(idValues.slice(count).every((id) => id === -1)).toBe(true);
    for (const tensor of [boxes, scores, masks]) {
      const values = data(tensor);
      const per = values.length / 100;
      expect(values.subarray(count * per).every((value) => value === 0)).toBe(true);
    }
    // Half probability inside the box is the mask, before the upsampling that decodeOutputs adds.
    expect(data(masks).some((value) => value > 0.5)).toBe(true);
    expect(data(masks).every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test("an image without objects fills every slot with padding", async () => {
    const { model } = await exportOnnx({ ...options, imgsz: 64, trace: trace(64) });
    const variant = endToEnd(model, { numClasses: 3, confidence: 0.9999999 });
    const { class_ids: ids, scores } = await run(variant, new Float32Array(3 * 64 * 64), [1, 3, 64, 64]);
    expect(Array.from(ids!.data as BigInt64Array, Number)).toEqual(new Array(100).fill(-1));
    expect(data(scores).every((value) => value === 0)).toBe(true);
  });

  test("layout nms has one row of box, score, class and coefficients a detection, and the prototypes", async () => {
    const { model } = await exportOnnx({ ...options, imgsz: 64, trace: trace(64) });
    const [image] = randomImages(1, 64);
    const variant = endToEnd(model, { numClasses: 3, layout: "nms" });
    expect(checkModel(variant)).toEqual([]);
    const { output0, output1 } = await run(variant, image!, [1, 3, 64, 64]);
    const plain = await run(endToEnd(model, { numClasses: 3, maxDetections: 300 }), image!, [1, 3, 64, 64]);
    expect([output0!.dims, output1!.dims]).toEqual([
      [1, 300, 38],
      [1, 32, 16, 16],
    ]);
    expect([...data(output0).subarray(0, 4)]).toEqual([...data(plain["boxes"]).subarray(0, 4)]);
    expect(data(output0)[4]).toBe(data(plain["scores"])[0]);
  });
});
