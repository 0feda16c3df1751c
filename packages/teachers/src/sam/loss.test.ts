import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAdapter } from "@seg/lora";
import { readSafetensors } from "@seg/nn";
import { adamw, clipCoefficient, gradStats } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { PAPER_LOSS, SCRATCH_LOSS, samLoss } from "./loss.js";
import { Sam } from "./sam.js";
import { SamTrainStep } from "./train-step.js";

const shared = process.env["SEG_SHARED"] ?? fileURLToPath(new URL("../../../../../shared", import.meta.url));

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const value = (loss: ReturnType<typeof samLoss>) => ({
  total: loss.total.dataSync()[0]!,
  ...Object.fromEntries(Object.entries(loss.parts).map(([key, part]) => [key, part.dataSync()[0]!])),
});

describe("samLoss", () => {
  test("2 BCE + dice + (IoU error)^2 by hand", () => {
    // p = sigmoid(0) = .5 on two pixels, target 1 and 0; x > 0 nowhere, so the actual IoU is 0.
    const loss = value(
      samLoss({
        logits: tf.zeros([1, 1, 1, 1, 2]),
        iou: tf.tensor3d([0.5], [1, 1, 1]),
        targets: tf.tensor4d([1, 0], [1, 1, 1, 2]),
        weights: SCRATCH_LOSS,
      }),
    );
    expect(loss).toMatchObject({ focal: 0, iou: 0.25 });
    expect(loss.total).toBeCloseTo(2 * Math.LN2 + (1 - (2 * 0.5 + 1) / (1 + 1 + 1)) + 0.25, 6);
  });

  test("ignores the padding", () => {
    const run = (padding: number, width: number) =>
      value(
        samLoss({
          logits: tf.tensor([2, -1, padding].slice(0, width), [1, 1, 1, 1, width]),
          iou: tf.tensor3d([0.3], [1, 1, 1]),
          targets: tf.tensor4d([1, 0.25, 1].slice(0, width), [1, 1, 1, width]),
          valid: tf.tensor3d([1, 1, 0].slice(0, width), [1, 1, width]),
          weights: { bce: 1, focal: 1, dice: 1, iou: 1 },
        }),
      );
    for (const [key, expected] of Object.entries(run(0, 2))) {
      expect((run(50, 3) as Record<string, number>)[key]).toBeCloseTo(expected, 6);
    }
  });

  test("stays finite for logits of +-1000 and an empty target", () => {
    const loss = value(
      samLoss({
        logits: tf.tensor([1000, -1000], [1, 1, 1, 1, 2]),
        iou: tf.zeros([1, 1, 1]),
        targets: tf.zeros([1, 1, 1, 2]),
        weights: { bce: 1, focal: 1, dice: 1, iou: 1 },
      }),
    );
    expect(Object.values(loss).every(Number.isFinite)).toBe(true);
  });

  test('"min" differentiates only the best mask', () => {
    const grad = tf.grad((x) => {
      const logits = tf.reshape(x, [1, 1, 2, 1, 2]) as tf.Tensor5D;
      const targets = tf.tensor4d([1, 0], [1, 1, 1, 2]);
      return samLoss({ logits, iou: tf.zeros([1, 1, 2]), targets }).total;
    })(tf.tensor([-1, 1, 1, -1]));
    const [a, b, c, d] = grad.dataSync();
    expect([a, b]).toEqual([0, 0]);
    expect(c).toBeLessThan(0);
    expect(d).toBeGreaterThan(0);
  });
});

