import * as tf from "@tensorflow/tfjs";
import { beforeEach, describe, expect, test } from "vitest";
import { clearCache, configure, EngineError, engineInfo, ops, trace } from "./index.js";

beforeEach(async () => {
  await tf.setBackend("onnxruntime");
  clearCache();
});

const runsOf = (fn: () => void) => {
  const before = engineInfo();
  fn();
  const after = engineInfo();
  return { runs: after.runs - before.runs, misses: after.misses - before.misses };
};

describe("recording", () => {
  test("nothing runs before a value is read, then one graph runs", () => {
    const counts = runsOf(() => {
      const { runs } = engineInfo();
      const y = tf.add(tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])), 1);
      expect(engineInfo().runs).toBe(runs);
      expect(Array.from(y.dataSync())).toEqual([4, 4, 4, 4]);
    });
    expect(counts).toEqual({ runs: 1, misses: 1 });
  });

  test("a flush runs everything live, so later reads are free", () => {
    const counts = runsOf(() => {
      const a = tf.mul(tf.tensor1d([1, 2]), 2);
      const b = tf.add(a, 1);
      b.dataSync();
      a.dataSync();
    });
    expect(counts.runs).toBe(1);
  });

  test("disposed intermediates are not outputs", () => {
    const pending = () => (tf.memory() as unknown as { pendingValues: number }).pendingValues;
    const before = pending();
    const y = tf.tidy(() => tf.sum(tf.mul(tf.add(tf.ones([64]), 1), 3)));
    expect(pending()).toBe(before + 1);
    expect(Array.from(y.dataSync())).toEqual([384]);
    expect(pending()).toBe(0);
  });

  test("a view takes its shape from the tensor, not from the shared data", () => {
    const x = tf.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
    const view = tf.reshape(tf.add(x, 0), [3, 2]);
    expect(tf.sum(view, 1).arraySync()).toEqual([3, 7, 11]);
    expect(tf.expandDims(view, 1).shape).toEqual([3, 1, 2]);
  });

  test("tensors move from and to the cpu backend, pending ones too", async () => {
    const pending = tf.mul(tf.tensor1d([1, 2, 3]), 2);
    await tf.setBackend("cpu");
    const doubled = tf.mul(pending, 2);
    await tf.setBackend("onnxruntime");
    expect(Array.from(tf.add(doubled, 1).dataSync())).toEqual([5, 9, 13]);
  });

  test("tidy and dispose leave no data behind", () => {
    const before = tf.memory().numDataBuffers;
    tf.tidy(() => {
      const x = tf.variable(tf.ones([4]));
      const { grads, value } = tf.variableGrads(() => tf.sum(tf.square(x)) as tf.Scalar, [x]);
      value.dataSync();
      expect(Array.from(Object.values(grads)[0]!.dataSync())).toEqual([2, 2, 2, 2]);
      x.dispose();
    });
    expect(tf.memory().numDataBuffers).toBe(before);
  });
});

describe("session cache", () => {
  test("values that change never recompile: 100 learning rates, one compilation", () => {
    const w = tf.variable(tf.ones([3]));
    const counts = runsOf(() => {
      for (let step = 0; step < 100; step++) {
        const next = tf.tidy(() =>
          tf.clipByValue(tf.sub(w, tf.mul(tf.scalar(0.1 / (step + 1)), tf.square(w))), -step, step + 1),
        );
        w.assign(next);
        next.dispose();
        w.dataSync();
      }
    });
    expect(counts.misses).toBe(1);
    w.dispose();
  });

  test("another shape is another session", () => {
    const counts = runsOf(() => {
      for (const n of [2, 3, 2]) tf.sum(tf.mul(tf.ones([n]), 2)).dataSync();
    });
    expect(counts).toEqual({ runs: 3, misses: 2 });
  });

  test("the least recently used session is dropped beyond cacheSize", () => {
    configure({ cacheSize: 2 });
    for (const n of [2, 3, 4, 5]) tf.sum(tf.ones([n])).dataSync();
    expect(engineInfo().sessions).toBeLessThanOrEqual(2);
    configure({ cacheSize: 32 });
  });

  test("and beyond cacheBytes, whatever their number", () => {
    const before = engineInfo().cacheBytes;
    configure({ cacheBytes: 3_000_000 });
    for (const n of [500_000, 500_001, 500_002]) tf.tidy(() => tf.sum(tf.square(tf.ones([n]))).dataSync());
    expect(engineInfo().sessions).toBe(1);
    configure({ cacheBytes: before });
  });
});

