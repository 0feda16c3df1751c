import { checkModel, DataType, encodeModel, type Model, type Node, tensorData } from "@seg/onnx";
import { beforeAll, describe, expect, test } from "vitest";
import { randomImages } from "../../test/random-images.js";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError } from "../errors.js";
import { createSession } from "../runtime/session.js";
import { type CalibrationTable, calibrate } from "./calibrate.js";
import { headNodes } from "./head.js";
import { QUANT_PRESETS, type QuantPreset } from "./presets.js";
import { quantizeDynamic } from "./quantize-dynamic.js";
import { quantizeStatic } from "./quantize-static.js";
import { sqnrDb } from "./sqnr.js";
import { toFloat16 } from "./to-float16.js";

const SIZE = 64;
const segment = yoloGraph({ imgsz: SIZE, width: 0.125 });
const [image] = randomImages(1, SIZE, 6);
let table: CalibrationTable;
let reference: Float32Array;

async function output0(model: Model): Promise<Float32Array> {
  const session = await createSession({ model: encodeModel(model) });
  const { output0: result } = await session.run({ images: { data: image!, dims: [1, 3, SIZE, SIZE] } });
  await session.dispose();
  return result!.data;
}
const values = (model: Model, name: string): number[] =>
  Array.from(tensorData(model.graph.initializers.find((tensor) => tensor.name === name)!) as Float32Array, Number);
const maker = (model: Model): Map<string, Node> =>
  new Map(model.graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
/** Name of the scale in front of an input; undefined where nothing dequantises. */
const scaleInFront = (model: Model, input: string): string | undefined => {
  const node = maker(model).get(input);
  return node?.opType === "DequantizeLinear" ? node.inputs[1] : undefined;
};

beforeAll(async () => {
  table = await calibrate(segment, randomImages(4, SIZE));
  reference = await output0(segment);
});

describe("quantizeStatic presets", () => {
  test.each(Object.keys(QUANT_PRESETS) as QuantPreset[])("%s is valid, runs and stays close", async (preset) => {
    const quantized = quantizeStatic(segment, table, { preset });
    expect(checkModel(quantized)).toEqual([]);
    expect(sqnrDb(reference, await output0(quantized))).toBeGreaterThan(20);
    const record = quantized.metadataProps.find(({ key }) => key === "quantization")!.value;
    expect(record).toContain(`'preset': '${preset}'`);
    expect(record).toContain(`'calibration_sha256': '${table.imagesSha256}'`);
  });

  test("tensorrt has zero points of 0, float biases, no pair between convolution and SiLU, one scale on all inputs of a Concat", () => {
    const quantized = quantizeStatic(segment, table, { preset: "tensorrt" });
    for (const { name, dataType } of quantized.graph.initializers) {
      if (!name.endsWith("_zero_point")) continue;
      expect(dataType).toBe(DataType.INT8);
      expect(values(quantized, name).every((zero) => zero === 0)).toBe(true);
    }
    const float = new Set([...headNodes(segment.graph).values()].flat());
    const consumers = new Map<string, number>();
    for (const node of quantized.graph.nodes)
      for (const name of node.inputs) consumers.set(name, (consumers.get(name) ?? 0) + 1);
    for (const node of quantized.graph.nodes) {
      if (float.has(node.name)) continue;
      if (node.opType === "DequantizeLinear") expect(consumers.get(node.outputs[0]!)).toBe(1);
      if (node.opType === "Conv") {
        expect(scaleInFront(quantized, node.inputs[0]!)).toBeDefined();
        expect(node.inputs[2]).toMatch(/\.bias$/);
      }
      if (node.opType === "Sigmoid") expect(scaleInFront(quantized, node.inputs[0]!)).toBeUndefined();
      if (node.opType === "Concat") {
        expect(new Set(node.inputs.map((name) => scaleInFront(quantized, name))).size).toBe(1);
        expect(scaleInFront(quantized, node.inputs[0]!)).toBeDefined();
      }
      if (node.opType === "Add") for (const name of node.inputs) expect(scaleInFront(quantized, name)).toBeDefined();
    }
  });

  test("tflite has one scale through each Concat and 1/256 behind each Sigmoid", () => {
    const quantized = quantizeStatic(segment, table, { preset: "tflite" });
    const float = new Set([...headNodes(segment.graph).values()].flat());
    for (const node of quantized.graph.nodes) {
      if (float.has(node.name)) continue;
      const [output = ""] = node.outputs;
      if (node.opType === "Concat") {
        const scales = node.inputs.map((name) => scaleInFront(quantized, name));
        const behind = quantized.graph.nodes.find(({ name }) => name === `${output}_QuantizeLinear`)!.inputs[1];
        expect(new Set([...scales, behind]).size).toBe(1);
      }
      if (node.opType === "Sigmoid") expect(values(quantized, `${output}_scale`)).toEqual([1 / 256]);
    }
  });

  test("x64-avx2 keeps weights within 7 bits", () => {
    const quantized = quantizeStatic(segment, table, { preset: "x64-avx2" });
    for (const { name } of quantized.graph.initializers) {
      if (!name.endsWith(".weight_quantized")) continue;
      expect(Math.max(...values(quantized, name).map(Math.abs))).toBe(64);
    }
  });

  test("an override replaces what calibration found; one of an unknown tensor is QUANT_CONFIG", () => {
    const [tensor] = Object.keys(table.ranges);
    const quantized = quantizeStatic(segment, table, { overrides: { [tensor!]: { scale: 0.5, zeroPoint: 3 } } });
    expect([values(quantized, `${tensor}_scale`), values(quantized, `${tensor}_zero_point`)]).toEqual([[0.5], [3]]);
    try {
      quantizeStatic(segment, table, { overrides: { output0: { rmax: 1 } } });
      expect.unreachable();
    } catch (error) {
      expect(ExportError.is(error, "QUANT_CONFIG") && error.details.tensor).toBe("output0");
    }
  });
});

describe("toFloat16", () => {
  test("halves the file, keeps inputs, outputs and the decode head float32", async () => {
    const { model, clamped } = toFloat16(segment);
    expect(checkModel(model)).toEqual([]);
    expect(clamped).toEqual({});
    expect(encodeModel(model).length / encodeModel(segment).length).toBeLessThan(0.56);
    expect([...model.graph.inputs, ...model.graph.outputs].map(({ dataType }) => dataType)).toEqual([1, 1, 1]);
    const result = await output0(model);
    let largest = 0;
    reference.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value - result[i]!));
    });
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThan(0.5);
  });

  test("cuts values beyond the limit and says how many", () => {
    const { clamped } = toFloat16(segment, { largest: 0.05 });
    expect(clamped["model.0.conv.weight"]).toBeGreaterThan(0);
  });

  test("without keepIO the input is float16", () => {
    const { model } = toFloat16(segment, { keepIO: false });
    expect(model.graph.inputs[0]!.dataType).toBe(DataType.FLOAT16);
    expect(checkModel(model)).toEqual([]);
  });
});

describe("quantizeDynamic", () => {
  test("quantises convolutions without calibration, runs and stays close", async () => {
    const quantized = quantizeDynamic(segment);
    expect(checkModel(quantized)).toEqual([]);
    expect(encodeModel(quantized).length / encodeModel(segment).length).toBeLessThan(0.4);
    expect(sqnrDb(reference, await output0(quantized))).toBeGreaterThan(25);
  });
});
