import { spawnSync } from "node:child_process";
import process from "node:process";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { OnnxRuntimeBackend } from "./backend.js";
import { configure, delegatedKernels } from "./index.js";

beforeAll(() => tf.ready());
beforeEach(() => tf.setBackend("onnxruntime").then(() => undefined));

/** The values of a tensor expression; nothing stays behind. */
function read(fn: () => tf.Tensor): number[] {
  return tf.tidy(() => Array.from(fn().dataSync()) as never) as unknown as number[];
}
const int = (values: number[]) => tf.tensor1d(values, "int32");

describe("golden values of tfjs", () => {
  test("integer division rounds down", () => {
    expect(read(() => tf.div(int([7, -7, 7, -7]), int([2, 2, -2, -2])))).toEqual([3, -4, -4, 3]);
  });
  test("the remainder has the divisor's sign", () => {
    expect(read(() => tf.mod(int([7, -7, 7, -7]), int([3, 3, -3, -3])))).toEqual([1, 2, -2, -1]);
  });
  test("rounding halves goes to even", () => {
    expect(read(() => tf.round(tf.tensor1d([0.5, 1.5, 2.5, -0.5, -1.5]))).map((x) => x + 0)).toEqual([0, 2, 2, 0, -2]);
  });
  test("a cast to int32 truncates and wraps around", () => {
    expect(read(() => tf.cast(tf.tensor1d([1.9, -1.9, Number.NaN, Infinity, 3e9]), "int32"))).toEqual([
      1, -1, 0, 0, -1294967296,
    ]);
  });
  test("a cast to bool takes NaN for true", () => {
    expect(read(() => tf.cast(tf.tensor1d([0, -0, 0.1, Number.NaN]), "bool"))).toEqual([0, 0, 1, 1]);
  });
  test("cumsum, exclusive and reverse", () => {
    expect(read(() => tf.cumsum(tf.tensor1d([1, 2, 3]), 0, true, true))).toEqual([5, 3, 0]);
    const gradient = () => tf.grad((x) => tf.cumsum(x, 0, true, true))(tf.tensor1d([1, 2, 3]), tf.ones([3]));
    expect(read(gradient)).toEqual([0, 1, 2]);
  });
  test("scatterND adds what meets, an update keeps the last", () => {
    const at = () => tf.tensor2d([[1], [1]], [2, 1], "int32");
    expect(read(() => tf.scatterND(at(), tf.tensor1d([5, 7]), [3]))).toEqual([0, 12, 0]);
    expect(read(() => tf.tensorScatterUpdate(tf.zeros([3]), at(), tf.tensor1d([5, 7])))).toEqual([0, 7, 0]);
  });
  test("max pooling tells places in NHWC", () => {
    const x = () => tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 2]);
    expect(read(() => tf.maxPoolWithArgmax(x(), 2, 2, "valid")["result"]!)).toEqual([7, 8]);
    expect(read(() => tf.maxPoolWithArgmax(x(), 2, 2, "valid")["indexes"]!)).toEqual([6, 7]);
  });
  test("a symmetric mirror repeats the border", () => {
    expect(read(() => tf.mirrorPad(tf.tensor1d([1, 2, 3]), [[2, 2]], "symmetric"))).toEqual([2, 1, 1, 2, 3, 3, 2]);
  });
  test("of equal maxima the first takes the gradient of a pooling", () => {
    const gradient = () => tf.grad((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid"))(tf.ones([1, 2, 2, 1]));
    expect(read(gradient)).toEqual([1, 0, 0, 0]);
  });
  test("one-hot rows of indices out of range are off", () => {
    expect(read(() => tf.oneHot(int([-1, 1, 3]), 3))).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 0]);
  });
});