describe("layout", () => {
  const chain = (images: tf.Tensor, weight: tf.Tensor) => {
    const filter = tf.transpose(weight, [2, 3, 1, 0]) as tf.Tensor4D;
    let x = images as tf.Tensor4D;
    for (let i = 0; i < 3; i++) x = ops.silu(tf.conv2d(x, filter, 1, 1));
    return x;
  };

  test("an NHWC convolution chain on NCHW input traces without any Transpose", () => {
    const weight = tf.ones([3, 3, 3, 3]);
    const model = trace(
      ({ images }) => ({ y: tf.transpose(chain(tf.transpose(images!, [0, 2, 3, 1]), weight), [0, 3, 1, 2]) }),
      { images: { shape: [1, 3, 8, 8] } },
      { constants: { "conv.weight": weight } },
    );
    const ops_ = model.graph.nodes.map((n) => n.opType);
    expect(ops_.filter((op) => op === "Transpose")).toEqual([]);
    expect(ops_.filter((op) => op === "Conv")).toHaveLength(3);
    expect(model.graph.initializers.map((t) => t.name)).toContain("conv.weight");
    expect(model.graph.outputs.map((o) => o.name)).toEqual(["y"]);
    expect(new Set(model.graph.nodes.map((n) => n.domain))).toEqual(new Set([""]));
  });
});

describe("batch normalisation", () => {
  test("recovers after a batch with NaN", () => {
    const step = (value: number) =>
      tf.tidy(() => {
        const x = tf.tensor(
          Float32Array.from({ length: 16 }, (_, i) => (i === 3 ? value : i)),
          [1, 2, 2, 4],
        );
        const { y } = ops.batchNormTrain({
          x,
          scale: tf.ones([4]) as tf.Tensor1D,
          offset: tf.zeros([4]) as tf.Tensor1D,
          eps: 1e-3,
        });
        return y.dataSync().slice() as never;
      }) as unknown as Float32Array;
    const clean = step(1);
    expect(step(Number.NaN).some(Number.isNaN)).toBe(true);
    expect(step(1)).toEqual(clean);
  });
});

describe("errors", () => {
  const codeOf = (fn: () => unknown): string => {
    try {
      fn();
    } catch (error) {
      expect(error).toBeInstanceOf(EngineError);
      return (error as EngineError).code;
    }
    return "none";
  };

  test("a delegated kernel inside a trace is refused by name", () => {
    expect(() => trace(({ x }) => ({ y: tf.multinomial(x as tf.Tensor1D, 2) }), { x: { shape: [3] } })).toThrow(
      /Multinomial.*runs on the cpu backend/,
    );
  });

  test("reading inside a trace is refused", () => {
    expect(codeOf(() => trace(({ x }) => ({ y: tf.mul(x!, x!.dataSync()[0]!) }), { x: { shape: [2] } }))).toBe(
      "TRACE_DATA_DEPENDENT",
    );
    expect(Array.from(tf.add(tf.ones([1]), 1).dataSync())).toEqual([2]);
  });

  test("strings are computed on the cpu backend", () => {
    expect(tf.concat([tf.tensor1d(["a"]), tf.tensor1d(["b"])]).dataSync()).toEqual(["a", "b"]);
  });

  test("unknown settings change nothing", () => {
    const threads = engineInfo().threads;
    expect(codeOf(() => configure({ threds: 4 } as never))).toBe("ENGINE_CONFIG");
    expect(codeOf(() => configure({ threads: 0 }))).toBe("ENGINE_CONFIG");
    expect(engineInfo().threads).toBe(threads);
  });
});

describe("determinism", () => {
  test("the same program yields the same bytes again", () => {
    const once = () =>
      tf.tidy(() => {
        const x = tf.tensor(
          Float32Array.from({ length: 2 * 9 * 9 * 4 }, (_, i) => Math.sin(i)),
          [2, 9, 9, 4],
        ) as tf.Tensor4D;
        const w = tf.tensor(
          Float32Array.from({ length: 144 }, (_, i) => Math.cos(i)),
          [4, 4, 3, 3],
        );
        const g = tf.grad((f: tf.Tensor) =>
          tf.sum(ops.silu(tf.conv2d(x, tf.transpose(f, [2, 3, 1, 0]) as tf.Tensor4D, 2, 1, "NHWC", 1, "floor"))),
        )(w);
        return g.dataSync().slice() as never;
      }) as unknown as Float32Array;
    const first = once();
    clearCache();
    expect(Buffer.from(once().buffer).equals(Buffer.from(first.buffer))).toBe(true);
  });
});
