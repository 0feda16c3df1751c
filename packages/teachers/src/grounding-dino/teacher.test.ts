import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeSafetensors, stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BERT_TOKENIZER_CONFIG, bertTokenizerJson } from "./bert-tokenizer.js";
import { groundingDinoConfigJson, parseGroundingDinoConfig } from "./config.js";
import { GroundingDino } from "./grounding-dino.js";
import { GroundingDinoTeacher } from "./teacher.js";

const config = parseGroundingDinoConfig({
  backbone_config: { embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 2, 2, 4], window_size: 4, mlp_ratio: 2 },
  text_config: {
    vocab_size: 1100,
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 16,
    max_position_embeddings: 16,
  },
  d_model: 32,
  num_queries: 10,
  encoder_layers: 1,
  encoder_ffn_dim: 32,
  encoder_attention_heads: 4,
  decoder_layers: 1,
  decoder_ffn_dim: 32,
  decoder_attention_heads: 4,
  max_text_len: 8,
});

const dir = mkdtempSync(join(tmpdir(), "gdino-detector-"));
const image = { width: 90, height: 60, data: Uint8Array.from({ length: 90 * 60 * 3 }, (_, i) => (i * 7919) % 251) };

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  const vocabulary = Array.from({ length: 1100 }, (_, i) => `[unused${i}]`);
  for (const [id, token] of [
    [0, "[PAD]"],
    [100, "[UNK]"],
    [101, "[CLS]"],
    [102, "[SEP]"],
    [103, "[MASK]"],
    [1012, "."],
    [1029, "?"],
    [1040, "red"],
    [1041, "bag"],
    [1042, "label"],
    [1043, "ear"],
  ] as const) {
    vocabulary[id] = token;
  }
  const model = new GroundingDino(config, { seed: 4 });
  const write = (name: string, content: object | Uint8Array) =>
    writeFileSync(join(dir, name), content instanceof Uint8Array ? content : JSON.stringify(content));
  write("model.safetensors", encodeSafetensors(stateDict(model)));
  write("config.json", groundingDinoConfigJson(config));
  write("tokenizer.json", bertTokenizerJson(vocabulary.join("\n")));
  write("tokenizer_config.json", BERT_TOKENIZER_CONFIG);
  write("preprocessor_config.json", { size: { shortest_edge: 64, longest_edge: 128 } });
  model.dispose();
});
afterAll(() => rmSync(dir, { recursive: true }));

describe("GroundingDinoTeacher", () => {
  test("reports best first, in pixels, the class with the largest logit", async () => {
    const teacher = GroundingDinoTeacher.fromPretrained(dir);
    const classes = ["Red_bag", "label"];
    const { logits, boxes } = await teacher.logits(image, { classes });
    expect(boxes).toHaveLength(10);
    expect(logits).toHaveLength(20);
    const found = await teacher.predict(image, { classes, boxThreshold: 0 });
    expect(found).toHaveLength(10);
    for (const [i, { classId, score, classLogits }] of found.entries()) {
      expect(classLogits[classId]).toBe(Math.max(...classLogits));
      expect(score).toBeCloseTo(1 / (1 + Math.exp(-classLogits[classId]!)), 6);
      if (i > 0) expect(score).toBeLessThanOrEqual(found[i - 1]!.score);
    }
    const limit = found[4]!.score;
    const above = await teacher.predict(image, { classes, boxThreshold: limit });
    expect(above.map(({ score }) => score)).toEqual(found.map(({ score }) => score).filter((s) => s > limit));
    expect(await teacher.predict(image, { classes, boxThreshold: 0, maxDetections: 3 })).toEqual(found.slice(0, 3));
    teacher.dispose();
  });

  test("splits classes over captions: each class as if it had been asked with its caption's others", async () => {
    const teacher = GroundingDinoTeacher.fromPretrained(dir);
    // 8 tokens: [CLS] red bag . label . [SEP] is 7, a third phrase does not fit.
    const { logits, boxes } = await teacher.logits(image, { classes: ["red bag", "label", "ear"] });
    const first = await teacher.logits(image, { classes: ["red bag", "label"] });
    const second = await teacher.logits(image, { classes: ["ear"] });
    expect(boxes).toEqual([...first.boxes, ...second.boxes]);
    for (let q = 0; q < 10; q++) {
      expect([...logits.slice(3 * q, 3 * q + 3)]).toEqual([...first.logits.slice(2 * q, 2 * q + 2), -Infinity]);
      expect([...logits.slice(3 * (q + 10), 3 * (q + 10) + 3)]).toEqual([-Infinity, -Infinity, second.logits[q]]);
    }
    teacher.dispose();
  });

  test("features do not depend on text; freezing the weights changes nothing; nothing is left behind", async () => {
    const teacher = GroundingDinoTeacher.fromPretrained(dir);
    const before = tf.memory().numTensors;
    const maps = await teacher.features(image);
    expect(maps.map(({ shape }) => shape)).toEqual([
      [8, 12, 16],
      [4, 6, 32],
      [2, 3, 64],
    ]);
    const plain = await teacher.logits(image, { classes: ["ear"] });
    teacher.freeze();
    for (let i = 0; i < 5; i++) {
      const again = await teacher.logits(image, { classes: ["ear"] });
      for (const [k, value] of again.logits.entries()) expect(Math.abs(value - plain.logits[k]!)).toBeLessThan(1e-4);
    }
    expect(tf.memory().numTensors).toBe(before);
    teacher.dispose();
  });

  test("refuses names that are no phrases", async () => {
    const teacher = GroundingDinoTeacher.fromPretrained(dir);
    const ask = (classes: string[]) => teacher.predict(image, { classes });
    await expect(ask(["bag", "..."])).rejects.toMatchObject({ code: "teachers/class-name", index: 1 });
    await expect(ask(["bag", "Bag"])).rejects.toMatchObject({ code: "teachers/class-name", index: 1 });
    await expect(ask(["red bag label ear red bag"])).rejects.toMatchObject({
      code: "teachers/prompt-too-long",
      tokens: 9,
      limit: 8,
    });
    teacher.dispose();
  });
});
