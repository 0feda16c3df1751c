import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { assignValues, compile } from "./index.js";

describe.each(["onnxruntime", "cpu"])("assignValues on %s", (backend) => {
  const variable = async (...values: number[]) => {
    await tf.setBackend(backend);
    return tf.variable(tf.tensor1d(values));
  };

  test("gives a variable other values and makes no tensor", async () => {
    const w = await variable(1, 2);
    const before = tf.memory().numTensors;
    for (const k of [3, 4, 5]) {
      assignValues(w, Float32Array.of(k, k));
      expect(Array.from(w.dataSync())).toEqual([k, k]);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  test("leaves clones, and what was computed from the old values but not read, as they were", async () => {
    const w = await variable(1, 2);
    const clone = w.clone();
    const pending = tf.mul(w, 10);
    clone.dispose();
    const kept = tf.mul(w, 1);
    const second = w.clone();
    assignValues(w, Float32Array.of(7, 8));
    expect(Array.from(second.dataSync())).toEqual([1, 2]);
    second.dispose();
    assignValues(w, Float32Array.of(9, 9));
    expect([pending, kept, w].map((x) => Array.from(x.dataSync()))).toEqual([
      [10, 20],
      [1, 2],
      [9, 9],
    ]);
  });

  test("refuses another number of values; the variable stays", async () => {
    const w = await variable(1, 2);
    expect(() => assignValues(w, Float32Array.of(1, 2, 3))).toThrow();
    expect(Array.from(w.dataSync())).toEqual([1, 2]);
  });

  test("inside a compiled function it is part of every call", async () => {
    const w = await variable(1, 2);
    const step = compile((x: tf.Tensor) => {
      assignValues(w, Float32Array.of(5, 6));
      return tf.mul(x, w);
    });
    for (let i = 0; i < 2; i++) {
      assignValues(w, Float32Array.of(0, 0));
      expect(Array.from(step(tf.scalar(2)).dataSync())).toEqual([10, 12]);
      expect(Array.from(w.dataSync())).toEqual([5, 6]);
    }
  });
});
