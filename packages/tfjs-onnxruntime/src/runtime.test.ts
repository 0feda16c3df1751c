import Module from "node:module";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

/** Node's own loader of CommonJS, through which the native binding comes. */
const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown };
const load = loader._load;

/** A fresh copy of the package whose native binding is what `change` makes of the real one. */
async function engineWith(change: (real: never) => unknown): Promise<typeof import("./index.js")> {
  vi.resetModules();
  // One engine state per process: settings and sessions of other copies do not matter here, but their kernels would be used.
  delete (globalThis as Record<symbol, unknown>)[Symbol.for("@seg/engine")];
  if ("onnxruntime" in tf.engine().registryFactory) tf.removeBackend("onnxruntime");
  for (const { kernelName } of tf.getKernelsForBackend("onnxruntime")) tf.unregisterKernel(kernelName, "onnxruntime");
  loader._load = (request, ...rest) => {
    const real = load(request, ...rest);
    return request === "onnxruntime-node/dist/binding.js" ? change(real as never) : real;
  };
  const engine = await import("./index.js");
  await tf.setBackend("onnxruntime");
  return engine;
}

beforeAll(() => {
  tf.env().set("PROD", true);
});

beforeEach(() => {
  return () => {
    loader._load = load;
  };
});

describe("feeds", () => {
  test("memory shared between threads, and views with an offset", async () => {
    await engineWith((real) => real);
    const shared = new Float32Array(new SharedArrayBuffer(16));
    shared.set([1, 2, 3, 4]);
    const view = new Float32Array(Float32Array.of(9, 9, 1, 2).buffer, 8, 2);
    expect(Array.from(tf.mul(tf.tensor1d(shared), 2).dataSync())).toEqual([2, 4, 6, 8]);
    expect(Array.from(tf.mul(tf.tensor1d(view), 2).dataSync())).toEqual([2, 4]);
  });
});

describe("a native binding that does not load", () => {
  test("says platform, Node and remedy; recording goes on, and once it loads everything pending runs", async () => {
    const engine = await engineWith(() => {
      throw new Error("libonnxruntime.so.1: cannot open shared object file");
    });
    const y = tf.add(tf.tensor1d([1, 2]), 1);
    const error = await y.data().catch((e: unknown) => e);
    expect(error).toMatchObject({ name: "EngineError", code: "ENGINE_BINDING" });
    expect((error as Error).message).toContain(`${process.platform}-${process.arch}`);
    expect((error as Error).message).toContain("cannot open shared object file");
    expect((error as { hint: string }).hint).toContain("ONNXRUNTIME_NODE_INSTALL=skip");
    expect(() => engine.engineInfo()).toThrow(/did not load/);
    loader._load = load;
    expect(Array.from(y.dataSync())).toEqual([2, 3]);
  });
});

/** Newer sources of the binding return a promise from `run`. */
describe("a runtime that only runs asynchronously", () => {
  interface Binding {
    binding: { InferenceSession: new () => { run(...args: unknown[]): unknown } };
  }
  const asynchronous = (real: Binding): Binding => {
    const Native = real.binding.InferenceSession;
    class Later extends Native {
      override run(...args: unknown[]): unknown {
        return new Promise((resolve, reject) => {
          setImmediate(() => {
            try {
              resolve(super.run(...args));
            } catch (error) {
              reject(error);
            }
          });
        });
      }
    }
    return { ...real, binding: { ...real.binding, InferenceSession: Later as never } };
  };

  test("data() works, several at once too; dataSync() says what to do", async () => {
    const engine = await engineWith(asynchronous as never);
    const x = tf.tensor1d([1, 2]);
    const y = tf.add(x, 1);
    const z = tf.mul(y, 10);
    expect(engine.engineInfo().sync).toBe(false);
    let code = "";
    try {
      y.dataSync();
    } catch (error) {
      code = (error as { code: string }).code;
    }
    expect(code).toBe("ENGINE_NO_SYNC");
    const [a, b, c] = await Promise.all([y.data(), z.data(), y.data()]);
    expect([a, b, c].map((v) => Array.from(v as Float32Array))).toEqual([
      [2, 3],
      [20, 30],
      [2, 3],
    ]);
    // What has been computed can be read at once.
    expect(Array.from(z.dataSync())).toEqual([20, 30]);
  });

  test("a failed run rejects and leaves values pending", async () => {
    await engineWith(asynchronous as never);
    const x = tf.tensor1d([1, 2, 3]);
    const wrong = tf.gatherND(x, tf.tensor2d([[7]], [1, 1], "int32"));
    const right = tf.mul(x, 2);
    await expect(right.data()).rejects.toMatchObject({ code: "ENGINE_RUN", op: "GatherNd" });
    wrong.dispose();
    expect(Array.from(await right.data())).toEqual([2, 4, 6]);
  });
});
