import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeSafetensors, type Module, stateDict } from "@seg/nn";
import { compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bertTokenizerJson, loadBertTokenizer } from "./bert-tokenizer.js";
import { GROUNDING_DINO_SIZES, groundingDinoConfigJson, parseGroundingDinoConfig } from "./config.js";
import { GroundingDino } from "./grounding-dino.js";
import { mapSizes } from "./image-levels.js";
import { loadGroundingDino } from "./load.js";
import { countGroundingDinoParameters, groundingDinoStateShapes } from "./state-shapes.js";
import { textBatch, textTensors } from "./text-batch.js";
import { phraseColumns, SPECIAL_IDS, textBlocks } from "./text-blocks.js";

const shared = process.env["SEG_SHARED"] ?? fileURLToPath(new URL("../../../../../shared", import.meta.url));
const keys = join(shared, "fixtures/keys");

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

const tiny = parseGroundingDinoConfig({
  backbone_config: { embed_dim: 8, depths: [1, 1, 2, 1], num_heads: [1, 2, 2, 4], window_size: 4, mlp_ratio: 2 },
  text_config: {
    vocab_size: 1100,
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 32,
    max_position_embeddings: 32,
  },
  d_model: 32,
  num_queries: 12,
  encoder_layers: 1,
  encoder_ffn_dim: 32,
  encoder_attention_heads: 4,
  decoder_layers: 2,
  decoder_ffn_dim: 32,
  decoder_attention_heads: 4,
  max_text_len: 16,
});

describe("parseGroundingDinoConfig", () => {
  test("defaults to the tiny size", () => {
    expect(parseGroundingDinoConfig({ model_type: "grounding-dino" })).toEqual(GROUNDING_DINO_SIZES.tiny);
    expect(GROUNDING_DINO_SIZES.base.backbone).toMatchObject({ embedDim: 128, windowSize: 12, depths: [2, 2, 18, 2] });
  });

  test("is inverted by groundingDinoConfigJson", () =>
    expect(parseGroundingDinoConfig(groundingDinoConfigJson(tiny))).toEqual(tiny));

  test.each([
    [{ model_type: "sam" }, "model_type"],
    [{ d_model: 48 }, "d_model"],
    [{ two_stage: false }, "two_stage"],
    [{ position_embedding_type: "learned" }, "position_embedding_type"],
    [{ backbone_config: { model_type: "resnet" } }, "backbone_config.model_type"],
    [{ backbone_config: { num_heads: [3, 6, 12] } }, "backbone_config.num_heads"],
    [{ text_config: { vocab_size: 1000 } }, "text_config.vocab_size"],
  ])("names the field of %j", (json, field) => {
    expect(() => parseGroundingDinoConfig(json)).toThrow(
      expect.objectContaining({
        code: "teachers/config",
        field,
        message: expect.stringContaining("Grounding DINO config"),
      }),
    );
  });
});

describe("state-dict names", () => {
  test("groundingDinoStateShapes describes the tree that is built; the box head is saved once, where transformers looks", () => {
    const model = new GroundingDino(tiny, { seed: 0 });
    const built = new Map([...stateDict(model)].map(([name, { shape }]) => [name, shape]));
    expect(built).toEqual(groundingDinoStateShapes(tiny));
    const trained = [...model.namedParameters().values()].reduce((sum, p) => sum + p.size, 0);
    expect(trained).toBe(countGroundingDinoParameters(tiny));
    const paths = [...model.namedLeaves()].map(([path]) => path).filter((path) => path.includes("bbox_embed"));
    expect(paths).toContain("model.decoder.bbox_embed.1.layers.2.bias");
    expect(model.getModule("bbox_embed.1")).toBe(model.getModule("model.decoder.bbox_embed.0"));
    model.dispose();
  });

  test.skipIf(!existsSync(keys)).each([
    ["grounding-dino-tiny", 172_249_090],
    ["grounding-dino-base", 232_313_216],
  ])("%s has the published names, shapes and %i parameters", (name, count) => {
    const golden = JSON.parse(readFileSync(join(keys, `${name}.json`), "utf8")) as {
      config: unknown;
      unique_parameters: number;
      may_be_absent_on_disk: string[];
      tensors: Record<string, [string, number[]]>;
    };
    const config = parseGroundingDinoConfig(golden.config);
    const expected = new Map(Object.entries(golden.tensors).map(([key, [, shape]]) => [key, shape]));
    for (const key of golden.may_be_absent_on_disk) expected.delete(key);
    expect(groundingDinoStateShapes(config)).toEqual(expected);
    expect(golden.unique_parameters).toBe(count);
    expect(countGroundingDinoParameters(config)).toBe(count);
  });

  test.skipIf(!existsSync(keys))("the presets are the published configurations", () => {
    for (const [name, preset] of Object.entries(GROUNDING_DINO_SIZES)) {
      const { config } = JSON.parse(readFileSync(join(keys, `grounding-dino-${name}.json`), "utf8")) as {
        config: unknown;
      };
      expect(preset).toEqual(parseGroundingDinoConfig(config));
    }
  });
});

