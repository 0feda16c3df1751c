import { createHash } from "node:crypto";
import { CounterRandom } from "@seg/augment";
import { census, checkModel, decodeModel, encodeModel, type Model, tensorData } from "@seg/onnx";
import { describe, expect, test } from "vitest";
import { yoloGraph } from "../../test/yolo-graph.js";
import { ExportError } from "../errors.js";
import { createSession } from "../runtime/session.js";
import { calibrate } from "./calibrate.js";
import { headNodes } from "./head.js";
import { quantizeStatic } from "./quantize-static.js";
import { sqnrReport } from "./sqnr.js";

const SIZE = 64;
const images = (count: number, seed = 5): Float32Array[] =>
  Array.from({ length: count }, (_, index) => {
    const random = new CounterRandom({ seed, path: "image", index });
    return Float32Array.from({ length: 3 * SIZE * SIZE }, () => random.uniform());
  });

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const segment = yoloGraph({ imgsz: SIZE });

async function codeOf(action: () => unknown): Promise<ExportError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ExportError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("yoloGraph, the reference graph of these tests", () => {
  test("has the published node counts and parameters of size n at 640, 80 classes", () => {
    const graph = yoloGraph({ imgsz: 640, numClasses: 80 });
    const counts = census(graph).ops;
    expect(graph.graph.nodes.length).toBe(267);
    expect(counts).toEqual({
      ...{ Conv: 76, Sigmoid: 67, Mul: 67, Concat: 20, Reshape: 8, Split: 10, Add: 8, MaxPool: 3 },
      ...{ Resize: 2, Sub: 2, Div: 1, Softmax: 1, Transpose: 1, ConvTranspose: 1 },
    });
    const parameters = (model: Model): number =>
      model.graph.initializers
        .filter(({ name }) => name.startsWith("model."))
        .reduce((sum, { dims }) => sum + dims.reduce((product, side) => product * side, 1), 0);
    expect(parameters(graph)).toBe(3_404_320);
    const detect = yoloGraph({ imgsz: 640, numClasses: 80, segment: false });
    expect(detect.graph.nodes.length).toBe(232);
    expect(parameters(detect)).toBe(3_151_904);
    expect(checkModel(graph)).toEqual([]);
  });
});

describe("headNodes", () => {
  test("excludes 27 nodes above output0 and 2 above output1 of a segmenter, 23 of a detector", () => {
    expect([...headNodes(segment.graph)].map(([name, nodes]) => [name, nodes.length])).toEqual([
      ["output0", 27],
      ["output1", 2],
    ]);
    const detect = yoloGraph({ imgsz: SIZE, segment: false });
    expect([...headNodes(detect.graph).values()].map((nodes) => nodes.length)).toEqual([23]);
  });
});

describe("calibrate", () => {
  test("no image is NO_CALIBRATION_DATA", async () => {
    expect((await codeOf(() => calibrate(segment, []))).code).toBe("NO_CALIBRATION_DATA");
  });

  test("a NaN weight is QUANT_CONFIG and names it", async () => {
    const broken: Model = decodeModel(encodeModel(segment));
    const weight = broken.graph.initializers.find(({ name }) => name === "model.4.cv1.conv.weight")!;
    const values = (tensorData(weight) as Float32Array).slice();
    values[7] = Number.NaN;
    weight.rawData = new Uint8Array(values.buffer);
    const error = await codeOf(() => calibrate(broken, images(1)));
    expect(ExportError.is(error, "QUANT_CONFIG") && error.details.tensor).toBe("model.4.cv1.conv.weight");
  });

  test("percentile and entropy ranges lie within the minmax range", async () => {
    const small = yoloGraph({ imgsz: SIZE, width: 0.0625 });
    const options = { bins: 512 };
    const [minmax, percentile, entropy] = await Promise.all(
      (["minmax", "percentile", "entropy"] as const).map((method) =>
        calibrate(small, images(2), { ...options, method }),
      ),
    );
    for (const [tensor, [low, high]] of Object.entries(minmax!.ranges)) {
      for (const table of [percentile!, entropy!]) {
        const [min, max] = table.ranges[tensor]!;
        expect(min).toBeGreaterThanOrEqual(Math.min(low, 0));
        expect(max).toBeLessThanOrEqual(Math.max(high, 0));
      }
    }
    expect(minmax!.ranges["images"]![1]).toBeLessThan(1);
  });
});

