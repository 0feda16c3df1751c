import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import type { ClassMapping } from "@seg/coco-dataset";
import { encodeModel, type Model } from "@seg/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError, type ExportErrorCode } from "../errors.js";
import { exportOnnx } from "../export-onnx.js";
import { type CalibrationTable, calibrate } from "../quantize/calibrate.js";
import { sqnrDb } from "../quantize/sqnr.js";
import type { RawTensor } from "../runtime/decode.js";
import { createSession } from "../runtime/session.js";
import { verifyExport } from "../verify/verify-export.js";
import { exportTflite } from "./export-tflite.js";
import { openTflite } from "./open-tflite.js";
import { certifyTflitePromptFree } from "./prompt-free-tflite.js";
import { readTflite } from "./read-tflite.js";
import { writeTflite } from "./write-tflite.js";

const SIZE = 64;
const classes: ClassMapping = {
  classes: ["ear", "it's", "d\u00e9faut"].map((name, index) => ({ index, categoryId: index + 1, name })),
};
const images = [0, 1, 2].map((index) => {
  const random = new CounterRandom({ seed: 3, path: "tflite", index });
  return Float32Array.from({ length: 3 * SIZE * SIZE }, () => random.uniform());
});

let model: Model;
let table: CalibrationTable;
let expected: Record<string, RawTensor>;
const directory = mkdtempSync(join(tmpdir(), "seg-tflite-"));
afterAll(() => rmSync(directory, { recursive: true }));
beforeAll(async () => {
  const options = { imgsz: SIZE, task: "segment", classes, author: "Test", license: "Apache-2.0" } as const;
  ({ model } = await exportOnnx({ ...options, trace: yoloGraph({ imgsz: SIZE }) }));
  table = await calibrate(model, images);
  const session = await createSession({ model: encodeModel(model) });
  expected = await session.run({ images: { data: images[0]!, dims: [1, 3, SIZE, SIZE] } });
  await session.dispose();
});

async function outputsOf(bytes: Uint8Array): Promise<Record<string, RawTensor>> {
  const session = await openTflite(bytes).open();
  const outputs = await session.run({ images: { data: images[0]!, dims: [1, 3, SIZE, SIZE] } });
  await session.dispose();
  return outputs;
}

function codeOf(action: () => unknown): ExportErrorCode | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof ExportError) return error.code;
    throw error;
  }
  return undefined;
}

describe("exportTflite of a whole YOLOv8n-seg graph on LiteRT", () => {
  test("float32 agrees to 1e-5 of the largest value, boxes in pixels", async () => {
    const outputs = await outputsOf(exportTflite(model, { flavour: "float32" }).bytes);
    for (const name of ["output0", "output1"]) {
      const [a, b] = [expected[name]!.data, outputs[name]!.data];
      const scale = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
      expect(error).toBeLessThan(1e-5 * scale);
    }
  });

  // Measured, in the order boxes, scores, coefficients, prototypes: fp16 114, 96, 70, 69 dB; dynamic 85, 72, 44, 42; int8 82, 68, 39, 37;
  // full-int8 3, 53, 39, 36: its boxes end at the edges of the image, and those of random weights do not.
  test.each([
    ["fp16", 60, 0],
    ["dynamic", 35, 0],
    ["int8", 30, 0],
    ["full-int8", 30, 4],
  ] as const)("%s stays within %d dB of the float model", async (flavour, least, firstRow) => {
    const options = flavour.includes("int8") ? { calibration: table } : {};
    const outputs = await outputsOf(exportTflite(model, { flavour, ...options }).bytes);
    expect(outputs["output0"]!.dims).toEqual(expected["output0"]!.dims);
    expect(outputs["output1"]!.dims).toEqual(expected["output1"]!.dims);
    const anchors = expected["output0"]!.dims[2]!;
    const part = ({ data }: RawTensor, from: number, to: number) => data.subarray(from * anchors, to * anchors);
    for (const [from, to] of [
      [0, 4],
      [4, 7],
      [7, 39],
    ] as const) {
      if (from < firstRow) continue;
      const [a, b] = [part(expected["output0"]!, from, to), part(outputs["output0"]!, from, to)];
      expect(sqnrDb(a, b)).toBeGreaterThan(least);
    }
    expect(sqnrDb(expected["output1"]!.data, outputs["output1"]!.data)).toBeGreaterThan(least);
  });

  test("concatenations may convert their inputs or widen them: both run, the files differ", async () => {
    const files = (["requant", "widen"] as const).map((concat) =>
      exportTflite(model, { calibration: table, concat }).model.subgraphs[0]!.operators.filter(
        ({ op }) => op === "QUANTIZE",
      ),
    );
    expect(files[0]!.length).toBeGreaterThan(files[1]!.length);
    const outputs = await outputsOf(exportTflite(model, { calibration: table, concat: "widen" }).bytes);
    expect(sqnrDb(expected["output0"]!.data, outputs["output0"]!.data)).toBeGreaterThan(18);
  });

  test("int8 holds int8 up to the decoder, floats behind it, and is a quarter of float32", () => {
    const float = exportTflite(model, { flavour: "float32" }).bytes;
    const { bytes, model: int8 } = exportTflite(model, { calibration: table });
    expect(bytes.length).toBeLessThan(0.29 * float.length);
    const { tensors, operators } = int8.subgraphs[0]!;
    const typesOf = (op: string) =>
      new Set(operators.filter((o) => o.op === op).map((o) => tensors[o.outputs[0]!]!.type));
    expect(typesOf("CONV_2D")).toEqual(new Set(["int8", "float32"])); // the expectation over bins is float
    expect(typesOf("MAX_POOL_2D")).toEqual(new Set(["int8"]));
    expect(typesOf("SOFTMAX")).toEqual(new Set(["float32"]));
    const converted = operators.find(({ op, inputs }) => op === "QUANTIZE" && tensors[inputs[0]!]!.type === "int8");
    expect(converted?.version).toBe(2);
  });

  test("a detector has one output and no prototypes", async () => {
    const { model: detect } = await exportOnnx({
      trace: yoloGraph({ imgsz: SIZE, segment: false }),
      imgsz: SIZE,
      task: "detect",
      classes,
      author: "Test",
      license: "Apache-2.0",
    });
    const { bytes, model: written } = exportTflite(detect, { flavour: "float32" });
    expect(written.signatures[0]!.outputs.map(([name]) => name)).toEqual(["output0"]);
    const session = await createSession({ model: encodeModel(detect) });
    const feeds = { images: { data: images[0]!, dims: [1, 3, SIZE, SIZE] } };
    const { output0 } = await session.run(feeds);
    await session.dispose();
    expect(sqnrDb(output0!.data, (await outputsOf(bytes))["output0"]!.data)).toBeGreaterThan(100);
  });

  test("equal models give equal bytes", () => {
    const options = { calibration: table };
    const [a, b] = [exportTflite(model, options).bytes, exportTflite(model, options).bytes];
    expect(Buffer.compare(a, b)).toBe(0);
  });

  test("separate outputs hold the parts of output0", async () => {
    const { bytes, model: split } = exportTflite(model, { flavour: "float32", splitOutputs: true });
    expect(split.signatures[0]!.outputs.map(([name]) => name)).toEqual(["boxes", "scores", "mask_coefs", "protos"]);
    const outputs = await outputsOf(bytes);
    expect(sqnrDb(expected["output0"]!.data, outputs["output0"]!.data)).toBeGreaterThan(100);
  });
});

