import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadStateDict, Parameter, readSafetensors } from "@seg/nn";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { parseGroundingDinoConfig } from "../config.js";
import { GroundingDino } from "../grounding-dino.js";
import { textBatch, textTensors } from "../text-batch.js";
import { headsOf, textOf } from "./detection-heads.js";
import { DetectionStep } from "./detection-step.js";

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
    const model = new GroundingDino(parseGroundingDinoConfig(read("model/config.json")), { seed: 0 });
    loadStateDict(model, readSafetensors(join(fixture, "model/model.safetensors")).toStateDict(), { strict: false });
    const dict = readSafetensors(join(fixture, "inputs.safetensors")).toStateDict();
    const numbers = (key: string) => Array.from(dict.get(key)!.data as BigInt64Array, Number);
    const [batch, , height, width] = dict.get("pixel_values")!.shape as [number, number, number, number];
    const ids = numbers("input_ids");
    const lengths = [7, 11];
    const text = textBatch(lengths.map((length, b) => ids.slice(11 * b, 11 * b + length)));
    const planes = tf.tensor4d(dict.get("pixel_values")!.data as Float32Array, [batch, 3, height, width]);
    const pixels = tf.transpose(planes, [0, 2, 3, 1]);
    const pixelMask = tf.tensor3d(numbers("pixel_mask"), [batch, height, width]);

    const step = new DetectionStep({
      rows: 4,
      // Hugging Face's encoder loss: content queries against the text before the encoder, boxes without a gradient.
      forward: (inputs) => {
        const output = model.forward({
          pixels: inputs["pixels"] as tf.Tensor4D,
          pixelMask: inputs["pixelMask"] as tf.Tensor3D,
          text: textOf(inputs),
        });
        const queries = tf.tile(tf.expandDims(model.model.query_position_embeddings.weight.value(), 0), [batch, 1, 1]);
        const logits = tf.matMul(queries, output.encoded.projectedText, false, true) as tf.Tensor3D;
        const encoder = { logits, boxes: output.layers[0]!.reference };
        return { ...headsOf(output, { encoder: false }), encoder };
      },
    });
    const inputs = await step.prepare({
      inputs: { pixels, pixelMask, ...textTensors(text) },
      targets: golden.labels.map(({ class_labels: phrases, boxes }) => ({ phrases, boxes })),
      phraseTokens: text.phrases.map((list) =>
        list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
      ),
      textMask: text.textMask,
    });
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
});
