import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import {
  type AttributeInput,
  assertModel,
  cancelTransposes,
  census,
  checkModel,
  DataType,
  dedupeInitializers,
  encodeModel,
  foldBatchNorm,
  foldConstants,
  GraphBuilder,
  type Model,
  modelHash,
  nameNodes,
  optimizeModel,
  type Pass,
  pruneOpsets,
  removeDead,
  removeIdentities,
  shortNames,
  topoSort,
} from "../index.js";

const { FLOAT, INT64 } = DataType;
/** Reproducible numbers in [low, high): a linear congruential generator (Numerical Recipes), enough for test data. */
function uniform(seed: number): (low: number, high: number) => number {
  let state = seed;
  return (low, high) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return low + ((high - low) * state) / 2 ** 32;
  };
}
const next = uniform(1);
const random = (count: number, low = -1, high = 1): Float32Array =>
  Float32Array.from({ length: count }, () => next(low, high));
const size = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

class Builder extends GraphBuilder {
  #weights = 0;
  one(op: string, inputs: readonly string[], attributes: Record<string, AttributeInput> = {}): string {
    return this.node(op, inputs, { attributes })[0]!;
  }
  weight(dims: readonly number[], low = -1, high = 1): string {
    return this.initializer(`w${this.#weights++}`, FLOAT, dims, random(size(dims), low, high));
  }
  ints(data: readonly number[]): string {
    return this.initializer(`i${this.#weights++}`, INT64, [data.length], data);
  }
}

async function outputs(model: Model): Promise<Float32Array[]> {
  const session = await ort.InferenceSession.create(encodeModel(model), {
    graphOptimizationLevel: "disabled",
    logSeverityLevel: 3,
  });
  const feeds: Record<string, ort.Tensor> = {};
  const nextInput = uniform(2);
  for (const { name, shape } of model.graph.inputs) {
    const dims = shape as number[];
    feeds[name] = new ort.Tensor(
      "float32",
      Float32Array.from({ length: size(dims) }, () => nextInput(-1, 1)),
      dims,
    );
  }
  const results = await session.run(feeds);
  return model.graph.outputs.map(({ name }) => Float32Array.from(results[name]!.data as Float32Array));
}

/** Runs a pass and checks: input untouched, result valid, same outputs in onnxruntime. */
async function check(pass: Pass, model: Model, tolerance = 0): Promise<Model> {
  const before = encodeModel(model);
  const result = pass(model);
  expect(Buffer.compare(encodeModel(model), before)).toBe(0);
  expect(result.changed).toBe(result.model !== model);
  assertModel(result.model);
  const [a, b] = [await outputs(model), await outputs(result.model)];
  expect(b.length).toBe(a.length);
  for (const [i, values] of a.entries()) {
    expect(b[i]!.length).toBe(values.length);
    for (let k = 0; k < values.length; k++) expect(Math.abs(values[k]! - b[i]![k]!)).toBeLessThanOrEqual(tolerance);
  }
  expect(pass(result.model).changed).toBe(false);
  return result.model;
}

const ops = (model: Model): Record<string, number> => census(model).ops as Record<string, number>;

