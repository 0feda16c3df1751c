import { CounterRandom } from "@seg/augment";
import { type AttributeInput, DataType, encodeModel, GraphBuilder, inferShapes, type Model } from "@seg/onnx";
import { describe, expect, test } from "vitest";
import { ExportError } from "../errors.js";
import { sqnrDb } from "../quantize/sqnr.js";
import type { RawTensor } from "../runtime/decode.js";
import { createSession } from "../runtime/session.js";
import { assembleModel, type LiteGraph } from "./graph.js";
import { channelsLast, layoutShape, permuteValues } from "./layout.js";
import { createLiteRtSession } from "./litert-session.js";
import { lowerToTflite } from "./lower-to-tflite.js";
import { quantizeInt8 } from "./quantize/int8.js";
import { convertWeightsToFloat16, quantizeWeightsOnly } from "./quantize/weights-only.js";
import { writeTflite } from "./write-tflite.js";

type Build = (builder: GraphBuilder, x: string) => string;
const SHAPE = [1, 8, 6, 10];

const values = (path: string, length: number, scale = 1): Float32Array => {
  const random = new CounterRandom({ seed: 7, path });
  return Float32Array.from({ length }, () => scale * random.normal());
};

const weights = (builder: GraphBuilder, name: string, dims: number[]): string => {
  const length = dims.reduce((a, b) => a * b, 1);
  return builder.initializer(name, DataType.FLOAT, dims, values(name, length, 1 / Math.sqrt(length / dims[0]!)));
};
const ints = (builder: GraphBuilder, name: string, list: number[]): string =>
  builder.initializer(name, DataType.INT64, [list.length], list);

const conv =
  (dims: number[], attributes: Record<string, AttributeInput>): Build =>
  (builder, x) =>
    builder.node("Conv", [x, weights(builder, "w", dims), weights(builder, "b", [dims[0]!])], {
      attributes: { kernel_shape: dims.slice(2), ...attributes },
    })[0]!;
const node =
  (
    opType: string,
    attributes: Record<string, AttributeInput> = {},
    extra: (b: GraphBuilder) => string[] = () => [],
  ): Build =>
  (builder, x) =>
    builder.node(opType, [x, ...extra(builder)], { attributes })[0]!;
const silu: Build = (builder, x) => builder.node("Mul", [x, builder.node("Sigmoid", [x])[0]!])[0]!;
const resize = (transformation: string, nearest: string): Build =>
  node("Resize", { mode: "nearest", coordinate_transformation_mode: transformation, nearest_mode: nearest }, (b) => [
    "",
    b.initializer("scales", DataType.FLOAT, [4], Float32Array.of(1, 1, 2, 2)),
  ]);
const dfl: Build = (builder, x) => {
  const flat = builder.node("Reshape", [x, ints(builder, "flat", [1, 2, 4, 60])])[0]!;
  const order = builder.node("Transpose", [flat], { attributes: { perm: [0, 2, 1, 3] } })[0]!;
  const soft = builder.node("Softmax", [order], { attributes: { axis: 1 } })[0]!;
  const ramp = builder.initializer("ramp", DataType.FLOAT, [1, 4, 1, 1], Float32Array.of(0, 1, 2, 3));
  const mean = builder.node("Conv", [soft, ramp], { attributes: { kernel_shape: [1, 1] } })[0]!;
  return builder.node("Reshape", [mean, ints(builder, "sides", [1, 2, 60])])[0]!;
};

/** Up to 72 products, added in another order; results up to 5, where one ulp is 4.8e-7. */
const SUMS = 1.2e-6;

