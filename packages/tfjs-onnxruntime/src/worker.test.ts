import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import "./index.js";

const resolve = (name: string): string => pathToFileURL(createRequire(import.meta.url).resolve(name)).href;

/** Each worker loads the engine for itself: sessions and tensors are not shared. Node 20 compiles no worker's first module: it registers tsx. */
const program = `
const { parentPort, workerData } = require("node:worker_threads");
(async () => {
  const { register } = await import(workerData.tsx);
  register();
  const { configure, engineInfo } = await import(workerData.engine);
  const { default: tf } = await import(workerData.tfjs);
  tf.env().set("PROD", true);
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const values = [];
  for (let i = 0; i < 20; i++) {
    const y = tf.tidy(() => tf.sum(tf.matMul(tf.fill([32, 32], workerData.value), tf.fill([32, 32], i))));
    values.push(y.dataSync()[0]);
    y.dispose();
  }
  parentPort.postMessage({ values, runs: engineInfo().runs });
})();
`;

function run(value: number): Promise<{ values: number[]; runs: number }> {
  const worker = new Worker(program, {
    eval: true,
    workerData: {
      value,
      engine: new URL("./index.ts", import.meta.url).href,
      tfjs: resolve("@tensorflow/tfjs"),
      tsx: resolve("tsx/esm/api").replace(/\.cjs$/, ".mjs"),
    },
    execArgv: ["--conditions=@seg/source"],
  });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

test("two workers and the main thread run at once, each with its own sessions", { timeout: 60_000 }, async () => {
  await tf.setBackend("onnxruntime");
  const both = Promise.all([run(1), run(2)]);
  expect(tf.tidy(() => tf.sum(tf.ones([3]))).dataSync()[0]).toBe(3);
  const [one, two] = await both;
  const expected = (value: number) => Array.from({ length: 20 }, (_, i) => 32 * 32 * 32 * value * i);
  expect(one).toEqual({ values: expected(1), runs: 20 });
  expect(two).toEqual({ values: expected(2), runs: 20 });
});