describe("foldBatchNorm", () => {
  const batchNorm = (b: Builder, x: string, channels: number): string =>
    b.one(
      "BatchNormalization",
      [x, b.weight([channels]), b.weight([channels]), b.weight([channels]), b.weight([channels], 0.1, 2)],
      {
        epsilon: { float: 1e-3 },
      },
    );

  // The weights are rounded once more to float32: a few ulp of sums of 27 terms.
  const TOLERANCE = 2e-6;

  test.each([
    ["with a bias", true, 1],
    ["without a bias", false, 1],
    ["in groups", true, 2],
  ])("Conv %s", async (_, hasBias, group) => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 4, 6, 5]);
    const conv = b.one("Conv", [x, b.weight([6, 4 / group, 3, 3]), ...(hasBias ? [b.weight([6])] : [])], {
      pads: [1, 1, 1, 1],
      group,
    });
    b.output(b.one("Relu", [batchNorm(b, conv, 6)]), FLOAT, [1, 6, 6, 5]);
    const folded = await check(foldBatchNorm, b.build(), TOLERANCE);
    expect(ops(folded)).toEqual({ Conv: 1, Relu: 1 });
    expect(folded.graph.nodes[0]!.inputs[1]).toBe("w0");
    expect(ops(removeDead(folded).model)).toEqual({ Conv: 1, Relu: 1 });
    expect(removeDead(folded).model.graph.initializers).toHaveLength(2);
  });

  test.each([1, 2])("ConvTranspose with %i group(s)", async (group) => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 4, 3, 3]);
    const conv = b.one("ConvTranspose", [x, b.weight([4, 3, 2, 2])], { strides: [2, 2], group });
    b.output(batchNorm(b, conv, 3 * group), FLOAT, [1, 3 * group, 6, 6]);
    expect(ops(await check(foldBatchNorm, b.build(), TOLERANCE))).toEqual({ ConvTranspose: 1 });
  });

  test("Add, Mul, Sub, Div per channel, also reversed and in a chain", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [2, 3, 4, 4]);
    let y = b.one("Conv", [x, b.weight([5, 3, 1, 1])]);
    y = b.one("Mul", [y, b.weight([1, 5, 1, 1])]);
    y = b.one("Add", [b.weight([5, 1, 1]), y]);
    y = b.one("Sub", [b.weight([]), y]);
    y = b.one("Div", [y, b.weight([1, 5, 1, 1], 1, 2)]);
    y = b.one("Sub", [y, b.weight([1])]);
    b.output(batchNorm(b, y, 5), FLOAT, [2, 5, 4, 4]);
    expect(ops(await check(foldBatchNorm, b.build(), 4e-6))).toEqual({ Conv: 1 });
  });

  test("leaves alone what it must not fold", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 3, 4, 4]);
    const first = b.one("Conv", [x, b.weight([4, 3, 1, 1])]);
    b.output(b.one("Add", [first, b.weight([4])]), FLOAT, [1, 4, 4, 4]); // along the width, not the channels
    const second = b.one("Conv", [x, b.weight([4, 3, 1, 1])]);
    b.output(second, FLOAT, [1, 4, 4, 4]); // the convolution itself is an output
    b.output(batchNorm(b, second, 4), FLOAT, [1, 4, 4, 4]);
    const third = b.one("Conv", [x, b.weight([4, 3, 1, 1])]);
    b.output(b.one("Mul", [third, b.one("Sigmoid", [third])]), FLOAT, [1, 4, 4, 4]); // SiLU
    const fourth = b.one("Conv", [x, b.weight([4, 3, 1, 1])]);
    b.output(b.one("Div", [b.weight([1, 4, 1, 1]), fourth]), FLOAT, [1, 4, 4, 4]); // a reciprocal
    const model = b.build();
    expect(foldBatchNorm(model)).toEqual({ model, changed: false });
  });

  test("a weight that two convolutions share gets a copy each", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 3, 4, 4]);
    const w = b.weight([4, 3, 1, 1]);
    for (let i = 0; i < 2; i++) b.output(batchNorm(b, b.one("Conv", [x, w]), 4), FLOAT, [1, 4, 4, 4]);
    expect(ops(await check(foldBatchNorm, b.build(), TOLERANCE))).toEqual({ Conv: 2 });
  });
});

