import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { clearCache, compile, configure, EngineError, effect, engineInfo } from "./index.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
});

afterEach(() => tf.disposeVariables());

const codeOf = (run: () => unknown): string | null => {
  try {
    run();
  } catch (error) {
    return EngineError.isInstance(error) ? error.code : String(error);
  }
  return null;
};

describe("compile", () => {
  test("feeds arguments, does not run the function again", () => {
    let runs = 0;
    const f = compile((x: tf.Tensor, y: { a: tf.Tensor }) => {
      runs++;
      return { sum: tf.add(x, y.a), parts: [tf.neg(x), tf.square(y.a)] };
    });
    f(tf.scalar(1), { a: tf.scalar(2) });
    const traced = runs;
    const { sum, parts } = f(tf.scalar(5), { a: tf.scalar(3) });
    expect([sum, ...parts].map((t) => t.dataSync()[0])).toEqual([8, -5, 9]);
    expect(runs).toBe(traced);
    expect(f.stats()).toMatchObject({ calls: 2, replays: 2, signatures: 1 });
  });

  test("records each signature once", () => {
    const f = compile((x: tf.Tensor) => tf.sum(x));
    for (const shape of [[2], [3], [2], [3], [2, 2]]) f(tf.ones(shape));
    expect(f.stats()).toMatchObject({ calls: 5, signatures: 3 });
    expect(f(tf.ones([3])).dataSync()).toEqual(Float32Array.of(3));
  });

  test("feeds variables with their current values and assigns those that the function assigns", () => {
    const w = tf.variable(tf.scalar(2));
    const step = compile((x: tf.Tensor) => {
      w.assign(tf.mul(w, x));
      return tf.square(w);
    });
    expect(step(tf.scalar(3)).dataSync()[0]).toBe(36);
    expect(w.dataSync()[0]).toBe(6);
    expect(step(tf.scalar(2)).dataSync()[0]).toBe(144);
    w.assign(tf.scalar(1));
    expect(step(tf.scalar(5)).dataSync()[0]).toBe(25);
  });

  test("keeps two variables apart that begin with the same tensor", () => {
    const start = tf.scalar(1);
    const [a, b] = [tf.variable(start), tf.variable(start)];
    const f = compile((x: tf.Tensor) => {
      a.assign(tf.add(a, x));
      return tf.add(tf.mul(a, 10), b);
    });
    expect(f(tf.scalar(1)).dataSync()[0]).toBe(21);
    expect(f(tf.scalar(1)).dataSync()[0]).toBe(31);
  });

  test("swaps variables: an output may be the old value of another", () => {
    const [a, b] = [tf.variable(tf.scalar(1)), tf.variable(tf.scalar(2))];
    const swap = compile(() => {
      const old = a.clone();
      a.assign(b);
      b.assign(old);
    });
    swap();
    swap();
    swap();
    expect([a.dataSync()[0], b.dataSync()[0]]).toEqual([2, 1]);
  });

  test("leaves a clone of a variable as it was", () => {
    const w = tf.variable(tf.scalar(1));
    const increment = compile(() => w.assign(tf.add(w, 1)));
    increment();
    const before = w.clone();
    increment();
    expect([before.dataSync()[0], w.dataSync()[0]]).toEqual([2, 3]);
  });

  test("feeds other tensors by identity, and says when one is gone", () => {
    const table = tf.tensor1d([1, 2, 3]);
    const f = compile((x: tf.Tensor) => tf.mul(tf.reshape(table, [3, 1]), x), { name: "lookup" });
    expect([...f(tf.scalar(2)).dataSync()]).toEqual([2, 4, 6]);
    expect([...f(tf.scalar(3)).dataSync()]).toEqual([3, 6, 9]);
    table.dispose();
    expect(codeOf(() => f(tf.scalar(2)))).toBe("COMPILE_CAPTURE_DISPOSED");
  });

  test("returns arguments, constants and views as well as computed values", () => {
    const f = compile((x: tf.Tensor) => [x, tf.scalar(7), tf.reshape(x, [2, 1]), tf.reshape(tf.neg(x), [1, 2])]);
    f(tf.tensor1d([1, 2]));
    const given = f(tf.tensor1d([3, 4]));
    expect(given.map((t) => [t.shape, ...t.dataSync()])).toEqual([
      [[2], 3, 4],
      [[], 7],
      [[2, 1], 3, 4],
      [[1, 2], -3, -4],
    ]);
  });

  test("what kernels make on the host inside is a constant", () => {
    const f = compile((x: tf.Tensor) => tf.add(x, tf.mul(tf.range(0, 3), tf.linspace(1, 3, 3))));
    f(tf.scalar(0));
    expect([...f(tf.scalar(1)).dataSync()]).toEqual([1, 3, 7]);
  });

  test("refuses to read values inside, and stays usable", () => {
    const w = tf.variable(tf.scalar(1));
    const reads = [
      (x: tf.Tensor) => tf.scalar(x.dataSync()[0]!),
      (x: tf.Tensor) => tf.scalar(tf.neg(x).dataSync()[0]!),
      () => tf.scalar(w.dataSync()[0]!),
    ];
    const delegated = (x: tf.Tensor) => tf.multinomial(x as tf.Tensor1D, 2, 1);
    expect(codeOf(() => compile(delegated)(tf.tensor1d([0, 1, 2])))).toBe("COMPILE_DATA_DEPENDENT");
    for (const read of reads) expect(codeOf(() => compile(read)(tf.scalar(1)))).toBe("COMPILE_DATA_DEPENDENT");
    try {
      compile(reads[0]!)(tf.scalar(1));
    } catch (error) {
      expect((error as EngineError).source).toMatch(/compile\.test\.ts:\d+/);
    }
    expect(tf.add(w, 1).dataSync()[0]).toBe(2);
  });

  test("an error inside leaves variables and the number of tensors unchanged", () => {
    const w = tf.variable(tf.scalar(1));
    const f = compile((x: tf.Tensor) => {
      w.assign(tf.add(w, x));
      throw new RangeError("no");
    });
    const argument = tf.scalar(1);
    const before = tf.memory().numTensors;
    expect(() => f(argument)).toThrow("no");
    expect(tf.memory().numTensors).toBe(before);
    expect(w.dataSync()[0]).toBe(1);
  });

  test("makes no tensor beyond its result, on the first call and later", () => {
    const w = tf.tidy(() => tf.variable(tf.ones([4])));
    const f = compile((x: tf.Tensor) => {
      w.assign(tf.mul(w, x));
      return [tf.neg(w), tf.sum(w)];
    });
    const argument = tf.scalar(2);
    const before = tf.memory().numTensors;
    const ids = tf.backend().numDataIds();
    for (let i = 0; i < 3; i++) tf.dispose(f(argument));
    expect(tf.memory().numTensors).toBe(before);
    expect(tf.backend().numDataIds()).toBe(ids);
  });

  test("names the line that draws random numbers on the host, or runs such a function as it is", () => {
    const noisy = (x: tf.Tensor) => tf.add(x, tf.randomNormal([4]));
    try {
      compile(noisy)(tf.scalar(0));
      expect.unreachable();
    } catch (error) {
      expect((error as EngineError).code).toBe("COMPILE_VOLATILE");
      expect((error as EngineError).source).toMatch(/compile\.test\.ts:\d+/);
    }
    const rerun = compile(noisy, { onVolatile: "rerun" });
    rerun(tf.scalar(0));
    expect([...rerun(tf.scalar(0)).dataSync()]).not.toEqual([...rerun(tf.scalar(0)).dataSync()]);
  });

  test("repeats effects with every call", () => {
    let count = 0;
    const f = compile((x: tf.Tensor) => {
      effect(() => {
        count++;
      });
      return tf.neg(x);
    });
    for (let i = 0; i < 4; i++) f(tf.scalar(i));
    expect(count).toBe(4);
    effect(() => {
      count = 100;
    });
    expect(count).toBe(100);
  });

  test("disposes donated arguments", () => {
    const f = compile((x: tf.Tensor, y: tf.Tensor) => tf.add(x, y), { donate: [1] });
    const [x, y] = [tf.scalar(1), tf.scalar(2)];
    expect(f(x, y).dataSync()[0]).toBe(3);
    expect([x.isDisposed, y.isDisposed]).toEqual([false, true]);
  });

  test("refuses numbers and class instances as arguments", () => {
    const f = compile((x: tf.Tensor) => tf.neg(x));
    expect(codeOf(() => f(3 as never))).toBe("COMPILE_SIGNATURE");
    expect(codeOf(() => f(new Map() as never))).toBe("COMPILE_SIGNATURE");
  });

  test("takes pending arguments", () => {
    const f = compile((x: tf.Tensor) => tf.mul(x, 2));
    expect(f(tf.add(tf.scalar(1), 1)).dataSync()[0]).toBe(4);
    expect(f(tf.add(tf.scalar(2), 1)).dataSync()[0]).toBe(6);
  });

  test("compiles again when its session was dropped", () => {
    const f = compile((x: tf.Tensor) => tf.mul(x, 2));
    f(tf.scalar(1));
    const { sessions } = engineInfo();
    clearCache();
    expect(f(tf.scalar(4)).dataSync()[0]).toBe(8);
    configure({ cacheSize: 1 });
    const g = compile((x: tf.Tensor) => tf.mul(x, 3));
    for (let i = 1; i < 4; i++) {
      expect(f(tf.scalar(i)).dataSync()[0]).toBe(2 * i);
      expect(g(tf.scalar(i)).dataSync()[0]).toBe(3 * i);
      expect(engineInfo().sessions).toBe(1);
    }
    configure({ cacheSize: 32 });
    expect(sessions).toBeGreaterThan(0);
  });

  test("inside another compiled function it is part of that graph", () => {
    const inner = compile((x: tf.Tensor) => tf.square(x));
    const outer = compile((x: tf.Tensor) => tf.add(inner(x), 1));
    expect(outer(tf.scalar(3)).dataSync()[0]).toBe(10);
    expect(outer(tf.scalar(4)).dataSync()[0]).toBe(17);
    expect(inner.stats().replays).toBe(0);
  });

  test("the gradient of a repeated tensor is a graph of few nodes, however often it is repeated", () => {
    const f = compile((x: tf.Tensor) => tf.grad((v: tf.Tensor) => tf.sum(tf.square(tf.tile(v, [500, 3]))))(x));
    const dx = f(tf.tensor2d([[1, 2]]));
    expect([...dx.dataSync()]).toEqual([3000, 6000]);
    expect(f.toOnnx().graph.nodes.length).toBeLessThan(20);
  });

  test("exports its graph with standard operators", () => {
    const w = tf.variable(tf.scalar(2));
    const f = compile((x: tf.Tensor) => tf.mul(x, w));
    expect(codeOf(() => f.toOnnx())).toBe("ENGINE_DISPOSED");
    f(tf.ones([3]));
    const { graph } = f.toOnnx();
    expect(graph.nodes.map((n) => n.opType)).toEqual(["Mul"]);
    expect(graph.inputs.length).toBe(2);
    f.dispose();
    expect(codeOf(() => f(tf.ones([3])))).toBe("ENGINE_DISPOSED");
  });

  test("on another backend the function runs as it is", async () => {
    await tf.setBackend("cpu");
    const f = compile((x: tf.Tensor) => tf.square(x));
    expect(f(tf.scalar(3)).dataSync()[0]).toBe(9);
    expect(f.stats().traces).toBe(0);
    await tf.setBackend("onnxruntime");
  });
});

