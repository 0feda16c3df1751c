import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EngineMemory } from "./backend.js";
import { clearCache, compile, configure, engineInfo } from "./index.js";

beforeEach(async () => {
  await tf.setBackend("onnxruntime");
  clearCache();
});
afterEach(() => configure({ cacheSize: 32 }));

const memory = () => tf.memory() as unknown as tf.MemoryInfo & EngineMemory;

describe("tf.memory()", () => {
  test("counts what live tensors hold, before and after they are computed", () => {
    const before = memory();
    const x = tf.tensor1d(new Float32Array(1000));
    const y = tf.tidy(() => tf.add(tf.mul(x, 2), 1));
    expect(memory()).toMatchObject({
      unreliable: false,
      hostBytes: before.hostBytes + 4000,
      pendingValues: before.pendingValues + 1,
      pendingNodes: before.pendingNodes + 2,
    });
    y.dataSync();
    expect(memory()).toMatchObject({ hostBytes: before.hostBytes + 8000, pendingValues: 0, pendingNodes: 0 });
    expect(memory().sessionBytes).toBeGreaterThanOrEqual(4000);
    tf.dispose([x, y]);
    expect(memory().hostBytes).toBe(before.hostBytes);
    clearCache();
    expect(memory().sessionBytes).toBe(0);
  });

  test("a clone and a view share their data: it counts once, until the last of them goes", () => {
    const before = memory().hostBytes;
    const x = tf.tensor1d(new Float32Array(1000));
    const clone = x.clone();
    const view = tf.reshape(x, [10, 100]);
    expect(memory().hostBytes).toBe(before + 4000);
    tf.dispose([x, clone]);
    expect(memory().hostBytes).toBe(before + 4000);
    view.dispose();
    expect(memory().hostBytes).toBe(before);
  });

  test("int32, bool, strings and tensors that move between backends", async () => {
    const before = memory().hostBytes;
    const tensors = [tf.tensor1d([1, 2, 3], "int32"), tf.tensor1d([1, 0, 1], "bool"), tf.tensor1d(["four", "äh"])];
    expect(memory().hostBytes).toBe(before + 12 + 3 + 7);
    await tf.setBackend("cpu");
    const moved = tf.tensor1d([1, 2]);
    await tf.setBackend("onnxruntime");
    const sum = tf.add(moved, 1);
    sum.dataSync();
    expect(memory().hostBytes).toBe(before + 22 + 8 + 8);
    tf.dispose([...tensors, moved, sum]);
    expect(memory().hostBytes).toBe(before);
  });
});

describe("pending work", () => {
  test("runs by itself after maxPendingNodes kernels: a loop that reads nothing does not grow", () => {
    configure({ maxPendingNodes: 50 });
    const before = engineInfo().runs;
    let sum: tf.Tensor = tf.scalar(0);
    for (let i = 0; i < 500; i++) {
      const next = tf.add(sum, 1);
      sum.dispose();
      sum = next;
      expect(memory().pendingNodes).toBeLessThanOrEqual(51);
    }
    expect(engineInfo().runs - before).toBe(9);
    expect(sum.dataSync()[0]).toBe(500);
    sum.dispose();
    configure({ maxPendingNodes: 50_000 });
  });

  test("flushScope needed computes what is read and nothing else", () => {
    configure({ flushScope: "needed" });
    const x = tf.tensor1d([1, 2]);
    const y = tf.mul(x, 2);
    const z = tf.add(y, 1);
    expect(Array.from(y.dataSync())).toEqual([2, 4]);
    expect(memory().pendingNodes).toBe(1);
    expect(Array.from(z.dataSync())).toEqual([3, 5]);
    expect(memory().pendingNodes).toBe(0);
    tf.dispose([x, y, z]);
    configure({ flushScope: "all" });
  });
});

describe("sessions", () => {
  test("stay within cacheSize while compiled functions are alive; a dropped one compiles again when it is called", () => {
    configure({ cacheSize: 2 });
    const functions = [1, 2, 3, 4].map((k) => compile((x: tf.Tensor) => tf.mul(tf.add(x, tf.scalar(k)), x)));
    const call = (f: (x: tf.Tensor) => tf.Tensor, value: number) =>
      tf.tidy(() => f(tf.fill([3], value)).dataSync()[0]!);
    for (let round = 0; round < 3; round++) {
      functions.forEach((f, i) => {
        expect(call(f, 2)).toBe((2 + i + 1) * 2);
        expect(engineInfo().sessions).toBeLessThanOrEqual(2);
      });
      expect(tf.tidy(() => tf.sum(tf.fill([round + 5], 1)).dataSync()[0])).toBe(round + 5);
      expect(engineInfo().sessions).toBeLessThanOrEqual(2);
    }
    for (const f of functions) f.dispose();
  });
});

describe("2,000 training steps", () => {
  test("leave no memory behind: what the runtime holds shows in the resident set alone", () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    // 64 KB a weight: an array that every step forgot would be 131 MB at the end. V8's own heap grows by up to 15 MB meanwhile; a finer
    // measure, in a process of its own, is `npm run bench -- memory`.
    const w = tf.variable(tf.ones([128, 128]));
    const optimizer = tf.train.momentum(1e-3, 0.9);
    const step = (x: tf.Tensor) => {
      return optimizer.minimize(() => tf.mean(tf.square(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D))), true, [w])!;
    };
    const compiled = compile(step);
    const train = (steps: number) => {
      for (let i = 0; i < steps; i++)
        tf.tidy(() => (i % 4 === 0 ? step : compiled)(tf.fill([2, 128], i % 7)).dataSync());
      collect();
      return { rss: process.memoryUsage.rss(), tensors: tf.memory().numTensors, sessions: engineInfo().sessions };
    };
    const before = train(300);
    const after = train(2_000);
    expect({ ...after, rss: 0 }).toEqual({ ...before, rss: 0 });
    expect(after.rss - before.rss).toBeLessThan(40e6);
    compiled.dispose();
    optimizer.dispose();
    w.dispose();
  });
});