describe("foldConstants", () => {
  test("layout and arithmetic of initializers; weights keep their names", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 3, 5, 5]);
    const kernel = b.one("Transpose", [b.weight([3, 3, 3, 4])], { perm: [3, 2, 0, 1] }); // HWIO -> OIHW
    const bias = b.one("Squeeze", [b.one("Reshape", [b.weight([2, 2]), b.ints([1, -1])]), b.ints([0])]);
    const scaled = b.one("Div", [
      b.one("Sub", [b.one("Mul", [b.one("Add", [bias, b.weight([1])]), b.weight([4])]), b.weight([])]),
      b.weight([4], 1, 2),
    ]);
    const y = b.one("Conv", [x, kernel, scaled], { pads: [1, 1, 1, 1] });
    b.output(y, FLOAT, [1, 4, 5, 5]);
    const folded = await check(foldConstants, b.build(), 0);
    expect(ops(folded)).toEqual({ Conv: 1 });
    expect(folded.graph.nodes[0]!.inputs[1]).toBe("w0");
    expect(folded.graph.initializers.find(({ name }) => name === "w0")!.dims).toEqual([4, 3, 3, 3]);
  });

  test("shape arithmetic down to a Reshape target", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [2, 3, 4, 5]);
    const shape = b.one("Shape", [b.one("Relu", [x])]);
    const index = b.initializer("index", INT64, [], [1]);
    const channels = b.one("Unsqueeze", [b.one("Gather", [shape, index]), b.ints([0])]);
    const tail = b.one("Slice", [shape, b.ints([2]), b.ints([1000]), b.ints([0])]);
    const rest = b.one("Mul", [
      b.one("Cast", [b.one("Cast", [tail], { to: DataType.INT32 })], { to: INT64 }),
      b.ints([2, 1]),
    ]);
    const target = b.one("Concat", [channels, rest], { axis: 0 });
    const sign = b.one("Slice", [b.ints([9, 8, 7, 6]), b.ints([-1]), b.ints([-5]), b.ints([0]), b.ints([-3])]);
    b.output(b.one("Reshape", [x, target]), FLOAT, [3, 8, 5]);
    b.output(b.one("Mul", [x, b.one("Cast", [b.one("Gather", [sign, index])], { to: FLOAT })]), FLOAT, [2, 3, 4, 5]);
    const folded = removeDead(await check(foldConstants, b.build(), 0)).model;
    expect(ops(folded)).toEqual({ Reshape: 1, Mul: 1 });
  });

  test("Constant, ConstantOfShape, Range, unary operators, broadcasting", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [2, 3]);
    const c = b.one("Constant", [], { value_floats: { floats: [0.1, 0.2, 0.3] } });
    const value = { name: "", dataType: FLOAT, dims: [1], rawData: new Uint8Array(new Float32Array([0.7]).buffer) };
    const filled = b.one("ConstantOfShape", [b.ints([2, 1])], { value });
    const bounds = [0, 6, 2].map((v, i) => b.initializer(`r${i}`, INT64, [], [v]));
    const ramp = b.one("Cast", [b.one("Range", bounds)], { to: FLOAT });
    const sum = b.one("Add", [b.one("Sqrt", [b.one("Abs", [b.one("Neg", [c])])]), b.one("Mul", [filled, ramp])]);
    b.output(b.one("Add", [x, sum]), FLOAT, [2, 3]);
    expect(ops(await check(foldConstants, b.build(), 0))).toEqual({ Add: 1 });
  });

  test("keeps what callers may override, graph outputs, and divisions by integer zero", () => {
    const b = new Builder();
    b.input("w", FLOAT, [2]);
    const model = b.build();
    model.graph.initializers.push({ name: "w", dataType: FLOAT, dims: [2], rawData: new Uint8Array(8) });
    model.graph.nodes.push({ opType: "Neg", domain: "", name: "n", inputs: ["w"], outputs: ["y"], attributes: [] });
    expect(foldConstants(model).changed).toBe(false);
    const c = new Builder();
    c.output(c.one("Neg", [c.weight([2])]), FLOAT, [2]);
    c.one("Relu", [c.one("Div", [c.ints([1]), c.ints([0])])]);
    expect(foldConstants(c.build()).changed).toBe(false);
  });
});

describe("removeIdentities", () => {
  test("removes every kind and keeps output names", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 2, 3]);
    let y = b.one("Identity", [x]);
    y = b.one("Relu", [y]);
    y = b.one("Dropout", [y]);
    y = b.one("Cast", [y], { to: FLOAT });
    y = b.one("Transpose", [y], { perm: [0, 1, 2] });
    y = b.one("Concat", [y], { axis: 0 });
    y = b.one("Reshape", [y, b.ints([1, 2, -1])]);
    y = b.one("Pad", [y, b.ints([0, 0, 0, 0, 0, 0])]);
    y = b.one("Expand", [y, b.ints([2, 1])]);
    const [z] = b.node("Identity", [y], { outputs: ["z"] });
    b.output(z!, FLOAT, [1, 2, 3]);
    const model = await check(removeIdentities, b.build());
    expect(ops(model)).toEqual({ Relu: 1 });
    expect(model.graph.nodes[0]!.outputs).toEqual(["z"]);
  });

  test("keeps nodes that work: other types and shapes, input to output, one value for two outputs", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 2, 3]);
    b.output(b.one("Cast", [b.one("Cast", [x], { to: DataType.DOUBLE })], { to: FLOAT }), FLOAT, [1, 2, 3]);
    b.output(b.one("Reshape", [x, b.ints([1, 6])]), FLOAT, [1, 6]);
    b.output(b.one("Identity", [x]), FLOAT, [1, 2, 3]);
    const relu = b.one("Relu", [x]);
    b.output(relu, FLOAT, [1, 2, 3]);
    b.output(b.one("Identity", [relu]), FLOAT, [1, 2, 3]);
    const model = b.build();
    expect(removeIdentities(model)).toEqual({ model, changed: false });
  });
});