/** A small network whose weights are variables; returns losses of `steps` and the final weights. */
function train(kind: "momentum" | "adam", steps: number, mode: "eager" | "compiled") {
  const value = (shape: number[], seed: number) =>
    tf.tensor(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * seed) * 0.3),
      shape,
    );
  const weights = [tf.variable(value([3, 3, 2, 4], 1.3)), tf.variable(value([36, 2], 0.7))];
  const optimizer = kind === "adam" ? tf.train.adam(0.01) : tf.train.momentum(0.05, 0.9);
  const body = (x: tf.Tensor, y: tf.Tensor) =>
    optimizer.minimize(
      () => {
        const h = tf.relu(tf.conv2d(x as tf.Tensor4D, weights[0] as unknown as tf.Tensor4D, 2, "same"));
        const out = tf.matMul(tf.reshape(h, [2, 36]) as tf.Tensor2D, weights[1] as unknown as tf.Tensor2D);
        return tf.mean(tf.square(tf.sub(out, y))) as tf.Scalar;
      },
      true,
      weights,
    )!;
  const step = mode === "compiled" ? compile(body) : body;
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const x = value([2, 6, 6, 2], 0.1 + (i % 5));
    const y = value([2, 2], 0.4 + (i % 3));
    losses.push(tf.tidy(() => step(x, y).dataSync()[0]!));
    tf.dispose([x, y]);
  }
  const final = weights.map((w) => [...w.dataSync()]);
  optimizer.dispose();
  tf.disposeVariables();
  return { losses, final };
}