describe("NaN", () => {
  test("max and min propagate it from every position", () => {
    for (let at = 0; at < 37; at++) {
      const row = Array.from({ length: 37 }, (_, i) => (i === at ? Number.NaN : Math.sin(i) * 100));
      expect(read(() => tf.max(tf.tensor1d(row)))).toEqual([Number.NaN]);
      expect(read(() => tf.min(tf.tensor2d([row, row.map(() => Infinity)]), 1))).toEqual([Number.NaN, Infinity]);
    }
  });
  test("infinities of both signs are no NaN", () => {
    expect(read(() => tf.max(tf.tensor1d([-Infinity, Infinity, 1])))).toEqual([Infinity]);
  });
  test("nan: fast compiles the plain reduction, which is equal without NaN", () => {
    configure({ nan: "fast" });
    expect(read(() => tf.max(tf.tensor2d([1, 5, 2, -1, -7, -2], [2, 3]), 1))).toEqual([5, -1]);
    configure({ nan: "exact" });
    expect(read(() => tf.max(tf.tensor1d([1, Number.NaN, 2])))).toEqual([Number.NaN]);
  });
  test("argMax passes over it", () => {
    expect(read(() => tf.argMax(tf.tensor2d([1, Number.NaN, 2, Number.NaN, 4, 3], [2, 3]), 1))).toEqual([2, 1]);
  });
});

describe("division that would trap", () => {
  test("a process survives -2^31 / -1 and x / 0", () => {
    const program = `
      import "@seg/tfjs-onnxruntime";
      import * as tf from "@tensorflow/tfjs";
      await tf.setBackend("onnxruntime");
      const a = tf.tensor1d([-(2 ** 31), 5, -5, 0, -(2 ** 31)], "int32");
      const b = tf.tensor1d([-1, 0, 0, 0, 0], "int32");
      const out = [tf.div(a, b), tf.floorDiv(a, b), tf.mod(a, b), tf.cumprod(a), tf.pow(a, b)].map((t) => [...t.dataSync()]);
      console.log(JSON.stringify(out));`;
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ["--conditions=@seg/source", "--import", "tsx", "--input-type=module", "-e", program],
      { encoding: "utf8", cwd: new URL("..", import.meta.url) },
    );
    expect({ status, signal }, stderr).toEqual({ status: 0, signal: null });
    const [div, floorDiv, mod] = JSON.parse(stdout.trim().split("\n").pop()!) as number[][];
    expect(div).toEqual([-(2 ** 31), 0, 0, 0, 0]);
    expect(floorDiv).toEqual(div);
    expect(mod).toEqual([0, 0, 0, 0, 0]);
  });
});