describe("cancelTransposes", () => {
  const toNhwc = { perm: [0, 2, 3, 1] };
  const toNchw = { perm: [0, 3, 1, 2] };

  test("inverse pairs vanish, others merge", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 2, 3, 4]);
    const y = b.one("Transpose", [b.one("Transpose", [b.one("Relu", [x])], toNhwc)], toNchw);
    b.output(b.one("Sigmoid", [y]), FLOAT, [1, 2, 3, 4]);
    b.output(b.one("Transpose", [b.one("Transpose", [x], toNhwc)], toNhwc), FLOAT, [1, 4, 2, 3]);
    const model = removeDead(await check(cancelTransposes, b.build())).model;
    expect(ops(model)).toEqual({ Relu: 1, Sigmoid: 1, Transpose: 1 });
  });

  test("SiLU and arithmetic with constants between transposes", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 2, 3, 4]);
    const inner = b.one("Transpose", [b.one("Relu", [x])], toNhwc);
    const silu = b.one("Mul", [inner, b.one("Sigmoid", [inner])]);
    const scaled = b.one("Add", [b.one("Mul", [silu, b.weight([2])]), b.weight([])]);
    const both = b.one("Add", [scaled, b.one("Transpose", [x], toNhwc)]);
    b.output(b.one("Transpose", [both], toNchw), FLOAT, [1, 2, 3, 4]);
    const model = removeDead(await check(cancelTransposes, b.build())).model;
    expect(ops(model)["Transpose"]).toBeUndefined();
  });

  test("keeps transposes whose region does not close", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [1, 2, 3, 4]);
    const inner = b.one("Sigmoid", [b.one("Transpose", [x], toNhwc)]);
    b.output(b.one("Transpose", [inner], toNchw), FLOAT, [1, 2, 3, 4]);
    b.output(inner, FLOAT, [1, 3, 4, 2]); // seen from outside in NHWC
    const soft = b.one("Softmax", [b.one("Transpose", [x], toNhwc)], { axis: 3 });
    b.output(b.one("Transpose", [soft], toNchw), FLOAT, [1, 2, 3, 4]);
    const model = b.build();
    expect(cancelTransposes(model)).toEqual({ model, changed: false });
  });
});

describe("small passes", () => {
  const chain = (): Builder => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [2]);
    b.output(b.one("Add", [b.one("Mul", [x, b.weight([2])]), b.weight([2])]), FLOAT, [2]);
    return b;
  };

  test("removeDead drops unreachable nodes, initializers and shapes", async () => {
    const b = chain();
    b.one("Neg", [b.one("Relu", [b.weight([7])])]);
    const model = b.build();
    model.graph.valueInfo.push({ name: "gone", dataType: FLOAT });
    const live = await check(removeDead, model);
    expect(ops(live)).toEqual({ Mul: 1, Add: 1 });
    expect(live.graph.initializers).toHaveLength(2);
    expect(live.graph.valueInfo).toEqual([]);
  });

  test("topoSort orders, keeps what is ordered, names a cycle", async () => {
    const model = chain().build();
    expect(topoSort(model)).toEqual({ model, changed: false });
    const reversed = { ...model, graph: { ...model.graph, nodes: model.graph.nodes.toReversed() } };
    expect(topoSort(reversed).model).toEqual(model);
    const [first, second] = model.graph.nodes;
    const nodes = [{ ...first!, inputs: [second!.outputs[0]!, "w0"] }, second!];
    expect(() => topoSort({ ...model, graph: { ...model.graph, nodes } })).toThrow(
      expect.objectContaining({ code: "CHECK_FAILED" }),
    );
  });

  test("nameNodes makes names unique and keeps good ones", () => {
    const model = chain().build();
    const [mul, add] = model.graph.nodes;
    const nodes = [
      { ...mul!, name: "" },
      { ...add!, name: "" },
      { ...mul!, name: "Mul_0" },
      { ...add!, name: "Mul_0" },
    ];
    const named = nameNodes({ ...model, graph: { ...model.graph, nodes } }).model;
    expect(named.graph.nodes.map(({ name }) => name)).toEqual(["Mul_1", "Add_0", "Mul_0", "Mul_0_0"]);
    expect(nameNodes(named).changed).toBe(false);
  });

  test("pruneOpsets drops unused domains only", () => {
    const b = chain();
    b.node("Gelu", ["x"], { domain: "com.microsoft" });
    const model = b.build({ opsets: { "com.microsoft.nchwc": 1 } });
    expect(pruneOpsets(model).model.opsetImport.map(({ domain }) => domain)).toEqual(["", "com.microsoft"]);
    const functions = { ...model, unknown: [Uint8Array.of(0xca, 0x01, 0)] };
    expect(pruneOpsets(functions).changed).toBe(false);
  });

  test("dedupeInitializers shares equal constants", async () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, [2]);
    const data = new Float32Array([1, 2]);
    const [p, q, r] = ["p", "q", "r"].map((name, i) =>
      b.initializer(name, FLOAT, i === 2 ? [1, 2] : [2], data.slice()),
    );
    b.output(b.one("Add", [b.one("Mul", [x, p!]), b.one("Mul", [b.one("Neg", [q!]), r!])]), FLOAT, [1, 2]);
    const model = await check(dedupeInitializers, b.build());
    expect(model.graph.initializers.map(({ name }) => name)).toEqual(["p", "r"]);
  });

  test("shortNames keeps the interface", async () => {
    const model = await check(shortNames, chain().build());
    expect(model.graph.nodes[0]!.outputs).toEqual(["t0"]);
    expect(model.graph.nodes[1]!.outputs).toEqual(["Add_1_out0"]);
  });
});

