import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadStateDict, readSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { parseGroundingDinoConfig } from "../config.js";
import { GroundingDino } from "../grounding-dino.js";
import { textBatch, textOf, textTensors } from "../text-batch.js";
import { headsOf } from "./detection-heads.js";
import { type DetectionBatch, DetectionStep } from "./detection-step.js";

/** For tests: model and batch of a folder like fixtures/grounding-dino, with Hugging Face's own form of the losses. */
export function fixtureStep(folder: string): {
  model: GroundingDino;
  step: DetectionStep;
  batch: () => DetectionBatch;
} {
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const { labels } = read("loss.json") as {
    labels: { class_labels: number[]; boxes: [number, number, number, number][] }[];
  };
  const model = new GroundingDino(parseGroundingDinoConfig(read("model/config.json")), { seed: 0 });
  loadStateDict(model, readSafetensors(join(folder, "model/model.safetensors")).toStateDict(), { strict: false });
  const dict = readSafetensors(join(folder, "inputs.safetensors")).toStateDict();
  const numbers = (key: string) => Array.from(dict.get(key)!.data as BigInt64Array, Number);
  const [count, , height, width] = dict.get("pixel_values")!.shape as [number, number, number, number];
  const columns = dict.get("input_ids")!.shape[1]!;
  const [ids, attention] = [numbers("input_ids"), numbers("attention_mask")];
  const rows = Array.from({ length: count }, (_, b) =>
    ids.slice(b * columns, (b + 1) * columns).filter((_, i) => attention[b * columns + i] === 1),
  );
  const text = textBatch(rows, { length: columns });
  const step = new DetectionStep({
    rows: Math.max(...labels.map(({ boxes }) => boxes.length)),
    // Hugging Face's encoder loss: content queries against the text before the encoder, boxes without a gradient.
    forward: (inputs) => {
      const output = model.forward({
        pixels: tf.transpose(inputs["planes"]!, [0, 2, 3, 1]) as tf.Tensor4D,
        pixelMask: inputs["pixelMask"] as tf.Tensor3D,
        text: textOf(inputs),
      });
      const queries = tf.tile(tf.expandDims(model.model.query_position_embeddings.weight.value(), 0), [count, 1, 1]);
      const logits = tf.matMul(queries, output.encoded.projectedText, false, true) as tf.Tensor3D;
      return { ...headsOf(output, { encoder: false }), encoder: { logits, boxes: output.layers[0]!.reference } };
    },
  });
  const batch = (): DetectionBatch => ({
    inputs: {
      planes: tf.tensor4d(dict.get("pixel_values")!.data as Float32Array, [count, 3, height, width]),
      pixelMask: tf.tensor3d(numbers("pixel_mask"), [count, height, width]),
      ...textTensors(text),
    },
    targets: labels.map(({ class_labels: phrases, boxes }) => ({ phrases, boxes })),
    phraseTokens: text.phrases.map((list) =>
      list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
    ),
    textMask: text.textMask,
  });
  return { model, step, batch };
}