describe("verifyExport of a TFLite file", () => {
  test("certifies structure, behaviour and parity; metadata survives quotes and accents", async () => {
    const path = join(directory, "model.tflite");
    writeFileSync(path, exportTflite(model, { calibration: table }).bytes);
    const certificate = await verifyExport(path, { classes, images, precision: "int8", reference: encodeModel(model) });
    expect(certificate).toMatchObject({ promptFree: true, precision: "int8", warnings: [] });
    expect(certificate.inputs).toEqual([{ name: "images", dataType: "float32", shape: [1, SIZE, SIZE, 3] }]);
    expect(certificate.behaviour).toHaveLength(5);
    const { metadata } = openTflite(exportTflite(model, { calibration: table }).bytes);
    expect(metadata.names).toEqual(classes.classes.map(({ name }) => name));
  });

  test("a second input, another name or integers are not prompt-free", () => {
    const written = exportTflite(model, { flavour: "float32" }).model;
    const [graph] = written.subgraphs as [(typeof written.subgraphs)[0]];
    const reread = (change: Partial<typeof graph>) =>
      readTflite(writeTflite({ ...written, signatures: [], subgraphs: [{ ...graph, ...change }] }));
    const renamed = graph.tensors.map((tensor, i) => (i === graph.inputs[0] ? { ...tensor, name: "tokens" } : tensor));
    const integers = graph.tensors.map((tensor, i) =>
      i === graph.inputs[0] ? { ...tensor, type: "int32" as const } : tensor,
    );
    for (const change of [
      { inputs: [graph.inputs[0]!, graph.outputs[0]!] },
      { tensors: renamed },
      { tensors: integers },
    ]) {
      expect(codeOf(() => certifyTflitePromptFree(reread(change)))).toBe("NOT_PROMPT_FREE");
    }
    expect(codeOf(() => certifyTflitePromptFree(reread({})))).toBeUndefined();
  });
});

describe("exportTflite refuses", () => {
  test("int8 without a calibration, with one of another model, and options that do not fit", () => {
    const stale = { ...table, modelSha256: "0".repeat(64) };
    const code = (options: Parameters<typeof exportTflite>[1]) => codeOf(() => exportTflite(model, options));
    expect(code({})).toBe("NO_CALIBRATION_DATA");
    expect(code({ calibration: stale })).toBe("CALIBRATION_STALE");
    expect(code({ flavour: "fp16", concat: "widen" })).toBe("QUANT_CONFIG");
    expect(code({ flavour: "full-int8", calibration: table, splitOutputs: false })).toBe("QUANT_CONFIG");
  });
});
