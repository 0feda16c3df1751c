import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import {
  type AttributeInput,
  DataType,
  type Dim,
  GraphBuilder,
  inferShapes,
  inferShapesWithRuntime,
  inferValues,
  type Model,
} from "./index.js";

const { FLOAT, INT64 } = DataType;

class Builder extends GraphBuilder {
  #count = 0;
  one(op: string, inputs: readonly string[], attributes: Record<string, AttributeInput> = {}): string {
    return this.node(op, inputs, { attributes })[0]!;
  }
  weight(dims: readonly number[]): string {
    return this.initializer(
      `w${this.#count++}`,
      FLOAT,
      dims,
      new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(1),
    );
  }
  ints(data: readonly number[]): string {
    return this.initializer(`i${this.#count++}`, INT64, [data.length], data);
  }
}

/** The operators of a YOLOv8-seg export in small, and a quantised tail. */
function yoloLike(batch: Dim): Model {
  const b = new Builder();
  const x = b.input("images", FLOAT, [batch, 3, 32, 48]);
  const conv = (input: string, inputs: number, outputs: number, kernel: number, stride = 1): string => {
    const pad = kernel >> 1;
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] };
    const y = b.one("Conv", [input, b.weight([outputs, inputs, kernel, kernel]), b.weight([outputs])], attributes);
    return b.one("Mul", [y, b.one("Sigmoid", [y])]);
  };
  const p3 = conv(conv(x, 3, 8, 3, 2), 8, 8, 3, 2);
  const [left, right] = b.node("Split", [p3, b.ints([4, 4])], { outputs: 2, attributes: { axis: 1 } });
  const c2f = conv(
    b.one("Concat", [left!, right!, b.one("Add", [right!, conv(right!, 4, 4, 3)])], { axis: 1 }),
    12,
    8,
    1,
  );
  const p4 = conv(c2f, 8, 8, 3, 2);
  const pool = b.one("MaxPool", [p4], { kernel_shape: [5, 5], pads: [2, 2, 2, 2], strides: [1, 1] });
  const up = b.one("Resize", [pool, "", b.initializer("scales", FLOAT, [4], new Float32Array([1, 1, 2, 2]))], {
    mode: "nearest",
    coordinate_transformation_mode: "asymmetric",
    nearest_mode: "floor",
  });
  const neck = b.one("Concat", [up, c2f], { axis: 1 });
  const proto = b.one("ConvTranspose", [neck, b.weight([16, 4, 2, 2])], { strides: [2, 2], kernel_shape: [2, 2] });
  b.output(proto, FLOAT);
  const flat = b.one("Reshape", [conv(neck, 16, 64 + 3, 1), b.ints([0, 67, -1])]);
  const [box, scores] = b.node("Split", [flat, b.ints([64, 3])], { outputs: 2, attributes: { axis: 1 } });
  const bins = b.one("Transpose", [b.one("Reshape", [box!, b.ints([0, 4, 16, 96])])], { perm: [0, 2, 1, 3] });
  const dfl = b.one("Conv", [b.one("Softmax", [bins], { axis: 1 }), b.weight([1, 16, 1, 1])], { kernel_shape: [1, 1] });
  const distances = b.one("Reshape", [dfl, b.ints([0, 4, 96])]);
  const lt = b.one("Slice", [distances, b.ints([0]), b.ints([2]), b.ints([1])]);
  const rb = b.one("Slice", [distances, b.ints([2]), b.ints([2 ** 40]), b.ints([1]), b.ints([1])]);
  const anchors = b.weight([1, 2, 96]);
  const x1y1 = b.one("Sub", [anchors, lt]);
  const x2y2 = b.one("Add", [anchors, rb]);
  const xy = b.one("Div", [b.one("Add", [x1y1, x2y2]), b.weight([])]);
  const boxes = b.one("Mul", [b.one("Concat", [xy, b.one("Sub", [x2y2, x1y1])], { axis: 1 }), b.weight([1, 96])]);
  b.output(b.one("Concat", [boxes, b.one("Sigmoid", [scores!])], { axis: 1 }), FLOAT);
  // Further operators: reductions, gather, products, shape arithmetic, quantisation.
  const pooled = b.one("ReduceMean", [neck], { axes: [2, 3], keepdims: 0 });
  const dense = b.one("Gemm", [pooled, b.weight([5, 16])], { transB: 1 });
  const rows = b.one("MatMul", [b.one("Unsqueeze", [dense, b.ints([1])]), b.weight([5, 7])]);
  const sum = b.one("ReduceSum", [b.one("Squeeze", [rows, b.ints([1])]), b.ints([-1])]);
  const scale = b.initializer("scale", FLOAT, [], [0.1]);
  const zero = b.initializer("zero", DataType.INT8, [], [0]);
  const q = b.one("QuantizeLinear", [sum, scale, zero]);
  b.output(b.one("DequantizeLinear", [q, scale, zero]), FLOAT);
  const picked = b.one(
    "Gather",
    [b.one("Cast", [scores!], { to: DataType.DOUBLE }), b.initializer("rows", INT64, [2, 1], [0, 2])],
    { axis: 1 },
  );
  b.output(b.one("Flatten", [picked], { axis: 1 }), DataType.DOUBLE);
  b.output(b.one("ArgMax", [scores!], { axis: 1, keepdims: 0 }), INT64);
  b.output(b.one("Greater", [b.one("GlobalAveragePool", [neck]), scale]), DataType.BOOL);
  b.output(b.one("Pad", [neck, b.ints([0, 1, 0, 0, 0, 0, 0, 2])]), FLOAT);
  const [values] = b.node("TopK", [b.one("ReduceMax", [scores!], { axes: [1], keepdims: 0 }), b.ints([10])], {
    outputs: 2,
  });
  b.output(values!, FLOAT);
  b.output(b.one("Expand", [b.one("Unsqueeze", [values!, b.ints([0])]), b.ints([4, 1, 1])]), FLOAT);
  return b.build();
}