/** Name, graph, and largest |difference| from ONNX Runtime; the sums of the two run in another order. */
const FLOAT: readonly (readonly [string, Build, number])[] = [
  ["convolution 3x3", conv([5, 8, 3, 3], { pads: [1, 1, 1, 1] }), SUMS],
  ["convolution 3x3, stride 2, pad 1", conv([5, 8, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }), SUMS],
  ["convolution 3x3, stride 2, pad 1 in front", conv([5, 8, 3, 3], { pads: [1, 1, 0, 0], strides: [2, 2] }), SUMS],
  ["convolution 3x3, dilation 2", conv([5, 8, 3, 3], { pads: [2, 2, 2, 2], dilations: [2, 2] }), SUMS],
  ["convolution 1x1", conv([4, 8, 1, 1], {}), SUMS],
  ["depthwise convolution", conv([16, 1, 3, 3], { pads: [1, 1, 1, 1], group: 8 }), SUMS],
  [
    "transposed convolution 2x2, stride 2",
    node("ConvTranspose", { kernel_shape: [2, 2], strides: [2, 2] }, (b) => [
      weights(b, "w", [8, 5, 2, 2]),
      weights(b, "b", [5]),
    ]),
    SUMS,
  ],
  [
    "transposed convolution 4x4, cut",
    node("ConvTranspose", { kernel_shape: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1] }, (b) => [
      weights(b, "w", [8, 5, 4, 4]),
    ]),
    1e-6,
  ],
  ["SiLU", silu, 2.4e-7],
  ["max pool 5x5", node("MaxPool", { kernel_shape: [5, 5], pads: [2, 2, 2, 2] }), 0],
  ["average pool 2x2", node("AveragePool", { kernel_shape: [2, 2], strides: [2, 2] }), 2.4e-7],
  ["nearest, asymmetric", resize("asymmetric", "floor"), 0],
  ["nearest, half pixel", resize("half_pixel", "round_prefer_ceil"), 0],
  ["softmax over channels", node("Softmax", { axis: 1 }), 2.4e-7],
  ["expectation over bins", dfl, 1.2e-6],
  [
    "addition of a row",
    (b, x) => b.node("Add", [b.initializer("row", DataType.FLOAT, [8, 1, 1], values("row", 8)), x])[0]!,
    0,
  ],
  ["difference of values of different size", (b, x) => b.node("Sub", [b.node("Mul", [x, x])[0]!, x])[0]!, 1e-6],
  ["division", (b, x) => b.node("Div", [x, b.initializer("two", DataType.FLOAT, [], Float32Array.of(3))])[0]!, 2.4e-7],
  ["maximum", (b, x) => b.node("Max", [x, b.node("Mul", [x, x])[0]!])[0]!, 0],
  [
    "split into unequal parts, joined in another order",
    (b, x) => {
      const [low, high] = b.node("Split", [x, ints(b, "sizes", [3, 5])], { outputs: 2, attributes: { axis: 1 } });
      return b.node("Concat", [high!, low!], { attributes: { axis: 1 } })[0]!;
    },
    0,
  ],
  [
    "split into halves, subtracted",
    (b, x) => {
      const [low, high] = b.node("Split", [x, ints(b, "sizes", [4, 4])], { outputs: 2, attributes: { axis: 1 } });
      return b.node("Sub", [high!, low!])[0]!;
    },
    0,
  ],
  [
    "slice with a step",
    node("Slice", {}, (b) => [ints(b, "from", [1]), ints(b, "to", [100]), ints(b, "axis", [3]), ints(b, "step", [3])]),
    0,
  ],
  ["padding", node("Pad", {}, (b) => [ints(b, "pads", [0, 1, 0, 2, 0, 0, 3, 0])]), 0],
  ["gathered channels", node("Gather", { axis: 1 }, (b) => [ints(b, "which", [5, 0, 5])]), 0],
  ["a reshape that mixes axes", node("Reshape", {}, (b) => [ints(b, "shape", [1, 16, 30])]), 0],
  ["a product of matrices", (b, x) => b.node("MatMul", [x, weights(b, "m", [10, 4])])[0]!, 2e-6],
  [
    "convolution, clipped to 0..6",
    (b, x) =>
      b.node("Clip", [
        conv([5, 8, 3, 3], { pads: [1, 1, 1, 1] })(b, x),
        b.initializer("low", DataType.FLOAT, [], Float32Array.of(0)),
        b.initializer("high", DataType.FLOAT, [], Float32Array.of(6)),
      ])[0]!,
    SUMS,
  ],
];

function model(build: Build): Model {
  const builder = new GraphBuilder();
  const x = builder.input("images", DataType.FLOAT, SHAPE);
  builder.output(build(builder, x));
  return inferShapes(builder.build()).model;
}