// fixtures/peft/README.md, "Training traces": PEFT 0.21 + torch.optim.AdamW, ten LoRA steps on the mask decoder.
describe.skipIf(!existsSync(join(shared, "fixtures/peft")))("ten LoRA steps as PyTorch and PEFT", () => {
  test.each([
    ["train-sam-single", false, "cpu"],
    ["train-sam-min", true, "cpu"],
    ["train-sam-single", false, "onnxruntime"],
    ["train-sam-min", true, "onnxruntime"],
  ])("%s, multimask %s, on %s", async (name, multimask, backend) => {
    await tf.setBackend(backend);
    const dir = join(shared, "fixtures/peft", name);
    const trace = JSON.parse(readFileSync(join(dir, "trace.json"), "utf8")) as {
      steps: { loss: number; focal: number; dice: number; iou: number; grad_norm: number }[];
      loss_after: number;
    };
    const stored = readSafetensors(join(dir, "batch.safetensors"));
    const image = stored.tensor("image_embeddings");
    const [images = 0, channels = 0, side = 0] = image.shape;
    const embeddings = tf.tidy(() =>
      tf.transpose(tf.tensor(image.data as Float32Array, [...image.shape]), [0, 2, 3, 1]).dataSync(),
    ) as Float32Array;
    expect(embeddings.length).toBe(images * channels * side * side);
    const batch = {
      images,
      prompts: stored.info("input_boxes").shape[1]!,
      embeddings,
      boxes: stored.tensor("input_boxes").data as Float32Array,
      targets: stored.tensor("target_masks").data as Float32Array,
    };
    const sam = Sam.fromPretrained(join(shared, "fixtures/sam/model"));
    const handle = loadAdapter(sam, join(dir, "adapter-initial"));
    const parameters = handle.trainableParameters();
    for (const [, parameter] of sam.namedParameters()) parameter.requiresGrad = false;
    for (const [path, parameter] of sam.namedParameters()) {
      if (path.includes("lora_")) {
        parameter.requiresGrad = true;
        parameters.set(path, parameter);
      }
    }
    const groups = [{ name: "lora", parameters, decay: true }];
    const values = () => new Map([...parameters].map(([path, p]) => [path, { data: Float32Array.from(p.data()) }]));
    const optimizer = adamw({ weightDecay: 0.01 });
    const state = optimizer.init(values());
    const golden = readSafetensors(join(dir, "grads.safetensors"));
    let compared = 0;
    const trainStep = new SamTrainStep({ sam, parameters, weights: PAPER_LOSS, multimask });
    for (const [index, expected] of trace.steps.entries()) {
      const step = await trainStep.run(batch);
      expect(Math.abs(step.total / expected.loss - 1)).toBeLessThan(1e-5);
      expect(step.parts.dice).toBeCloseTo(expected.dice, 5);
      expect(step.parts.iou).toBeCloseTo(expected.iou, 4);
      const { norm } = gradStats(step.grads);
      expect(Math.abs(norm / expected.grad_norm - 1)).toBeLessThan(1e-3);
      for (const key of golden
        .names()
        .filter((key) => key.startsWith(`${index}.`) || key.startsWith(`step${index}.`))) {
        const path = key
          .replace(/^(step)?\d+\./, "")
          .replace("base_model.model.", "")
          .replace(".default", "");
        const grad = step.grads.get(path);
        expect(grad, path).toBeDefined();
        const reference = golden.tensor(key).data as Float32Array;
        const scale = reference.reduce((most, g) => Math.max(most, Math.abs(g)), 1e-3);
        for (let i = 0; i < reference.length; i++) {
          expect(Math.abs(grad![i]! - reference[i]!)).toBeLessThan(1e-4 * scale);
        }
        compared++;
      }
      const next = optimizer.update({
        params: values(),
        grads: step.grads,
        state,
        groups,
        lr: () => 1e-3,
        gradScale: clipCoefficient(norm, 0.1),
      });
      for (const [path, data] of next) parameters.get(path)!.assign(data);
    }
    expect(compared).toBe(golden.names().length);
    const after = await trainStep.run(batch);
    expect(Math.abs(after.total / trace.loss_after - 1)).toBeLessThan(1e-5);
    const final = readSafetensors(join(dir, "adapter-final/adapter_model.safetensors"));
    for (const key of final.names()) {
      const ours = parameters.get(key.replace("base_model.model.", ""))!.data();
      const reference = final.tensor(key).data as Float32Array;
      for (let i = 0; i < reference.length; i++) expect(Math.abs(ours[i]! - reference[i]!)).toBeLessThan(2e-5);
    }
    trainStep.dispose();
    sam.dispose();
  });
});