describe("compiled training steps", () => {
  test.each(["momentum", "adam"] as const)("tfjs %s: 50 steps give the bits of eager ones", (kind) => {
    const eager = train(kind, 50, "eager");
    const compiled = train(kind, 50, "compiled");
    expect(compiled).toEqual(eager);
    expect(eager.losses[49]!).toBeLessThan(eager.losses[0]!);
  });
});

describe("parallel", () => {
  test("gives each list what a call alone gives", () => {
    const w = tf.variable(tf.randomUniform([64, 80], -1, 1, "float32", 5));
    const f = compile((x: tf.Tensor, { scale }: { scale: tf.Tensor }) => {
      const y = tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D);
      return { y: tf.mul(y, scale), top: tf.argMax(y, 1), positive: tf.greater(y, 0), sums: [tf.sum(y), tf.sum(y, 0)] };
    });
    const lists = [1, 2, 3].map((seed) => {
      return [tf.randomUniform([70, 64], -1, 1, "float32", seed), { scale: tf.scalar(seed) }] as [
        tf.Tensor,
        { scale: tf.Tensor },
      ];
    });
    for (let repeat = 0; repeat < 2; repeat++) {
      const together = f.parallel(lists);
      const alone = lists.map((list) => f(...list));
      expect(together.map(valuesOf)).toEqual(alone.map(valuesOf));
      lists.reverse();
    }
    expect(f.stats()).toMatchObject({ signatures: 2, calls: 8 });
    f.dispose();
  });

  test("sees variables as they are before the call and assigns the mean", () => {
    const mean = tf.variable(tf.tensor1d([10, 20]));
    const count = tf.variable(tf.scalar(3, "int32"));
    let effects = 0;
    const f = compile((x: tf.Tensor) => {
      mean.assign(tf.add(tf.mul(mean, 0.5), tf.mul(x, 0.5)));
      count.assign(tf.add(count, tf.scalar(1, "int32")));
      effect(() => effects++);
      return tf.sum(mean);
    });
    const results = f.parallel([[tf.tensor1d([2, 4])], [tf.tensor1d([6, 0])]]);
    expect(results.map((t) => t.dataSync()[0])).toEqual([18, 18]);
    expect(mean.dataSync()).toEqual(Float32Array.of(7, 11));
    expect(count.dataSync()).toEqual(Int32Array.of(4));
    expect(effects).toBe(1);
    f.dispose();
  });

  test("refuses lists of different shapes and another backend", async () => {
    const f = compile((x: tf.Tensor) => tf.square(x));
    expect(codeOf(() => f.parallel([[tf.ones([2])], [tf.ones([3])]]))).toBe("COMPILE_SIGNATURE");
    expect(f.parallel([])).toEqual([]);
    await tf.setBackend("cpu");
    expect(codeOf(() => f.parallel([[tf.ones([2])]]))).toBe("ENGINE_UNSUPPORTED");
    await tf.setBackend("onnxruntime");
  });

  test("goes on after a failed run and after its sessions were dropped", () => {
    const w = tf.variable(tf.scalar(2));
    const f = compile((x: tf.Tensor) => tf.mul(x, w));
    const lists: [tf.Tensor][] = [[tf.scalar(1)], [tf.scalar(5)]];
    expect(f.parallel(lists).map((t) => t.dataSync()[0])).toEqual([2, 10]);
    const gone = tf.scalar(0);
    gone.dispose();
    expect(() => f.parallel([[tf.scalar(1)], [gone]])).toThrow();
    clearCache();
    expect(f.parallel(lists).map((t) => t.dataSync()[0])).toEqual([2, 10]);
    w.dispose();
    expect(codeOf(() => f.parallel(lists))).toBe("COMPILE_CAPTURE_DISPOSED");
    f.dispose();
  });
});

