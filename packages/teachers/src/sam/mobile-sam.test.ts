import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSafetensors, readTorchCheckpoint, stateDict, writeSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, expect, test } from "vitest";
import { parseSamConfig, samConfigJson } from "./config.js";
import { samConfigOfWeights } from "./config-of-weights.js";
import { loadOriginalSam } from "./load-original.js";
import { samOriginalKeys } from "./original-keys.js";
import { predictInstanceMasks } from "./predict.js";
import { Sam } from "./sam.js";
import { countParameters, samStateShapes } from "./state-shapes.js";

const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));
const checkpoint = fixture("mobile-sam-tiny.pt");
const scratch = mkdtempSync(join(tmpdir(), "seg-mobile-sam-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const mobileSam = parseSamConfig({ tiny_vit_config: {}, mask_decoder_config: { layer_norm_eps: 1e-5 } });

test("MobileSAM has the published number of parameters", () => {
  const shapes = samStateShapes(mobileSam);
  const encoder = [...shapes].filter(([name]) => name.startsWith("vision_encoder.") && !/running_|tracked/.test(name));
  const size = encoder.reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  expect(size).toBe(5_743_892);
  // The file has TinyViT's classifier as well: LayerNorm(320), Linear(320, 1000).
  expect(size + 2 * 320 + 320 * 1000 + 1000).toBe(6_065_532);
  expect(countParameters(mobileSam)).toBe(5_743_892 + 6_220 + 4_058_340);
});

test("the sizes of a checkpoint are read from its tensors", () => {
  const source = samOriginalKeys.apply(readTorchCheckpoint(checkpoint));
  const config = samConfigOfWeights(source, { imageSize: 64 });
  expect(config.tinyVit).toEqual({
    embedDims: [8, 16, 24, 32],
    depths: [1, 1, 2, 1],
    numHeads: [1, 2, 3, 4],
    windowSizes: [1, 3, 3, 4],
    mbconvExpandRatio: 4,
    mlpRatio: 4,
  });
  expect(config.decoder).toMatchObject({ hiddenSize: 16, mlpDim: 24, layerNormEps: 1e-5, iouHeadDepth: 3 });
  expect(parseSamConfig(samConfigJson(config))).toEqual(config);
  const sam = new Sam(config, { seed: 0 });
  const built = [...stateDict(sam)].map(([name, { shape }]) => [name, shape]);
  expect(new Map(built as [string, number[]][])).toEqual(samStateShapes(config));
  sam.dispose();
});

test.each(["cpu", "onnxruntime"])(
  "every stage of TinyViT is that of an implementation in PyTorch, on %s",
  async (backend) => {
    await tf.setBackend(backend);
    const sam = loadOriginalSam(checkpoint, { imageSize: 64 });
    const golden = readSafetensors(fixture("mobile-sam-tiny.safetensors"));
    const nhwc = (name: string): tf.Tensor4D => {
      const { shape, data } = golden.tensor(name);
      return tf.tidy(() =>
        tf.transpose(tf.tensor4d(data as Float32Array, shape as [number, number, number, number]), [0, 2, 3, 1]),
      );
    };
    const compared: string[] = [];
    const before = tf.memory().numTensors;
    tf.tidy(() => {
      sam.encodeImage(nhwc("pixels"), {
        trace: (name, tensor) => {
          if (!golden.has(name)) return;
          const expected = nhwc(name);
          const scale = Math.max(1, tf.max(tf.abs(expected)).dataSync()[0]!);
          expect(tensor.shape).toEqual(expected.shape);
          expect(tf.max(tf.abs(tf.sub(tensor, expected))).dataSync()[0]! / scale, name).toBeLessThan(1e-5);
          compared.push(name);
        },
      });
    });
    expect(compared).toEqual(["patch_embed", "stage.0", "stage.1", "stage.2", "stage.3", "image_embeddings"]);
    expect(tf.memory().numTensors).toBe(before);
    const image = { width: 64, height: 48, data: new Uint8Array(64 * 48 * 3).map((_, i) => (i * 31) % 251) };
    const { logits } = await predictInstanceMasks({ sam, image, boxes: [[4, 4, 30, 40]] });
    expect(logits[0]!.every(Number.isFinite)).toBe(true);
    sam.dispose();
    await tf.setBackend("cpu");
  },
);

test("original SAM files load to the same bits, whatever the encoder", () => {
  const config = parseSamConfig({
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
    mask_decoder_config: { hidden_size: 16, mlp_dim: 24, iou_head_hidden_dim: 16, layer_norm_eps: 1e-5 },
  });
  const sam = new Sam(config, { seed: 3 });
  const original = new Map(
    [...stateDict(sam)].map(([key, tensor]) => [
      key
        .replace(
          "shared_image_embedding.positional_embedding",
          "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        )
        .replace("vision_encoder", "image_encoder")
        .replace("patch_embed.projection", "patch_embed.proj")
        .replace(/^(image_encoder)\.layers/, "$1.blocks")
        .replace(
          /neck\.(conv1|layer_norm1|conv2|layer_norm2)/,
          (_, part: string) => `neck.${["conv1", "layer_norm1", "conv2", "layer_norm2"].indexOf(part)}`,
        )
        .replace(
          /mask_embed\.(conv1|layer_norm1|conv2|layer_norm2|conv3)/,
          (_, part: string) =>
            `mask_downscaling.${{ conv1: 0, layer_norm1: 1, conv2: 3, layer_norm2: 4, conv3: 6 }[part]}`,
        )
        .replace(".point_embed.", ".point_embeddings.")
        .replace(
          /upscale_(conv1|layer_norm|conv2)/,
          (_, part: string) => `output_upscaling.${{ conv1: 0, layer_norm: 1, conv2: 3 }[part]}`,
        )
        .replace(/(mlps\.\d|iou_prediction_head)\.layers\.0/, "$1.layers.1")
        .replace(/(mlps\.\d|iou_prediction_head)\.proj_in/, "$1.layers.0")
        .replace(/(mlps\.\d|iou_prediction_head)\.proj_out/, "$1.layers.2")
        .replace(/layer_norm_final_attn/, "norm_final_attn")
        .replace(/(layers|blocks)\.(\d+)\.layer_norm(\d)/, "$1.$2.norm$3"),
      tensor,
    ]),
  );
  expect([...original.keys()].some((key) => /layer_norm|proj_in|vision_encoder/.test(key))).toBe(false);
  const file = join(scratch, "sam.safetensors");
  writeSafetensors(file, original);
  const loaded = loadOriginalSam(file);
  expect(loaded.config).toEqual({ ...config, decoder: { ...config.decoder, numAttentionHeads: 8 } });
  expect(stateDict(loaded)).toEqual(stateDict(sam));
  loaded.dispose();
  original.set("text_encoder.weight", original.values().next().value!);
  writeSafetensors(file, original);
  expect(() => loadOriginalSam(file)).toThrow(expect.objectContaining({ unexpected: ["text_encoder.weight"] }));
  writeSafetensors(file, new Map([...original].filter(([key]) => key.startsWith("image_encoder"))));
  expect(() => loadOriginalSam(file)).toThrow(
    expect.objectContaining({ code: "teachers/unavailable", teacher: "sam" }),
  );
  expect(() => loadOriginalSam(join(scratch, "absent.pth"))).toThrow(
    expect.objectContaining({ code: "teachers/unavailable" }),
  );
  sam.dispose();
});