const input = values("input", 480);
const run = async (source: Model): Promise<RawTensor> => {
  const session = await createSession({ model: encodeModel(source) });
  const outputs = await session.run({ images: { data: input, dims: SHAPE } });
  await session.dispose();
  return Object.values(outputs)[0]!;
};
/** Output of LiteRT in ONNX order. */
const runTflite = async (graph: LiteGraph, dims: readonly number[]): Promise<Float32Array> => {
  const session = await createLiteRtSession(writeTflite(assembleModel(graph, { description: "test" })));
  const layout = channelsLast(4);
  const data = permuteValues(input, SHAPE, layout);
  const outputs = await session.run({ images: { data, dims: layoutShape(SHAPE, layout) } });
  await session.dispose();
  const output = Object.values(outputs)[0]!;
  if (dims.length !== 4) return output.data;
  const back = layout.map((_, axis) => layout.indexOf(axis));
  return permuteValues(output.data, output.dims, back);
};
const largest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe("lowered operators on LiteRT against ONNX Runtime", () => {
  test.each(FLOAT)("%s", async (_, build, tolerance) => {
    const source = model(build);
    const expected = await run(source);
    const actual = await runTflite(lowerToTflite(source), expected.dims);
    expect(actual.length).toBe(expected.data.length);
    // A runtime that fails quietly returns zeros: they must not pass for small values.
    expect(largest(expected.data, new Float32Array(expected.data.length))).toBeGreaterThan(100 * tolerance);
    expect(largest(expected.data, actual)).toBeLessThanOrEqual(tolerance);
  });

  const weighted = FLOAT.filter(([name]) => name.includes("convolution"));
  test.each(weighted)("%s with float16 weights", async (_, build) => {
    const source = model(build);
    const expected = await run(source);
    const actual = await runTflite(convertWeightsToFloat16(lowerToTflite(source)), expected.dims);
    // Half an ulp of float16 is 2^-11 of each product; 72 of them add up like a random walk.
    expect(largest(expected.data, actual)).toBeLessThan(2e-3);
    expect(sqnrDb(expected.data, actual)).toBeGreaterThan(60);
  });

  test.each(weighted)("%s with int8 weights", async (_, build) => {
    const source = model(build);
    const expected = await run(source);
    const actual = await runTflite(quantizeWeightsOnly(lowerToTflite(source), new Set()), expected.dims);
    expect(sqnrDb(expected.data, actual)).toBeGreaterThan(35);
  });

  test.each(FLOAT.filter(([name]) => name !== "division"))("%s in int8", async (_, build) => {
    const source = model(build);
    const lowered = lowerToTflite(source);
    const ranges = await rangesOf(source);
    const expected = await run(source);
    const quantized = quantizeInt8(lowered, { ranges, floatNodes: new Set() });
    expect(quantized.ops.map(({ op }) => op)).toContain("QUANTIZE");
    const actual = await runTflite(quantized, expected.dims);
    expect(sqnrDb(expected.data, actual)).toBeGreaterThan(30);
  });

  test("division has no int8 form and stays float32 between a DEQUANTIZE and the output", async () => {
    const source = model(FLOAT.find(([name]) => name === "division")![1]);
    const quantized = quantizeInt8(lowerToTflite(source), { ranges: await rangesOf(source), floatNodes: new Set() });
    expect(quantized.ops.map(({ op }) => op)).toEqual(["DIV"]);
  });
});

/** Smallest and largest value of everything in the graph. */
async function rangesOf(source: Model): Promise<Record<string, [number, number]>> {
  const names = source.graph.nodes.flatMap(({ outputs }) => outputs);
  const everything: Model = {
    ...source,
    graph: { ...source.graph, outputs: names.map((name) => ({ name, dataType: DataType.FLOAT })) },
  };
  const session = await createSession({ model: encodeModel(everything), optimization: "disabled" });
  const outputs = await session.run({ images: { data: input, dims: SHAPE } });
  await session.dispose();
  const range = (data: Float32Array): [number, number] => [Math.min(...data), Math.max(...data)];
  return Object.fromEntries([
    ["images", range(input)],
    ...names.map((name) => [name, range(outputs[name]!.data)] as const),
  ]);
}

describe("what has no TFLite form", () => {
  test("is listed whole, with reasons, before anything is written", () => {
    const source = model((b, x) => {
      const erf = b.node("Erf", [x])[0]!;
      const grouped = conv([8, 4, 1, 1], { group: 2 })(b, x);
      const after = b.node("Add", [erf, grouped])[0]!;
      return b.node("Tan", [after])[0]!;
    });
    try {
      lowerToTflite(source);
      expect.unreachable();
    } catch (error) {
      if (!ExportError.is(error, "UNSUPPORTED_OP")) throw error;
      expect(error.details.findings!.map(({ op, reason }) => [op, reason])).toEqual([
        ["Erf", "unsupported_op"],
        ["Conv", "unsupported_attribute_value"],
        ["Tan", "unsupported_op"],
      ]);
    }
  });

  test("weights that are computed are no constants", () => {
    const source = model((b, x) => b.node("Conv", [x, b.node("Sigmoid", [weights(b, "w", [4, 8, 1, 1])])[0]!])[0]!);
    expect(() => lowerToTflite(source)).toThrow(/must be constant|is no activation/);
  });
});

describe("SAME_SCALE_VIOLATION", () => {
  test("mixed scales of a concatenation are refused before writing", async () => {
    const source = model(FLOAT.find(([name]) => name.startsWith("split into unequal"))![1]);
    const quantized = quantizeInt8(lowerToTflite(source), { ranges: await rangesOf(source), floatNodes: new Set() });
    const written = assembleModel(quantized, { description: "" });
    const output = written.subgraphs[0]!.operators.find(({ op }) => op === "CONCATENATION")!.outputs[0]!;
    written.subgraphs[0]!.tensors[output]!.quantization = { scale: [0.5], zeroPoint: [0], dimension: 0 };
    try {
      writeTflite(written);
      expect.unreachable();
    } catch (error) {
      expect(ExportError.is(error, "SAME_SCALE_VIOLATION") && error.details.op).toBe("CONCATENATION");
    }
  });
});
