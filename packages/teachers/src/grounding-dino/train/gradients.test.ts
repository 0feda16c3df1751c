import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadAdapter } from "@seg/lora";
import { Parameter, readSafetensors } from "@seg/nn";
import { configure } from "@seg/tfjs-onnxruntime";
import { adamw, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { fixtureStep } from "./test-fixture.js";

beforeAll(async () => {
  configure({ threads: 1 });
  await tf.setBackend("onnxruntime");
});

const shared = process.env["SEG_SHARED"] ?? join(import.meta.dirname, "../../../../../../shared");
const fixture = join(shared, "fixtures/grounding-dino");
const read = (name: string) => JSON.parse(readFileSync(join(fixture, name), "utf8"));

describe.skipIf(!existsSync(fixture))("transformers 4.57.6 (fixtures grounding-dino)", () => {
  test("loss with auxiliary losses and the gradient of every parameter", async () => {
    const golden = read("loss.json") as {
      with_auxiliary: { loss: number; loss_dict: Record<string, number> };
      labels: { class_labels: number[]; boxes: [number, number, number, number][] }[];
      parameters_without_gradient: string[];
    };
    const { model, step, batch } = fixtureStep(fixture);
    const inputs = await step.prepare(batch());
    const parameters = model.namedParameters();
    const { value, grads } = tf.variableGrads(
      () => step.loss(inputs).total,
      [...parameters.values()].map(({ variable }) => variable),
    );
    expect(Math.abs(value.dataSync()[0]! / golden.with_auxiliary.loss - 1)).toBeLessThan(1e-4);
    const parts = step.loss(inputs).parts;
    const terms = golden.with_auxiliary.loss_dict;
    for (const key of ["ce", "bbox", "giou", "ce_enc", "bbox_enc", "giou_enc"]) {
      expect([key, Math.abs(parts[key]!.dataSync()[0]! / terms[`loss_${key}`]! - 1) < 1e-4]).toEqual([key, true]);
    }
    // The shared box head has several names.
    const leaves = new Map(
      [...model.namedLeaves()].filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter),
    );
    const reference = readSafetensors(join(fixture, "grads.safetensors"));
    const worst: string[] = [];
    for (const name of reference.names()) {
      const expected = reference.tensor(name).data as Float32Array;
      const parameter = leaves.get(name);
      expect([name, parameter !== undefined]).toEqual([name, true]);
      const grad = grads[parameter!.variable.name];
      // A tensor whose gradient is zero in theory may be absent here.
      const actual = grad ? (grad.dataSync() as Float32Array) : new Float32Array(expected.length);
      const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      let error = 0;
      for (let i = 0; i < expected.length; i++) error = Math.max(error, Math.abs(actual[i]! - expected[i]!));
      // 1e-3 of the tensor's largest gradient, float32 through the whole network. The bias before a norm of one channel a group has a gradient of
      // zero in theory: what is there, 1e-5, is rounding.
      if (error > 1e-3 * scale + 5e-5) worst.push(`${name}: ${error} at ${scale}`);
    }
    expect(worst).toEqual([]);
    for (const name of golden.parameters_without_gradient) {
      const grad = grads[leaves.get(name)!.variable.name];
      const values = grad ? [...(grad.dataSync() as Float32Array)] : [];
      expect([name, values.some((v) => v !== 0)]).toEqual([name, false]);
    }
    step.dispose();
    model.dispose();
  });

  test("six LoRA steps of PEFT 0.21 and torch's AdamW (fixtures peft/train-gdino)", async () => {
    const dir = join(shared, "fixtures/peft/train-gdino");
    const trace = JSON.parse(readFileSync(join(dir, "trace.json"), "utf8")) as {
      steps: { loss: number; loss_dict: Record<string, number>; grad_norm: number }[];
    };
    const { model, step, batch } = fixtureStep(fixture);
    const handle = loadAdapter(model, join(dir, "adapter-initial"));
    const training = new TrainingManager({
      model,
      optimizer: adamw({ weightDecay: 0.01 }),
      groups: [{ name: "lora", parameters: handle.trainableParameters(), decay: true }],
      lr: 1e-3,
      clip: { maxNorm: 0.1 },
    });
    for (const [i, expected] of trace.steps.entries()) {
      const inputs = await step.prepare(batch());
      const { loss, gradNorm, parts } = await training.step(step.loss, inputs);
      tf.dispose({ ...inputs });
      expect([i, Math.abs(loss / expected.loss - 1) < 1e-4]).toEqual([i, true]);
      expect([i, Math.abs(gradNorm! / expected.grad_norm - 1) < 1e-3]).toEqual([i, true]);
      expect(Math.abs(parts["ce"]! / expected.loss_dict["loss_ce"]! - 1)).toBeLessThan(1e-4);
    }
    const final = readSafetensors(join(dir, "adapter-final/adapter_model.safetensors"));
    const parameters = model.namedParameters();
    let worst = 0;
    for (const key of final.names()) {
      const name = key.replace("base_model.model.", "").replace(/\.(lora_[AB])\./, ".$1.");
      const parameter = [...parameters].find(([path]) => path.replace(".default.", ".") === name)?.[1];
      expect([key, parameter !== undefined]).toEqual([key, true]);
      const reference = final.tensor(key).data as Float32Array;
      const actual = parameter!.data();
      for (let k = 0; k < reference.length; k++) worst = Math.max(worst, Math.abs(actual[k]! - reference[k]!));
    }
    // AdamW divides by the gradient's own size: an entry whose gradient is rounding moves by up to the rate either way.
    expect(worst).toBeLessThan(2e-5);
    step.dispose();
    model.dispose();
  });
});
