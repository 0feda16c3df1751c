import { resolveTargets } from "@seg/lora";
import { describe, expect, test } from "vitest";
import { parseSamConfig } from "./config.js";
import { type SamPreset, samTargets } from "./lora-presets.js";
import { Sam } from "./sam.js";
import { samStateShapes } from "./state-shapes.js";

describe("samTargets", () => {
  // The specification's table for ViT-B, rank 8; the decoder is the same in all sizes.
  test.each<[SamPreset, number, number]>([
    ["decoder-self", 6, 24_576],
    ["decoder-self-out", 8, 32_768],
    ["decoder-attn", 28, 94_208],
    ["decoder-attn-mlp", 32, 167_936],
    ["decoder-all-linear", 47, 220_192],
    ["encoder-qkv", 12, 294_912],
    ["encoder-attn", 24, 442_368],
    ["encoder-attn-mlp", 52, 1_253_376],
  ])("%s: %i modules, %i parameters", (preset, modules, parameters) => {
    const patterns = samTargets(preset).map((glob) => {
      const escaped = glob.replaceAll(".", "\\.").replaceAll("**", "@").replaceAll("*", "[^.]+").replaceAll("@", ".+");
      return new RegExp(`^${escaped}\\.weight$`);
    });
    const adapted = [...samStateShapes(parseSamConfig({}))].filter(([name]) => patterns.some((p) => p.test(name)));
    expect(adapted.length).toBe(modules);
    expect(adapted.reduce((sum, [, [out, input]]) => sum + 8 * (out! + input!), 0)).toBe(parameters);
  });

  test("rank 16 on all Linear layers of the decoder", () => {
    const shapes = samStateShapes(parseSamConfig({}));
    let sum = 0;
    for (const [name, [out, input]] of shapes) {
      if (
        /^mask_decoder\.(transformer|output_hyper|iou_pred).*(proj|lin1|lin2|proj_in|layers\.0|proj_out)\.weight$/.test(
          name,
        )
      )
        sum += 16 * (out! + input!);
    }
    expect(sum).toBe(440_384);
  });

  test("every entry finds layers in a network", () => {
    const vision = {
      hidden_size: 8,
      output_channels: 8,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      image_size: 16,
      patch_size: 8,
      window_size: 0,
      num_pos_feats: 4,
      mlp_dim: 8,
    };
    const heads = { hidden_size: 8, mlp_dim: 8, num_attention_heads: 1, iou_head_hidden_dim: 8 };
    const sam = new Sam(
      parseSamConfig({
        vision_config: vision,
        prompt_encoder_config: { hidden_size: 8, mask_input_channels: 4 },
        mask_decoder_config: heads,
      }),
      { seed: 0 },
    );
    for (const preset of ["decoder-all-linear", "encoder-attn-mlp"] as const) {
      const { targets } = resolveTargets(sam, { targetModules: samTargets(preset) });
      expect(targets.length).toBe(preset === "decoder-all-linear" ? 47 : 8);
    }
    sam.dispose();
  });
});
