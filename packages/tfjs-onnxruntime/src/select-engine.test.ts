import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { EngineError, ops, selectEngine } from "./index.js";

beforeAll(() => {
  tf.env().set("PROD", true);
});

afterEach(async () => {
  delete process.env["SEG_ENGINE"];
  await selectEngine();
});

const absent = (name: string): Promise<never> =>
  Promise.reject(Object.assign(new Error(`Cannot find package '${name}'`), { code: "ERR_MODULE_NOT_FOUND" }));

describe("selectEngine", () => {
  test("is this package by default", async () => {
    expect(await selectEngine()).toBe("onnxruntime");
    expect(tf.getBackend()).toBe("onnxruntime");
  });

  test("follows SEG_ENGINE", async () => {
    process.env["SEG_ENGINE"] = "cpu";
    expect(await selectEngine()).toBe("cpu");
    expect(tf.getBackend()).toBe("cpu");
  });

  test("an unknown name", async () => {
    const error = await selectEngine({ engine: "tensorflw" }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "ENGINE_CONFIG" });
    expect((error as Error).message).toContain('"tensorflow"');
  });

  test("a package that is not installed: the command, and the backend stays", async () => {
    const asked: string[] = [];
    const error = await selectEngine({
      engine: "tensorflow",
      load: (name) => {
        asked.push(name);
        return absent(name);
      },
    }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ code: "ENGINE_PEER_MISSING" });
    expect((error as Error).message).toContain("npm install @tensorflow/tfjs-node@4.22.0");
    expect(asked).toEqual(["@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-node"]);
    expect(tf.getBackend()).toBe("onnxruntime");
    expect(Array.from(tf.add(tf.tensor1d([1]), 1).dataSync())).toEqual([2]);
  });

  test("a package that loads and brings no backend", async () => {
    const error = await selectEngine({ engine: "tensorflow", load: async () => ({}) }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "ENGINE_PEER_MISSING" });
    expect(tf.getBackend()).toBe("onnxruntime");
  });

  test("the processor's package is taken where the GPU's is missing", async () => {
    const asked: string[] = [];
    const load = async (name: string): Promise<void> => {
      asked.push(name);
      if (name.endsWith("gpu")) await absent(name);
      // What importing tfjs-node does.
      tf.registerBackend("tensorflow", () => tf.findBackendFactory("cpu")() as tf.KernelBackend);
    };
    try {
      expect(await selectEngine({ engine: "tensorflow", load })).toBe("tensorflow");
    } finally {
      await selectEngine();
      tf.removeBackend("tensorflow");
    }
    expect(asked).toHaveLength(2);
  });
});

describe("the same model code on every engine", () => {
  /** Convolution, batch normalisation, SiLU, attention-like product: values and, where the engine has the kernels, gradients. */
  const run = async (engine: string, withGradients: boolean): Promise<number[][]> => {
    await selectEngine({ engine });
    return tf.tidy(() => {
      const wave = (shape: number[], step: number) =>
        tf.tensor(
          Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * step)),
          shape,
        );
      const x = wave([2, 6, 6, 3], 0.7) as tf.Tensor4D;
      const forward = (filter: tf.Tensor, dense: tf.Tensor) => {
        const features = tf.conv2d(x, filter as tf.Tensor4D, 2, "same");
        const { y } = ops.batchNormTrain({
          x: features,
          scale: tf.ones([4]) as tf.Tensor1D,
          offset: tf.zeros([4]) as tf.Tensor1D,
          eps: 1e-3,
        });
        const tokens = tf.reshape(ops.silu(y), [18, 4]);
        return tf.softmax(
          tf.matMul(ops.layerNorm({ x: tokens, scale: tf.ones([4]), offset: tf.zeros([4]), eps: 1e-5 }), dense),
        );
      };
      const filter = wave([3, 3, 3, 4], 0.3);
      const dense = wave([4, 5], 1.1);
      const results = [forward(filter, dense)];
      if (withGradients) {
        const weights = wave([18, 5], 0.9);
        results.push(...tf.grads((f, d) => tf.sum(tf.mul(forward(f!, d!), weights)))([filter, dense]));
      }
      return results.map((t) => Array.from(t.dataSync())) as never;
    }) as unknown as number[][];
  };

  const close = (actual: number[][], expected: number[][]): void => {
    expect(actual.map((v) => v.length)).toEqual(expected.map((v) => v.length));
    actual.forEach((values, k) => {
      const scale = Math.max(...expected[k]!.map(Math.abs));
      values.forEach((value, i) => {
        expect(Math.abs(value - expected[k]![i]!) / scale).toBeLessThan(1e-4);
      });
    });
  };

  test("cpu", async () => {
    close(await run("onnxruntime", true), await run("cpu", true));
  });

  // tfjs's wasm backend has no gradient of a convolution's filter.
  test("wasm, forward", async () => {
    close(await run("wasm", false), (await run("onnxruntime", false)).slice(0, 1));
  });
});
