import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Buffer, Counter, loadStateDict, stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { run } from "../../../../tests/parity/groups/sam.js";
import { parseSamConfig, samConfigJson } from "./config.js";
import { Sam } from "./sam.js";
import { countParameters, samStateShapes } from "./state-shapes.js";

const shared = process.env["SEG_SHARED"] ?? fileURLToPath(new URL("../../../../../shared", import.meta.url));
const fixture = join(shared, "fixtures/sam");
const keys = join(shared, "fixtures/keys");

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const tiny = parseSamConfig({
  vision_config: {
    hidden_size: 16,
    output_channels: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    image_size: 32,
    patch_size: 8,
    window_size: 3,
    global_attn_indexes: [1],
    num_pos_feats: 8,
    mlp_dim: 24,
  },
  prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
  mask_decoder_config: { hidden_size: 16, mlp_dim: 24, num_attention_heads: 2, iou_head_hidden_dim: 16 },
});

describe("parseSamConfig", () => {
  test("defaults to ViT-B", () => {
    const { vision, decoder } = parseSamConfig({});
    expect(vision).toMatchObject({ hiddenSize: 768, windowSize: 14, mlpDim: 3072, globalAttnIndexes: [2, 5, 8, 11] });
    expect(decoder).toMatchObject({ mlpDim: 2048, iouHeadDepth: 3 });
  });

  test("is inverted by samConfigJson", () => expect(parseSamConfig(samConfigJson(tiny))).toEqual(tiny));

  test.each([
    [{ model_type: "sam2" }, "model_type"],
    [{ vision_config: { hidden_size: 770 } }, "vision_config.hidden_size"],
    [{ vision_config: { output_channels: 128 } }, "prompt_encoder_config.hidden_size"],
    [{ mask_decoder_config: { hidden_act: "swish" } }, "mask_decoder_config.hidden_act"],
  ])("names the field of %j", (json, field) => {
    expect(() => parseSamConfig(json)).toThrow(expect.objectContaining({ code: "teachers/config", field }));
  });
});

describe("state-dict names", () => {
  test("samStateShapes describes the tree that is built", () => {
    const sam = new Sam(tiny, { seed: 0 });
    const built = [...stateDict(sam)].map(([name, { shape }]) => [name, shape]);
    expect(new Map(built as [string, number[]][])).toEqual(samStateShapes(tiny));
    const trained = [...sam.namedParameters().values()].reduce((sum, p) => sum + p.size, 0);
    expect(trained).toBe(countParameters(tiny));
    for (const [, leaf] of sam.namedLeaves()) expect(leaf instanceof Counter).toBe(false);
    expect([...sam.namedLeaves()].filter(([, leaf]) => leaf instanceof Buffer).map(([path]) => path)).toEqual([
      "shared_image_embedding.positional_embedding",
      "prompt_encoder.shared_embedding.positional_embedding",
    ]);
    sam.dispose();
  });

  test.skipIf(!existsSync(keys)).each([
    ["sam-vit-base", 93_735_472],
    ["sam-vit-large", 312_342_832],
    ["sam-vit-huge", 641_090_608],
  ])("%s has the published names, shapes and %i parameters", (name, count) => {
    const golden = JSON.parse(readFileSync(join(keys, `${name}.json`), "utf8")) as {
      config: unknown;
      unique_parameters: number;
      tensors: Record<string, [string, number[]]>;
    };
    const config = parseSamConfig(golden.config);
    const expected = new Map(Object.entries(golden.tensors).map(([key, [, shape]]) => [key, shape]));
    expected.delete("prompt_encoder.shared_embedding.positional_embedding"); // tied
    expect(samStateShapes(config)).toEqual(expected);
    expect(golden.unique_parameters).toBe(count);
    expect(countParameters(config)).toBe(count);
  });
});

describe("Sam", () => {
  test("the same seed gives the same bytes, another seed others", () => {
    const weights = (seed: number) => {
      const sam = new Sam(tiny, { seed });
      const data = stateDict(sam);
      sam.dispose();
      return data;
    };
    expect(weights(3)).toEqual(weights(3));
    expect(weights(4)).not.toEqual(weights(3));
  });

  test("tied position matrices stay one tensor", () => {
    const sam = new Sam(tiny, { seed: 0 });
    const dict = stateDict(sam);
    const matrix = dict.get("shared_image_embedding.positional_embedding")!;
    dict.delete("shared_image_embedding.positional_embedding");
    dict.set("prompt_encoder.shared_embedding.positional_embedding", { ...matrix, data: new Float32Array(16).fill(2) });
    loadStateDict(sam, dict);
    expect(sam.shared_image_embedding.positional_embedding.data()[0]).toBe(2);
    sam.dispose();
  });

  test("fromPretrained names the missing file", () => {
    expect(() => Sam.fromPretrained("/nonexistent")).toThrow(
      expect.objectContaining({ code: "teachers/unavailable", teacher: "sam" }),
    );
  });

  test("prompts of one image do not influence each other, and no tensor is left behind", async () => {
    const sam = new Sam(tiny, { seed: 1 });
    const before = tf.memory().numTensors;
    const image = tf.tidy(() => sam.encodeImage(tf.sin(tf.range(0, 2 * 32 * 32 * 3)).reshape([2, 32, 32, 3])));
    const boxes = tf.tensor3d([3, 4, 20, 28, 10, 2, 30, 16, 1, 1, 8, 8, 0, 0, 31, 31], [2, 2, 4]);
    const masks = (given: tf.Tensor3D) =>
      tf.tidy(() => sam.predictMasks({ imageEmbeddings: image, boxes: given }).lowResMasks.dataSync());
    const both = masks(boxes);
    const second = tf.tidy(() => masks(tf.slice(boxes, [0, 1, 0], [2, 1, 4])));
    const size = 3 * 16 * 16;
    for (const [b, p] of [
      [0, 1],
      [1, 1],
    ] as const) {
      for (let i = 0; i < size; i++) expect(both[(b * 2 + p) * size + i]).toBeCloseTo(second[b * size + i]!, 5);
    }
    tf.dispose([image, boxes]);
    expect(tf.memory().numTensors).toBe(before);
    sam.dispose();
  });
});

describe.skipIf(!existsSync(fixture))("parity with transformers 4.57.6 (fixtures/sam)", () => {
  test("every stored stage, prompt case and resized mask", async () => {
    const failures: string[] = [];
    const skipped: string[] = [];
    let passed = 0;
    await run(fixture, {
      ok: (name, pass, detail) => (pass ? passed++ : failures.push(`${name}: ${detail}`)),
      skip: (name, reason) => skipped.push(`${name}: ${reason}`),
    });
    expect(failures).toEqual([]);
    expect(skipped).toEqual([]);
    expect(passed).toBeGreaterThan(60);
  });
});