describe("optimizeModel", () => {
  function traced(): Model {
    const b = new Builder();
    const x = b.input("images", FLOAT, [1, 3, 8, 8]);
    let y = b.one("Identity", [x]);
    for (const [channels, inputs] of [
      [4, 3],
      [4, 4],
    ] as const) {
      const kernel = b.one("Transpose", [b.weight([3, 3, inputs, channels])], { perm: [3, 2, 0, 1] });
      const conv = b.one("Conv", [y, kernel], { pads: [1, 1, 1, 1] });
      const parameters = [
        b.weight([channels]),
        b.weight([channels]),
        b.weight([channels]),
        b.weight([channels], 0.1, 2),
      ];
      const bn = b.one("BatchNormalization", [conv, ...parameters], { epsilon: { float: 1e-3 } });
      const nhwc = b.one("Transpose", [bn], { perm: [0, 2, 3, 1] });
      y = b.one("Transpose", [b.one("Mul", [nhwc, b.one("Sigmoid", [nhwc])])], { perm: [0, 3, 1, 2] });
    }
    b.one("Relu", [y]);
    const model = b.build({ contrib: true });
    b.node("Reshape", [y, b.ints([1, 4, -1])], { outputs: ["output0"] });
    b.output("output0", FLOAT, [1, 4, 64]);
    return { ...model, graph: b.graph() };
  }

  test("reduces a traced network to convolutions and activations with the same outputs", async () => {
    const model = await check(optimizeModel, traced(), 3e-6);
    expect(ops(model)).toEqual({ Conv: 2, Mul: 2, Sigmoid: 2, Reshape: 1 });
    expect(model.graph.initializers).toHaveLength(5);
    expect(checkModel(model)).toEqual([]);
    expect(census(model).parameters).toBe(3 * 4 * 9 + 4 + 4 * 4 * 9 + 4);
  });

  test("modelHash ignores names, order and documentation, and sees everything else", () => {
    const model = optimizeModel(traced()).model;
    const hash = modelHash(model);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    const renamed = shortNames(model).model;
    const noted = { ...renamed, docString: "x", producerName: "y", metadataProps: [{ key: "date", value: "today" }] };
    const graph = {
      ...noted.graph,
      nodes: noted.graph.nodes.toReversed().map((node, i) => ({ ...node, name: `n${i}` })),
    };
    expect(modelHash({ ...noted, graph })).toBe(hash);
    const weights = model.graph.initializers.map((tensor, i) => {
      const rawData = tensor.rawData!.slice();
      if (i === 0) rawData[0]! ^= 1;
      return { ...tensor, rawData };
    });
    expect(modelHash({ ...model, graph: { ...model.graph, initializers: weights } })).not.toBe(hash);
    const nodes = model.graph.nodes.map((node) => (node.opType === "Sigmoid" ? { ...node, opType: "Tanh" } : node));
    expect(modelHash({ ...model, graph: { ...model.graph, nodes } })).not.toBe(hash);
    expect(modelHash({ ...model, opsetImport: [{ domain: "", version: 16 }] })).not.toBe(hash);
  });
});
