import { compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { RandomSource } from "../random-source.js";
import { Dropout, DropPath } from "./dropout.js";

describe.each(["cpu", "onnxruntime"])("Dropout and DropPath on %s", (backend) => {
  test("identity in evaluation; in training a share of zeros, the rest scaled, by seed, step and name", async () => {
    await tf.setBackend(backend);
    const before = tf.memory().numTensors;
    const random = new RandomSource(7);
    const layer = new Dropout({ rate: 0.25, random, name: "a" });
    const x = tf.ones([4000]);
    const run = (of: Dropout = layer) => {
      const y = tf.tidy(() => of.forward(x).clone());
      const values = Array.from(y.dataSync());
      y.dispose();
      return values;
    };
    expect(run().every((value) => value === 1)).toBe(true);
    layer.train();
    const first = run();
    expect(new Set(first.map((value) => value.toFixed(5)))).toEqual(new Set(["0.00000", "1.33333"]));
    expect(Math.abs(first.filter((value) => value === 0).length / 4000 - 0.25)).toBeLessThan(0.03);
    expect(run()).toEqual(first);
    random.setStep(1);
    const second = run();
    expect(second).not.toEqual(first);
    expect(run(new Dropout({ rate: 0.25, random, name: "b" }).train())).not.toEqual(second);
    random.setStep(0);
    expect(run()).toEqual(first);
    x.dispose();
    random.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("DropPath drops whole samples", async () => {
    await tf.setBackend(backend);
    const layer = new DropPath({ rate: 0.5, random: new RandomSource(1), name: "a" }).train();
    const rows = tf.tidy(() => layer.forward(tf.ones([64, 2, 3])).arraySync() as number[][][]);
    for (const row of rows) expect(new Set(row.flat()).size).toBe(1);
    expect(new Set(rows.map((row) => row[0]![0]))).toEqual(new Set([0, 2]));
  });
});

test("a compiled function draws what each step says", async () => {
  await tf.setBackend("onnxruntime");
  const random = new RandomSource(3);
  const layer = new Dropout({ rate: 0.5, random, name: "a" }).train();
  const plain = (x: tf.Tensor) => layer.forward(tf.mul(x, 1));
  const compiled = compile(plain);
  const x = tf.ones([32]);
  const seen = [0, 1, 2, 1].map((step) => {
    random.setStep(step);
    const values = compiled(x).dataSync().join();
    expect(
      tf
        .tidy(() => plain(x))
        .dataSync()
        .join(),
    ).toBe(values);
    return values;
  });
  expect(new Set(seen).size).toBe(3);
  expect(seen[1]).toBe(seen[3]);
});

test("rates outside [0, 1) are refused", () => {
  expect(() => new Dropout({ rate: 1, random: new RandomSource(0), name: "a" })).toThrow(RangeError);
  expect(() => new DropPath({ rate: -0.1, random: new RandomSource(0), name: "a" })).toThrow(RangeError);
});
