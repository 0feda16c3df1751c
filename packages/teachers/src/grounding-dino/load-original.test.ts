import "@seg/tfjs-onnxruntime";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeSafetensors, type StateTensor, stateDict } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GROUNDING_DINO_SIZES, parseGroundingDinoConfig } from "./config.js";
import { GroundingDino } from "./grounding-dino.js";
import { loadOriginalGroundingDino } from "./load-original.js";
import { groundingDinoOriginalKeys } from "./original-keys.js";
import { groundingDinoStateShapes } from "./state-shapes.js";

beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});
const dir = mkdtempSync(join(tmpdir(), "gdino-original-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** The authors' names of everything but fused projections, written down independently of the rules. */
function originalName(name: string): string {
  const swap = (text: string, ...pairs: [string, string][]) =>
    pairs.reduce((t, [to, from]) => t.replace(to, from), text);
  const swin = "model.backbone.conv_encoder.model.";
  if (name.startsWith(swin)) {
    return `backbone.0.${swap(
      name.slice(swin.length),
      ["embeddings.patch_embeddings.projection", "patch_embed.proj"],
      ["embeddings.norm", "patch_embed.norm"],
      ["hidden_states_norms.stage2", "norm1"],
      ["hidden_states_norms.stage3", "norm2"],
      ["hidden_states_norms.stage4", "norm3"],
      ["encoder.layers", "layers"],
      ["layernorm_before", "norm1"],
      ["layernorm_after", "norm2"],
      ["attention.output.dense", "attn.proj"],
      ["attention.self", "attn"],
      ["intermediate.dense", "mlp.fc1"],
      ["output.dense", "mlp.fc2"],
    )}`;
  }
  if (name.startsWith("bbox_embed.")) return name;
  const layer = /^model\.encoder\.layers\.(\d+)\.(\w+)_layer\.(.*)$/.exec(name);
  if (layer) {
    const [, index, part, rest] = layer as unknown as [string, string, string, string];
    if (part === "fusion") {
      return `transformer.encoder.fusion_layers.${index}.${rest
        .replace("vision_param", "gamma_v")
        .replace("text_param", "gamma_l")
        .replace("layer_norm_vision", "layer_norm_v")
        .replace("layer_norm_text", "layer_norm_l")
        .replace("vision_proj", "v_proj")
        .replace("text_proj", "l_proj")}`;
    }
    const kind = part === "text_enhancer" ? "text_layers" : "layers";
    return `transformer.encoder.${kind}.${index}.${swap(
      rest,
      ["fc1", "linear1"],
      ["fc2", "linear2"],
      ["self_attn_layer_norm", "norm1"],
      ["final_layer_norm", "norm2"],
      ["layer_norm_before", "norm1"],
      ["layer_norm_after", "norm2"],
    )}`;
  }
  if (name.startsWith("model.decoder.")) {
    return `transformer.${swap(
      name.slice("model.".length),
      ["decoder.layer_norm", "decoder.norm"],
      ["reference_points_head", "ref_point_head"],
      ["encoder_attn_text_layer_norm", "catext_norm"],
      ["encoder_attn_layer_norm", "norm1"],
      ["self_attn_layer_norm", "norm2"],
      ["final_layer_norm", "norm3"],
      ["encoder_attn_text", "ca_text"],
      ["encoder_attn", "cross_attn"],
      ["fc1", "linear1"],
      ["fc2", "linear2"],
    )}`;
  }
  return swap(
    name,
    ["model.text_backbone", "bert"],
    ["model.text_projection", "feat_map"],
    ["model.input_proj_vision", "input_proj"],
    ["model.level_embed", "transformer.level_embed"],
    ["model.query_position_embeddings", "transformer.tgt_embed"],
    ["model.encoder_output_bbox_embed", "transformer.enc_out_bbox_embed"],
    ["model.enc_output", "transformer.enc_output"],
  );
}

/** Query, key and value of Swin and of the attentions with `out_proj` are one tensor in the authors' files; those of BERT are not. */
function fusedName(original: string): { name: string; part: number } | null {
  const match = /^(.*)\.(query|key|value)\.(weight|bias)$/.exec(original);
  if (!match || original.startsWith("bert.")) return null;
  const [, prefix, part, kind] = match as unknown as [string, string, string, string];
  const name = prefix.startsWith("backbone") ? `${prefix}.qkv.${kind}` : `${prefix}.in_proj_${kind}`;
  return { name, part: ["query", "key", "value"].indexOf(part) };
}

const small = parseGroundingDinoConfig({
  backbone_config: { embed_dim: 8, depths: [1, 1, 2, 1], num_heads: [1, 2, 2, 4], window_size: 3, mlp_ratio: 2 },
  text_config: {
    vocab_size: 1030,
    hidden_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    intermediate_size: 32,
  },
  d_model: 32,
  num_queries: 7,
  encoder_layers: 2,
  encoder_ffn_dim: 48,
  decoder_layers: 2,
  decoder_ffn_dim: 40,
  logit_eps: 1e-3,
});

describe("loadOriginalGroundingDino", () => {
  test("finds sizes and splits fused projections", () => {
    const model = new GroundingDino(small, { seed: 6 });
    const dict = stateDict(model);
    const original = new Map<string, StateTensor>();
    const set = (key: string, tensor: StateTensor) => original.set(`module.${key}`, tensor);
    const parts = new Map<string, StateTensor[]>();
    for (const [name, tensor] of dict) {
      const key = originalName(name);
      const fused = fusedName(key);
      if (!fused) set(key, tensor);
      else {
        const list = parts.get(fused.name) ?? [];
        list[fused.part] = tensor;
        parts.set(fused.name, list);
      }
      // The shared head is stored under every alias.
      if (key.startsWith("bbox_embed.0.")) {
        set(key.replace("bbox_embed.0", "bbox_embed.1"), tensor);
        for (const i of [0, 1]) set(key.replace("bbox_embed.0", `transformer.decoder.bbox_embed.${i}`), tensor);
      }
    }
    for (const [name, list] of parts) {
      const length = list[0]!.data.length;
      const data = new Float32Array(3 * length);
      for (const [i, tensor] of list.entries()) data.set(tensor.data as Float32Array, i * length);
      set(name, { dtype: "F32", shape: [3 * list[0]!.shape[0]!, ...list[0]!.shape.slice(1)], data });
    }
    set("bert.pooler.dense.bias", { dtype: "F32", shape: [1], data: new Float32Array(1) });
    set("backbone.0.layers.0.blocks.0.attn.relative_position_index", {
      dtype: "I64",
      shape: [1],
      data: BigInt64Array.of(0n),
    });
    const file = join(dir, "original.safetensors");
    writeFileSync(file, encodeSafetensors(original));
    const loaded = loadOriginalGroundingDino(file);
    expect(loaded.config).toEqual({ ...small, backbone: { ...small.backbone, imageSize: 224 } });
    expect(stateDict(loaded)).toEqual(dict);
    loaded.dispose();
    model.dispose();
  });

  test("the rules reach every full-size name", () => {
    const shapes = groundingDinoStateShapes(GROUNDING_DINO_SIZES.base);
    const keys = new Set([...shapes.keys()].map((name) => fusedName(originalName(name))?.name ?? originalName(name)));
    const { origins, leftover } = groundingDinoOriginalKeys.plan(keys);
    expect(leftover).toEqual([]);
    expect(new Set(origins.keys())).toEqual(new Set(shapes.keys()));
  });

  test("names a file that is none", () => {
    const file = join(dir, "other.safetensors");
    writeFileSync(
      file,
      encodeSafetensors(new Map([["model.a", { dtype: "F32", shape: [1], data: new Float32Array(1) } as const]])),
    );
    expect(() => loadOriginalGroundingDino(file)).toThrow(
      expect.objectContaining({ code: "teachers/unavailable", message: expect.stringContaining("lack") }),
    );
  });
});
