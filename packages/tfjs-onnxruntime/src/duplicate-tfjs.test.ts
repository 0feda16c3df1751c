import * as tf from "@tensorflow/tfjs";
import { afterEach, expect, test, vi } from "vitest";
import "./index.js";

afterEach(() => {
  vi.restoreAllMocks();
  vi.resetModules();
});

const warnings = async (tensorClass: unknown): Promise<string[]> => {
  await tf.setBackend("onnxruntime");
  const { warnOfSecondTfjs } = await import("./duplicate-tfjs.js");
  const spy = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const { numTensors } = tf.memory();
  warnOfSecondTfjs(tensorClass);
  warnOfSecondTfjs(tensorClass);
  expect(tf.memory().numTensors).toBe(numTensors);
  return spy.mock.calls.map(([, options]) => (options as { code: string }).code);
};

test("one copy of tfjs-core: silent", async () => {
  expect(await warnings(tf.Tensor)).toEqual([]);
});

test("two copies: one warning", async () => {
  expect(await warnings(class Tensor {})).toEqual(["ENGINE_DUPLICATE_TFJS"]);
});