const valuesOf = ({ sums, ...named }: { [name: string]: tf.Tensor | tf.Tensor[] }) =>
  [...Object.values(named), ...(sums as tf.Tensor[])].map((tensor) => (tensor as tf.Tensor).dataSync());

describe("allocate", () => {
  test("large results lie in arrays that were given, each call's in the same ones; small and assigned ones do not", async () => {
    const seen: [length: number, position: number][] = [];
    const arrays = new Map<string, Float32Array>();
    const total = tf.variable(tf.zeros([64, 80]));
    const fn = compile(
      (x: tf.Tensor) => {
        total.assign(tf.add(total, x));
        return { small: tf.sum(x), sum: tf.add(total, 0), double: tf.mul(x, 2), both: [tf.square(x)] };
      },
      {
        allocate(length, position) {
          seen.push([length, position]);
          const array = arrays.get(`${length} ${position}`) ?? new Float32Array(length);
          arrays.set(`${length} ${position}`, array);
          return array;
        },
      },
    );
    const inputs = [1, 2].map((value) => tf.fill([64, 80], value));
    const first = fn(inputs[0]!);
    const double = first.double.dataSync();
    expect([...arrays.values()]).toContain(double);
    expect(double[5]).toBe(2);
    const second = fn(inputs[1]!);
    expect(second.double.dataSync()).toBe(double);
    expect([double[5], second.both[0]!.dataSync()[7], second.small.dataSync()[0]]).toEqual([4, 4, 2 * 64 * 80]);
    expect([second.sum.dataSync()[3], total.dataSync()[3]]).toEqual([3, 3]);
    expect([...arrays.values()]).not.toContain(total.dataSync());
    expect(seen.every(([length]) => length === 64 * 80)).toBe(true);
    // Another signature with the same lengths writes the same memory.
    const reshaped = compile((x: tf.Tensor) => tf.neg(x), { allocate: () => double as Float32Array });
    tf.dispose(reshaped(tf.ones([80, 64])));
    expect(double[0]).toBe(-1);
    const wrong = compile((x: tf.Tensor) => tf.neg(x), { allocate: () => new Float32Array(3) });
    expect(() => wrong(inputs[0]!)).toThrow(/allocate\(5120, 0\).*3 elements/);
    tf.dispose([first, second, total, inputs]);
    for (const { dispose } of [fn, reshaped, wrong]) dispose();
  });
});