describe("loadGroundingDino", () => {
  const dir = mkdtempSync(join(tmpdir(), "gdino-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  test("reads what stateDict wrote, index tables and the backbone's unused norm left out", () => {
    const model = new GroundingDino(tiny, { seed: 5 });
    const dict = stateDict(model);
    const extra = { dtype: "I64", shape: [1], data: BigInt64Array.of(0n) } as const;
    const norm = { dtype: "F32", shape: [1], data: new Float32Array(1) } as const;
    const more = new Map(dict)
      .set("model.backbone.conv_encoder.model.encoder.layers.0.blocks.0.attention.self.relative_position_index", extra)
      .set("model.backbone.conv_encoder.model.layernorm.weight", norm);
    writeFileSync(join(dir, "config.json"), JSON.stringify(groundingDinoConfigJson(tiny)));
    writeFileSync(join(dir, "model.safetensors"), encodeSafetensors(more));
    const loaded = loadGroundingDino(dir);
    expect(stateDict(loaded)).toEqual(dict);
    model.dispose();
    loaded.dispose();
  });

  test("names what is missing", () => {
    expect(() => loadGroundingDino("/nonexistent")).toThrow(
      expect.objectContaining({ code: "teachers/unavailable", teacher: "grounding_dino" }),
    );
    writeFileSync(join(dir, "config.json"), JSON.stringify({ model_type: "sam" }));
    expect(() => loadGroundingDino(dir)).toThrow(expect.objectContaining({ field: "model_type" }));
    writeFileSync(join(dir, "config.json"), JSON.stringify({ ...groundingDinoConfigJson(tiny), decoder_layers: 3 }));
    expect(() => loadGroundingDino(dir)).toThrow(expect.objectContaining({ code: "nn/state-dict" }));
  });
});