describe("ownership", () => {
  type Step = "clone" | "reshape" | "cast" | "expand" | "keep" | "drop" | "read" | "add";
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom<Step>("clone", "reshape", "cast", "expand", "keep", "drop", "read", "add"),
      which: fc.nat(),
    }),
    { maxLength: 25 },
  );

  test("whatever is cloned, viewed, kept, read and disposed in whatever order, values hold and nothing is left", () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const backend = tf.engine().backend;
        const before = { ids: backend.numDataIds(), tensors: tf.memory().numTensors };
        const live: { tensor: tf.Tensor; first: number }[] = [{ tensor: tf.tensor2d([1, 2, 3, 4], [2, 2]), first: 1 }];
        for (const { what, which } of sequence) {
          if (live.length === 0) break;
          const { tensor, first } = live[which % live.length]!;
          const add = (made: tf.Tensor, value = first) => live.push({ tensor: made, first: value });
          if (what === "clone") add(tf.clone(tensor));
          else if (what === "reshape") add(tf.reshape(tensor, [4]));
          else if (what === "cast") add(tf.cast(tensor, tensor.dtype));
          else if (what === "expand") add(tf.expandDims(tensor, 0));
          else if (what === "keep") add(tf.tidy(() => tf.keep(tf.clone(tensor))));
          else if (what === "add") add(tf.add(tensor, 1), first + 1);
          else if (what === "read") expect(tensor.dataSync()[0]).toBe(first);
          else live.splice(which % live.length, 1)[0]!.tensor.dispose();
        }
        for (const { tensor, first } of live) expect(tensor.dataSync()[0]).toBe(first);
        for (const { tensor } of live) tensor.dispose();
        expect(tf.memory().numTensors).toBe(before.tensors);
        expect(backend.numDataIds()).toBe(before.ids);
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  test("a variable shares its initial data and lets go of what it held", () => {
    const before = tf.engine().backend.numDataIds();
    const initial = tf.tensor1d([1, 2]);
    const variable = tf.variable(initial);
    initial.dispose();
    for (let i = 0; i < 3; i++) {
      const next = tf.add(variable, 1) as tf.Tensor1D;
      variable.assign(next);
      next.dispose();
    }
    expect(Array.from(variable.dataSync())).toEqual([4, 5]);
    variable.dispose();
    expect(tf.engine().backend.numDataIds()).toBe(before);
  });

  test("an application's own kernel makes and drops tensors of the backend", () => {
    const before = tf.engine().backend.numDataIds();
    tf.registerKernel({
      kernelName: "TestTwice",
      backendName: "onnxruntime",
      kernelFunc: ({ inputs, backend }) => {
        const own = backend as OnnxRuntimeBackend;
        const scratch = own.makeTensorInfo([1], "float32", Float32Array.of(0));
        own.disposeIntermediateTensorInfo(scratch);
        const x = (inputs as tf.NamedTensorInfoMap)["x"]!;
        const data = own.readSync(x.dataId) as Float32Array;
        return own.makeTensorInfo(
          x.shape,
          "float32",
          data.map((v) => 2 * v),
        );
      },
    });
    expect(read(() => tf.engine().runKernel("TestTwice", { x: tf.add(tf.tensor1d([1, 2]), 1) } as never))).toEqual([
      4, 6,
    ]);
    tf.unregisterKernel("TestTwice", "onnxruntime");
    expect(tf.engine().backend.numDataIds()).toBe(before);
  });

  test("tensors and their views move to the cpu backend and back", async () => {
    const base = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
    const view = tf.reshape(base, [3, 2]);
    const pending = tf.mul(base, 2);
    const text = tf.tensor1d(["a", "b"]);
    const number = tf.complex(tf.tensor1d([1, 2]), tf.tensor1d([3, 4]));
    await tf.setBackend("cpu");
    expect(read(() => tf.add(view, 1))).toEqual([2, 3, 4, 5, 6, 7]);
    expect(read(() => tf.sub(pending, base))).toEqual([1, 2, 3, 4, 5, 6]);
    const made = tf.square(view);
    const alias = tf.reshape(made, [6]);
    await tf.setBackend("onnxruntime");
    expect(read(() => tf.transpose(view))).toEqual([1, 3, 5, 2, 4, 6]);
    made.dispose();
    expect(read(() => tf.add(alias, 1))).toEqual([2, 5, 10, 17, 26, 37]);
    expect(tf.concat([text, text]).dataSync()).toEqual(["a", "b", "a", "b"]);
    expect(read(() => tf.imag(tf.mul(number, number)))).toEqual([6, 16]);
  });
});

describe("delegates", () => {
  test("are counted and leave nothing in the cpu backend", () => {
    const cpu = tf.engine().findBackend("cpu");
    const before = {
      own: tf.engine().backend.numDataIds(),
      cpu: cpu.numDataIds(),
      calls: delegatedKernels()["Unique"] ?? 0,
    };
    const { values, indices } = tf.unique(tf.tidy(() => tf.add(tf.tensor1d([1, 0, 1]), 1)) as tf.Tensor1D);
    expect([Array.from(values.dataSync()), Array.from(indices.dataSync())]).toEqual([
      [2, 1],
      [0, 1, 0],
    ]);
    values.dispose();
    indices.dispose();
    expect(cpu.numDataIds()).toBe(before.cpu);
    expect(delegatedKernels()["Unique"]).toBe(before.calls + 1);
  });

  test("that throw leave nothing either", () => {
    const cpu = tf.engine().findBackend("cpu");
    const before = cpu.numDataIds();
    expect(() => tf.sparse.sparseReshape(tf.tensor2d([[0]], [1, 1], "int32"), int([3]), int([2]))).toThrow();
    expect(cpu.numDataIds()).toBe(before);
  });
});