const table = (model: Model): Record<string, unknown> => {
  const entries = model.graph.valueInfo.map(({ name, dataType, shape }) => [name, { dataType, shape }]);
  return Object.fromEntries(entries);
};

describe("inferShapes", () => {
  test("every value of a YOLOv8-seg-like graph equals what onnxruntime infers", async () => {
    const model = yoloLike(2);
    const inferred = inferShapes(model);
    expect(inferred.unknown).toEqual([]);
    const runtime = await inferShapesWithRuntime(model, ort);
    expect(table(inferred.model)).toEqual(table(runtime.model));
    expect(inferred.model.graph.valueInfo.length).toBeGreaterThan(50);
    const session = await ort.InferenceSession.create((await import("./index.js")).encodeModel(model));
    const feeds = { images: new ort.Tensor("float32", new Float32Array(2 * 3 * 32 * 48), [2, 3, 32, 48]) };
    const results = await session.run(feeds);
    for (const { name, shape } of inferred.model.graph.outputs) expect(shape).toEqual([...results[name]!.dims]);
    expect(inferShapes(inferred.model)).toMatchObject({ changed: false, model: inferred.model });
    expect(model.graph.valueInfo).toEqual([]);
  });

  test("a symbolic batch stays symbolic", () => {
    const values = inferValues(yoloLike("batch"));
    for (const [name, { shape }] of values) {
      if (name.startsWith("w") || name.startsWith("i")) continue;
      expect(shape?.every((dim) => typeof dim === "number" || dim === "batch") ?? false, `${name} ${shape}`).toBe(true);
    }
    const { graph } = yoloLike("batch");
    expect(values.get(graph.outputs[1]!.name)!.shape).toEqual(["batch", 7, 96]);
  });

  test("what is not known stays unknown", () => {
    const b = new Builder();
    const x = b.input("x", FLOAT, ["n", 4]);
    const target = b.input("target", INT64, [3]);
    const reshaped = b.one("Reshape", [x, target]);
    const odd = b.node("Something", [x], { domain: "my.domain" })[0]!;
    const added = b.one("Add", [odd, x]);
    const mixed = b.one("Add", [x, b.input("y", FLOAT, ["m", 4])]);
    const half = b.one("Reshape", [x, b.ints([-1, 2])]);
    const values = inferValues(b.build());
    expect(values.get(reshaped)).toEqual({ dataType: FLOAT, shape: [null, null, null] });
    expect(values.has(odd)).toBe(false);
    expect(values.get(added)).toEqual({ dataType: FLOAT });
    expect(values.get(mixed)).toEqual({ dataType: FLOAT, shape: [null, 4] });
    expect(values.get(half)).toEqual({ dataType: FLOAT, shape: [null, 2] });
    expect(inferShapes(b.build()).unknown).toEqual([reshaped, odd, added, mixed, half]);
  });

  test("recorded types are kept where no rule knows better", () => {
    const b = new Builder();
    const odd = b.node("Something", [b.input("x", FLOAT, [1])], { domain: "my.domain" })[0]!;
    const y = b.one("Relu", [odd]);
    const model = b.build();
    model.graph.valueInfo.push({ name: odd, dataType: FLOAT, shape: [7] });
    expect(inferValues(model).get(y)).toEqual({ dataType: FLOAT, shape: [7] });
  });

  test.each([
    ["ceil_mode", { kernel_shape: [2], strides: [2], ceil_mode: 1 }, [1, 1, 3]],
    [
      "ceil_mode with a window in the padding",
      { kernel_shape: [1], strides: [3], ceil_mode: 1, pads: [0, 2] },
      [1, 1, null],
    ],
    ["SAME_UPPER", { kernel_shape: [3], strides: [2], auto_pad: "SAME_UPPER" }, [1, 1, 3]],
    ["dilations", { kernel_shape: [2], dilations: [3] }, [1, 1, 2]],
  ])("MaxPool of 5 elements with %s", (_, attributes, expected) => {
    const b = new Builder();
    const y = b.one("MaxPool", [b.input("x", FLOAT, [1, 1, 5])], attributes as Record<string, AttributeInput>);
    expect(inferValues(b.build()).get(y)!.shape).toEqual(expected);
  });
});
