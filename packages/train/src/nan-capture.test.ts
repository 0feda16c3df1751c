import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Module, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fit } from "./fit.js";
import { readNanCapture } from "./nan-capture.js";
import { sgd } from "./optimizer.js";
import { paramGroups } from "./param-groups.js";
import { type LossFunction, TrainingManager } from "./training-manager.js";

const root = mkdtempSync(join(tmpdir(), "seg-nan-"));
beforeAll(async () => {
  await tf.setBackend("cpu");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("the batch of a bad step can be run again, bit for bit", async () => {
  const model = new (class extends Module {
    w = new Parameter({ data: Float32Array.of(1, 2), shape: [2, 1] });
  })();
  const loss: LossFunction = ({ x, classes }) => {
    const error = tf.mean(
      tf.mul(tf.matMul(x as tf.Tensor2D, model.w.value() as tf.Tensor2D), tf.cast(classes!, "float32")),
    );
    return { total: error as tf.Scalar, parts: { box: error as tf.Scalar } };
  };
  const training = new TrainingManager({ model, optimizer: sgd(), groups: paramGroups(model), lr: 0.1 });
  const task = {
    model,
    stepsPerEpoch: 3,
    batch(_epoch: number, step: number) {
      const inputs = {
        x: tf.tensor2d([step === 1 ? Number.NaN : 0.1, 0.25], [1, 2]),
        classes: tf.tensor2d([step + 7], [1, 1], "int32"),
      };
      return { loss, inputs, ids: [`image-${step}`], dispose: () => tf.dispose({ ...inputs }) };
    },
  };
  const run = async () => {
    for await (const _ of fit(task, { epochs: 1, directory: root, training })) void _;
  };
  await expect(run()).rejects.toMatchObject({ code: "train/non-finite-loss" });
  const report = JSON.parse(readFileSync(join(root, "nan_capture/step_00000001.json"), "utf8"));
  expect(report).toMatchObject({
    batch_ids: ["image-1"],
    losses: { box: "NaN" },
    batch: expect.stringMatching(/safetensors$/),
  });
  const before = tf.memory().numTensors;
  const inputs = readNanCapture(join(root, report.batch));
  expect([inputs["x"]!.dtype, inputs["classes"]!.dtype]).toEqual(["float32", "int32"]);
  expect([...inputs["x"]!.dataSync()]).toEqual([Number.NaN, 0.25]);
  expect([...inputs["classes"]!.dataSync()]).toEqual([8]);
  const { total, parts } = loss(inputs);
  expect(total.dataSync()[0]).toBeNaN();
  tf.dispose([total, Object.values(parts), Object.values(inputs)]);
  expect(tf.memory().numTensors).toBeLessThanOrEqual(before + 5);
  model.dispose();
});