describe("quantizeStatic", () => {
  test("quantises the body, keeps the head float, loads in the runtime and stays close", async () => {
    const before = encodeModel(segment);
    const table = await calibrate(segment, images(4));
    const quantized = quantizeStatic(segment, table);
    expect(sha256(encodeModel(segment))).toBe(sha256(before));
    expect(checkModel(quantized)).toEqual([]);
    const bytes = encodeModel(quantized);
    expect(bytes.length / before.length).toBeLessThan(0.3);

    const float = new Set([...headNodes(segment.graph).values()].flat());
    const made = new Map(quantized.graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
    for (const node of quantized.graph.nodes) {
      if (/uantizeLinear$/.test(node.opType)) continue;
      const inputs = node.inputs.filter((name) => made.has(name));
      const quantisedInputs = inputs.filter((name) => made.get(name)!.opType === "DequantizeLinear");
      if (float.has(node.name)) continue;
      expect(quantisedInputs, `${node.opType} ${node.name}`).toEqual(inputs);
    }

    const report = await sqnrReport(segment, quantized, images(2, 6), { numClasses: 3 });
    const byName = new Map(report.outputs.map(({ tensor, sqnrDb }) => [tensor, sqnrDb]));
    expect(byName.get("output0 classes")!).toBeGreaterThan(20);
    expect(byName.get("output0 boxes")!).toBeGreaterThan(20);
    expect([...byName.keys()]).toEqual(["output0 boxes", "output0 classes", "output0 coefficients", "output1"]);
  });

  test("a stack of three convolutions keeps 30 dB", async () => {
    const { graph } = segment;
    const convolutions = graph.nodes.filter(({ opType }) => opType === "Conv");
    const last = convolutions[2]!;
    const at = graph.nodes.indexOf(last);
    const stack: Model = {
      ...segment,
      graph: {
        ...graph,
        nodes: graph.nodes.slice(0, at + 1),
        outputs: [{ name: last.outputs[0]!, dataType: 1 }],
      },
    };
    const table = await calibrate(stack, images(4));
    const quantized = quantizeStatic(stack, table);
    const report = await sqnrReport(stack, quantized, images(2, 6), { numClasses: 0 });
    expect(report.outputs[0]!.sqnrDb).toBeGreaterThan(30);
  });

  test("operators that move values share parameters with their input, Concat does not", async () => {
    const table = await calibrate(segment, images(1));
    const { nodes } = quantizeStatic(segment, table).graph;
    const scaleOf = (tensor: string): string =>
      nodes.find(({ name }) => name === `${tensor}_QuantizeLinear`)!.inputs[1]!;
    for (const node of segment.graph.nodes) {
      if (node.opType === "MaxPool" || node.opType === "Resize") {
        expect(scaleOf(node.outputs[0]!)).toBe(scaleOf(node.inputs[0]!));
      }
      if (node.opType === "Concat" && nodes.some(({ name }) => name === `${node.outputs[0]}_QuantizeLinear`)) {
        expect(scaleOf(node.outputs[0]!)).toBe(`${node.outputs[0]}_scale`);
      }
    }
  });

  test("quantising everything wipes out the class probabilities", async () => {
    const table = await calibrate(segment, images(2), { includeHead: true });
    const quantized = quantizeStatic(segment, table, { exclude: "none" });
    const report = await sqnrReport(segment, quantized, images(1, 6), { numClasses: 3 });
    expect(report.outputs.find(({ tensor }) => tensor === "output0 classes")!.sqnrDb).toBeLessThan(10);
  });

  test("a table of another model is CALIBRATION_STALE", async () => {
    const table = await calibrate(segment, images(1));
    const other = yoloGraph({ imgsz: SIZE, seed: 2 });
    expect((await codeOf(() => quantizeStatic(other, table))).code).toBe("CALIBRATION_STALE");
  });

  test("equal inputs give equal bytes, and the runtime repeats itself", async () => {
    const make = async (): Promise<Uint8Array> =>
      encodeModel(quantizeStatic(segment, await calibrate(segment, images(1))));
    const bytes = await make();
    expect(sha256(await make())).toBe(sha256(bytes));
    const session = await createSession({ model: bytes });
    const feeds = { images: { data: images(1)[0]!, dims: [1, 3, SIZE, SIZE] } };
    const [a, b] = [await session.run(feeds), await session.run(feeds)];
    expect(Buffer.compare(Buffer.from(a["output0"]!.data.buffer), Buffer.from(b["output0"]!.data.buffer))).toBe(0);
    await session.dispose();
  });
});