describe("textBlocks and phraseColumns", () => {
  test("the caption of the specification", () => {
    const ids = [101, 7, 8, 1012, 9, 1012, 102];
    expect([...textBlocks(ids).positions]).toEqual([0, 0, 1, 2, 0, 1, 0]);
    expect(phraseColumns(ids)).toEqual([
      [1, 3],
      [4, 5],
    ]);
  });

  test("an unterminated last phrase sees nothing", () =>
    expect([...textBlocks([101, 7, 1012, 8, 9]).positions]).toEqual([0, 0, 1, 0, 0]));

  test("terminated captions: every phrase and its delimiter form a block, whatever the padding", () => {
    const phrase = fc.array(fc.integer({ min: 1030, max: 1099 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(phrase, { minLength: 1, maxLength: 5 }), fc.nat(4), (phrases, padding) => {
        const ids = [101, ...phrases.flatMap((p) => [...p, 1012]), 102, ...new Array(padding).fill(0)];
        const { mask, positions } = textBlocks(ids);
        const columns = phraseColumns(ids);
        expect(columns.map(([a, b]) => b - a)).toEqual(phrases.map((p) => p.length));
        for (const [start, end] of columns) {
          for (let i = start; i <= end; i++) {
            expect(positions[i]).toBe(i - start);
            for (let j = 0; j < ids.length; j++) {
              expect(mask[i * ids.length + j]).toBe(Number(j >= start && j <= end));
            }
          }
        }
        for (const [i, id] of ids.entries()) if (id === 0 || id === 101 || id === 102) expect(positions[i]).toBe(0);
      }),
      { numRuns: 50 },
    );
    expect(SPECIAL_IDS).toEqual([101, 102, 1012, 1029]);
  });

  test("a batch refuses captions longer than its length", () => {
    expect(() => textBatch([[101, 5, 1012, 102]], { length: 3 })).toThrow(RangeError);
  });
});

describe("loadBertTokenizer", () => {
  test("names a folder without tokenizer and a vocabulary without special tokens", () => {
    expect(() => loadBertTokenizer("/nonexistent")).toThrow(expect.objectContaining({ code: "teachers/unavailable" }));
    expect(() => bertTokenizerJson("a\nb\n")).toThrow(/\[PAD\]/);
  });
});

describe("mapSizes", () => {
  test("of the published size", () =>
    expect(mapSizes(GROUNDING_DINO_SIZES.tiny, { height: 800, width: 1066 })).toEqual([
      { height: 100, width: 134 },
      { height: 50, width: 67 },
      { height: 25, width: 34 },
      { height: 13, width: 17 },
    ]));
});

/** Weights of a size at which every path matters: the initial box heads and fusion gains would hide most of the network. */
function loud(model: Module): void {
  let k = 0;
  for (const parameter of model.namedParameters().values()) {
    parameter.assign(Float32Array.from({ length: parameter.size }, () => 0.25 * Math.sin(++k * 12.9898)));
  }
}

describe("GroundingDino", () => {
  const captions = [
    [101, 1040, 1041, 1012, 1042, 1012, 102],
    [101, 1050, 1012, 102],
  ];
  const inputs = () => {
    const pixels = tf.tidy(() => tf.sin(tf.range(0, 2 * 64 * 72 * 3)).reshape([2, 64, 72, 3])) as tf.Tensor4D;
    return { pixels, text: textTensors(textBatch(captions)) };
  };

  test("rows of a batch equal single images; a compiled function replays; nothing is left behind", async () => {
    const model = new GroundingDino(tiny, { seed: 1 });
    loud(model);
    const { pixels, text } = inputs();
    const before = tf.memory().numTensors;
    const forward = compile(
      (given: { pixels: tf.Tensor4D; text: typeof text }) =>
        tf.tidy(() => {
          const { layers } = model.forward(given);
          return { tokenLogits: layers.at(-1)!.tokenLogits, boxes: layers.at(-1)!.boxes };
        }),
      { name: "detect" },
    );
    const first = forward({ pixels, text });
    const again = forward({ pixels, text });
    expect(forward.stats()).toMatchObject({ calls: 2, signatures: 1 });
    expect(again.boxes.dataSync()).toEqual(first.boxes.dataSync());
    for (const b of [0, 1]) {
      const alone = tf.tidy(() => {
        const row = tf.slice(pixels, [b, 0, 0, 0], [1, -1, -1, -1]);
        // The caption at its own length: the batch's padding must not matter.
        const { layers } = model.forward({ pixels: row, text: textTensors(textBatch([captions[b]!])) });
        return { boxes: layers.at(-1)!.boxes, tokenLogits: layers.at(-1)!.tokenLogits };
      });
      const boxes = alone.boxes.dataSync();
      const rows = first.boxes.dataSync().subarray(b * boxes.length, (b + 1) * boxes.length);
      for (let i = 0; i < boxes.length; i++) expect(Math.abs(boxes[i]! - rows[i]!)).toBeLessThan(1e-5);
      const n = captions[b]!.length;
      const logits = alone.tokenLogits.dataSync();
      const batchLogits = first.tokenLogits.dataSync();
      for (let q = 0; q < tiny.numQueries; q++) {
        for (let t = 0; t < n; t++) {
          const inBatch = batchLogits[(b * tiny.numQueries + q) * captions[0]!.length + t]!;
          expect(Math.abs(logits[q * n + t]! - inBatch)).toBeLessThan(1e-4);
        }
      }
      tf.dispose(alone);
    }
    tf.dispose([first, again]);
    expect(tf.memory().numTensors).toBe(before);
    forward.dispose();
    tf.dispose([pixels, text]);
    model.dispose();
  });

  test("a pixel mask of ones changes nothing", () => {
    const model = new GroundingDino(tiny, { seed: 2 });
    loud(model);
    const { pixels, text } = inputs();
    const boxes = (pixelMask?: tf.Tensor3D) =>
      tf.tidy(() =>
        model
          .forward({ pixels, text, ...(pixelMask && { pixelMask }) })
          .layers.at(-1)!
          .boxes.dataSync(),
      );
    const ones = tf.ones<tf.Rank.R3>([2, 64, 72]);
    const [plain, masked] = [boxes(), boxes(ones)];
    for (let i = 0; i < plain.length; i++) expect(Math.abs(plain[i]! - masked[i]!)).toBeLessThan(1e-6);
    tf.dispose([pixels, text, ones]);
    model.dispose();
  });

  test("refuses an image with fewer cells than queries", () => {
    const model = new GroundingDino(tiny, { seed: 3 });
    const text = textTensors(textBatch([captions[1]!]));
    const pixels = tf.zeros<tf.Rank.R4>([1, 8, 8, 3]);
    expect(() => tf.tidy(() => model.forward({ pixels, text }).layers[0]!.boxes)).toThrow(/12 queries/);
    pixels.dispose();
    tf.dispose(text);
    model.dispose();
  });
});
