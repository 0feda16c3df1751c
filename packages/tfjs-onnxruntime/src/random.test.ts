import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { compile, type EngineError, ops, random } from "./index.js";
import { threefry2x32 } from "./threefry.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});
const key = (a: number, b: number) => tf.tensor1d([a, b], "int32");

describe("threefry2x32", () => {
  // Known-answer vectors published with Random123.
  test.each([
    [0, 0, 0, 0, 0x6b200159, 0x99ba4efe],
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
    [0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3, 0xc4923a9c, 0x483df7a0],
  ])("key %i %i, counter %i %i", (k0, k1, c0, c1, ...expected) => {
    const out = new Uint32Array(2);
    threefry2x32(k0, k1, c0, c1, out);
    expect([...out]).toEqual(expected);
  });
});

describe("random", () => {
  test("equal keys give equal numbers, another key or a part of a split others", () => {
    const [a, b, c] = [random.uniform([8], key(1, 2)), random.uniform([8], key(1, 2)), random.uniform([8], key(1, 3))];
    expect([...a.dataSync()]).toEqual([...b.dataSync()]);
    expect([...a.dataSync()]).not.toEqual([...c.dataSync()]);
    const [left, right] = random.split(key(1, 2), 2).map((k) => [...random.uniform([8], k).dataSync()]);
    expect(left).not.toEqual(right);
    expect(left).not.toEqual([...a.dataSync()]);
  });

  test("has the moments of its distribution", () => {
    const mean = (x: tf.Tensor) => tf.mean(tf.cast(x, "float32")).dataSync()[0]!;
    const n = 20_001;
    const [u, z] = [random.uniform([n], key(7, 0), -1, 3), random.normal([n], key(7, 1))];
    // Four standard errors.
    expect(Math.abs(mean(u) - 1)).toBeLessThan((4 * 4) / Math.sqrt(12 * n));
    expect(Math.abs(mean(z))).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(mean(tf.square(z)) - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    expect(Math.abs(mean(random.bernoulli([n], key(7, 2), 0.3)) - 0.3)).toBeLessThan(4 * Math.sqrt(0.21 / n));
    const integers = random.randint([n], key(7, 3), -2, 3).dataSync();
    expect([Math.min(...integers), Math.max(...integers)]).toEqual([-2, 2]);
  });

  test("a compiled function draws anew with every key, the numbers of eager code", () => {
    const noisy = (x: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) => {
      const [first, second] = random.split(random.fold(seed, step), 2) as [random.RandomKey, random.RandomKey];
      return tf.add(ops.dropout({ x, rate: 0.5, key: first }), random.normal(x.shape, second));
    };
    const compiled = compile(noisy);
    const x = tf.ones([3, 5]);
    const seen = new Set<string>();
    for (let step = 0; step < 4; step++) {
      const counter = tf.scalar(step, "int32");
      const replayed = [...compiled(x, key(5, 0), counter).dataSync()];
      expect(replayed).toEqual([...noisy(x, key(5, 0), counter).dataSync()]);
      seen.add(String(replayed));
    }
    expect(seen.size).toBe(4);
    expect(compiled.stats().replays).toBe(4);
  });

  test("dropout keeps the mean and its gradient follows the mask", () => {
    const x = tf.ones([2000]);
    const y = ops.dropout({ x, rate: 0.25, key: key(3, 3) });
    expect(Math.abs(tf.mean(y).dataSync()[0]! - 1)).toBeLessThan(0.06);
    const gradient = tf.grad((v) => tf.sum(ops.dropout({ x: v, rate: 0.25, key: key(3, 3) })))(x);
    expect([...gradient.dataSync()]).toEqual([...y.dataSync()]);
  });

  test("refuses what is no key, and a key that a compiled graph computes", () => {
    const code = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        return (error as EngineError).code;
      }
      return null;
    };
    expect(code(() => random.uniform([2], tf.tensor1d([1, 2])))).toBe("ENGINE_OPERANDS");
    const computed = compile((k: tf.Tensor) => random.uniform([2], tf.add(k, key(1, 1))));
    expect(code(() => computed(key(1, 1)))).toBe("COMPILE_DATA_DEPENDENT");
  });
});
