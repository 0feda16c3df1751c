import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { clearCache, compile, configure, EngineError, engineInfo, freeze } from "./index.js";

beforeEach(async () => {
  await tf.setBackend("onnxruntime");
  clearCache();
});
afterEach(() => configure({ maxGraphBytes: 0x7fffffff }));

const compilations = (fn: () => void): number => {
  const before = engineInfo().misses;
  fn();
  return engineInfo().misses - before;
};

describe("freeze", () => {
  const model = (w: tf.Tensor) => (value: number) =>
    tf.tidy(() => tf.matMul(tf.fill([1, 2], value), w as tf.Tensor2D)).dataSync()[0];

  test("builds weights in after three runs with the same data: one more compilation, the same results", () => {
    const w = tf.tensor2d([1, 10], [2, 1]);
    const run = model(w);
    freeze(w);
    const results: (number | undefined)[] = [];
    const perRun = Array.from({ length: 8 }, (_, i) => compilations(() => results.push(run(i))));
    expect(perRun).toEqual([1, 0, 0, 1, 0, 0, 0, 0]);
    expect(results).toEqual([0, 11, 22, 33, 44, 55, 66, 77]);
    w.dispose();
  });

  test("in compiled functions as well: variables and captured tensors, with their data of the time", () => {
    const w = tf.variable(tf.scalar(1));
    const c = tf.scalar(100);
    const f = compile((x: tf.Tensor) => tf.add(tf.mul(x, w), c));
    const call = (value: number) => {
      const x = tf.scalar(value);
      const y = f(x);
      const [result] = y.dataSync();
      tf.dispose([x, y]);
      return result;
    };
    expect(call(2)).toBe(102);
    w.assign(tf.scalar(3));
    freeze([w, c]);
    for (let i = 0; i < 6; i++) expect(call(i)).toBe(3 * i + 100);
    w.assign(tf.scalar(4));
    expect(call(2)).toBe(108);
    clearCache();
    expect(call(3)).toBe(112);
    f.dispose();
    tf.dispose([w, c]);
  });

  test("what is not frozen is never built in", () => {
    const w = tf.tensor2d([1, 10], [2, 1]);
    const run = model(w);
    expect(compilations(() => Array.from({ length: 8 }, (_, i) => run(i)))).toBe(1);
    w.dispose();
  });

  test("an assigned variable is fed again, at one compilation, and stays so", () => {
    const w = tf.variable(tf.tensor2d([1, 10], [2, 1]));
    const run = model(w);
    freeze(w);
    for (let i = 0; i < 5; i++) run(1);
    w.assign(tf.tensor2d([2, 20], [2, 1]));
    expect(compilations(() => expect(run(1)).toBe(22))).toBe(1);
    freeze(w);
    expect(compilations(() => Array.from({ length: 8 }, () => expect(run(1)).toBe(22)))).toBe(0);
    w.dispose();
  });

  test("a weight that changes leaves the others built in", () => {
    const a = tf.variable(tf.scalar(2));
    const b = tf.scalar(10);
    const run = () => tf.tidy(() => tf.add(tf.mul(tf.scalar(3), a), b)).dataSync()[0];
    freeze([a, b]);
    for (let i = 0; i < 5; i++) run();
    a.assign(tf.scalar(5));
    expect(run()).toBe(25);
    expect(compilations(run)).toBe(0);
    tf.dispose([a, b]);
  });

  test("weights beyond the size limit go through files, which are removed", () => {
    const w = tf.tensor2d(
      Float32Array.from({ length: 4096 }, (_, i) => i),
      [64, 64],
    );
    const run = () => tf.tidy(() => tf.sum(tf.matMul(tf.ones([1, 64]), w))).dataSync()[0];
    const expected = (4095 * 4096) / 2;
    configure({ maxGraphBytes: 8192 });
    freeze(w);
    // A folder of its own: other processes write to the common one.
    const before = process.env["TMPDIR"];
    const folder = mkdtempSync(join(tmpdir(), "promotion-test-"));
    process.env["TMPDIR"] = folder;
    try {
      for (let i = 0; i < 6; i++) expect(run()).toBe(expected);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      rmSync(folder, { recursive: true });
    }
    w.dispose();
  });

  test("refuses a disposed tensor", () => {
    const w = tf.scalar(1);
    w.dispose();
    expect(() => freeze(w)).toThrow(EngineError);
  });
});

// 3 GB of weights: SEG_TEST_LARGE=1 npx vitest run --root packages/tfjs-onnxruntime src/promotion.test.ts (needs 10 GB of memory)
test.runIf(process.env["SEG_TEST_LARGE"] === "1")(
  "a model of 3 GB of frozen weights loads by path",
  { timeout: 600_000 },
  () => {
    const rows = 3;
    const length = 250_000_000;
    const weights = Array.from({ length: rows }, (_, i) => tf.tensor1d(new Float32Array(length).fill(i + 1)));
    const run = (scale: number) =>
      tf.tidy(() => tf.addN(weights.map((w) => tf.max(tf.mul(w, tf.scalar(scale)))))).dataSync()[0];
    freeze(weights);
    for (let i = 1; i <= 5; i++) expect(run(i)).toBe(6 * i);
    tf.dispose(weights);
  },
);
