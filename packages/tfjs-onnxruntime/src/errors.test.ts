import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OnnxRuntimeBackend } from "./backend.js";
import { SegError } from "./errors.js";
import { hostValue, record } from "./graph.js";
import { clearCache, compile, configure, EngineError, trace } from "./index.js";
import { lowering } from "./kernels/define.js";

beforeEach(async () => {
  await tf.setBackend("onnxruntime");
  clearCache();
});

afterEach(() => {
  configure({
    source: false,
    memoryLimit: Number.POSITIVE_INFINITY,
    maxGraphNodes: 200_000,
    maxGraphBytes: 0x7fffffff,
  });
  // Whatever went wrong, the engine computes.
  expect(Array.from(tf.add(tf.tensor1d([1, 2]), 1).dataSync())).toEqual([2, 3]);
});

const caught = (fn: () => unknown): EngineError => {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("nothing was thrown");
};

describe("EngineError", () => {
  test("operands that do not fit: the kernel, its shapes and dtypes, tfjs's message", () => {
    const error = caught(() => tf.add(tf.ones([2, 3]), tf.ones([4])));
    expect(error).toMatchObject({
      code: "ENGINE_OPERANDS",
      op: "Add",
      shapes: [[2, 3], [4]],
      dtypes: ["float32", "float32"],
      source: null,
    });
    expect(error.message).toMatch(/^Operands could not be broadcast together/);
  });

  test.each([
    ["Real", (x: tf.Tensor) => tf.real(tf.fft(tf.complex(x, x)))],
    ["ComplexAbs", (x: tf.Tensor) => tf.abs(tf.complex(x, x))],
  ] as const)("a gradient through complex numbers, at %s, which tfjs cannot carry", (op, fn) => {
    const x = tf.tensor1d([1, 2]);
    const error = caught(() => tf.grad((x) => tf.sum(fn(x)))(x));
    expect(error).toMatchObject({ code: "ENGINE_UNSUPPORTED", op });
    expect(error.hint).toContain("ops.fft");
    expect(
      tf
        .grad((x) => tf.sum(tf.square(x)))(x)
        .dataSync(),
    ).toEqual(Float32Array.of(2, 4));
  });

  test("names the line on request", () => {
    configure({ source: true });
    const error = caught(() => tf.add(tf.ones([2, 3]), tf.ones([4])));
    expect(error.source).toMatch(/errors\.test\.ts:\d+:\d+$/);
    expect(error.message).toContain(error.source!);
  });

  test("a failed run names the kernel that failed, its line, and leaves values pending", () => {
    configure({ source: true });
    const x = tf.tensor1d([1, 2, 3]);
    const index = tf.tensor1d([7], "int32");
    const wrong = tf.gatherND(x, tf.reshape(index, [1, 1]));
    const right = tf.mul(x, 2);
    const error = caught(() => right.dataSync());
    expect(error).toMatchObject({ code: "ENGINE_RUN", op: "GatherNd" });
    expect(error.shapes[0]).toEqual([3]);
    expect(error.dtypes).toContain("float32");
    expect(error.source).toMatch(/errors\.test\.ts:\d+:\d+$/);
    wrong.dispose();
    expect(Array.from(right.dataSync())).toEqual([2, 4, 6]);
  });

  /** A pending tensor of a recorded operation, as a kernel with a mistake would leave it. */
  const pending = (op: string): tf.Tensor => {
    const [value] = record({
      op,
      inputs: [hostValue(Float32Array.of(1), [1], "float32")],
      outputs: [{ shape: [1], dtype: "float32" }],
    });
    const dataId = (tf.backend() as OnnxRuntimeBackend).register(value!);
    return tf.engine().makeTensorFromTensorInfo({ dataId, shape: [1], dtype: "float32" });
  };

  test("a graph that the runtime refuses names the kernel", () => {
    lowering("TestRefused", (c, node) => {
      c.set(node.outputs[0]!, c.emit("NoSuchOperator", [c.plain(node.inputs[0]!)]));
    });
    const x = pending("TestRefused");
    const error = caught(() => x.dataSync());
    expect(error.code).toBe("ENGINE_COMPILE");
    expect(error.message).toMatch(/NoSuchOperator/);
    x.dispose();
  });

  test("a recorded operation without ONNX form", () => {
    const x = pending("TestUnknown");
    expect(caught(() => x.dataSync())).toMatchObject({ code: "ENGINE_UNSUPPORTED", op: "TestUnknown", shapes: [[1]] });
    x.dispose();
  });

  test("a result of another size than inferred, which would be a mistake of this package", () => {
    lowering("TestShape", (c, node) => {
      const x = c.plain(node.inputs[0]!);
      c.set(node.outputs[0]!, c.emit("Concat", [x, x], { axis: 0 }));
    });
    const x = pending("TestShape");
    const error = caught(() => x.dataSync());
    expect(["ENGINE_SHAPE", "ENGINE_COMPILE"]).toContain(error.code);
    expect(error.op).toBe("TestShape");
    x.dispose();
  });

  test("a dtype that a kernel does not take", () => {
    const error = caught(() => tf.engine().runKernel("Exp", { x: tf.complex([1], [2]) }));
    expect(error).toMatchObject({ code: "ENGINE_OPERANDS", op: "Exp", dtypes: ["complex64"], shapes: [[1]] });
  });

  test("there is no device memory to read from", () => {
    expect(caught(() => tf.ones([1]).dataToGPU()).code).toBe("ENGINE_UNSUPPORTED");
  });

  test("a graph above maxGraphNodes", () => {
    configure({ maxGraphNodes: 10 });
    const y = tf.tidy(() => {
      let x: tf.Tensor = tf.scalar(0);
      for (let i = 0; i < 20; i++) x = tf.add(x, 1);
      return x;
    });
    const error = caught(() => y.dataSync());
    expect(error.code).toBe("ENGINE_GRAPH_TOO_LARGE");
    expect(error.hint).toMatch(/flush/);
    configure({ maxGraphNodes: 200_000 });
    expect(y.dataSync()[0]).toBe(20);
  });

  test("a graph above memoryLimit: its largest result is named", () => {
    configure({ memoryLimit: 1e6 });
    const y = tf.tidy(() => tf.sum(tf.exp(tf.fill([1000, 1000], 0))));
    const error = caught(() => y.dataSync());
    expect(error).toMatchObject({ code: "ENGINE_MEMORY", shapes: [[1000, 1000]] });
    configure({ memoryLimit: Number.POSITIVE_INFINITY });
    expect(y.dataSync()[0]).toBe(1e6);
  });

  test("a disposed tensor", () => {
    const x = tf.tensor1d([1, 2]);
    x.dispose();
    const error = caught(() => tf.add(x, 1));
    expect(error).toMatchObject({ code: "ENGINE_DISPOSED", op: "Add" });
    expect(error.hint).toMatch(/tf\.keep/);
  });

  test("a disposed compiled function", () => {
    const f = compile((x: tf.Tensor) => tf.mul(x, 2));
    f.dispose();
    expect(caught(() => f(tf.scalar(1))).code).toBe("ENGINE_DISPOSED");
  });

  test("a value read inside a trace", () => {
    const error = caught(() => trace(({ x }) => ({ y: tf.mul(x!, x!.dataSync()[0]!) }), { x: { shape: [2] } }));
    expect(error.code).toBe("TRACE_DATA_DEPENDENT");
  });

  test("settings: the nearest known name, and nothing is changed", () => {
    const error = caught(() => configure({ threds: 4 } as never));
    expect(error.code).toBe("ENGINE_CONFIG");
    expect(error.message).toMatch(/"threds".*"threads"/);
    expect(caught(() => configure({ memoryLimit: -1 })).message).toMatch(/memoryLimit.*positive/);
    expect(caught(() => configure({ optimization: "fast" as never })).message).toMatch(
      /disabled, basic, extended, all/,
    );
    expect(caught(() => configure({ spinning: 1 as never })).message).toMatch(/spinning.*true or false/);
  });

  test("is recognised by its brand", () => {
    expect(SegError.isInstance(caught(() => configure({ nope: 1 } as never)))).toBe(true);
  });
});
