import { injectLora } from "@seg/lora";
import { PAPER_LOSS, parseSamConfig, Sam, type SamBatch, SamTrainStep, samTargets } from "@seg/teachers";
import { adamw, clipCoefficient, gradStats } from "@seg/train";
import type { StepCase, StepMode } from "./step-case.js";

/** `config.json` of the networks by the advisor's names. */
export const SAM_CONFIGS: Readonly<Record<string, object>> = {
  "mobile-sam": { tiny_vit_config: {}, mask_decoder_config: { layer_norm_eps: 1e-5 } },
  "sam-vit-b": {},
  "sam-vit-l": {
    vision_config: {
      ...{ hidden_size: 1024, mlp_dim: 4096, num_hidden_layers: 24, num_attention_heads: 16 },
      global_attn_indexes: [5, 11, 17, 23],
    },
  },
};

/** Deterministic values in [-1, 1). */
const values = (length: number, factor: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => (((i * factor) % 2003) / 2003) * 2 - 1);

/**
 * SAM-B with random weights on 1024 px, the three masks of one box per image. `lora`: rank 8 on the decoder's attention and MLPs, cached image embeddings. `full`:
 * every weight, the encoder included, from pixels.
 */
export function samDecoder(mode: StepMode, images: number, config: object = {}): StepCase & { readonly sam: Sam } {
  const sam = new Sam(parseSamConfig(config), { seed: 0 });
  const parameters =
    mode === "lora"
      ? injectLora(
          sam,
          { r: 8, loraAlpha: 16, targetModules: samTargets("decoder-attn-mlp") },
          { seed: 0 },
        ).trainableParameters()
      : sam.namedParameters();
  const boxes = Float32Array.from({ length: images * 4 }, (_, i) => (i % 4 < 2 ? 100 : 500) + ((i * 37) % 91));
  const targets = Float32Array.from({ length: images * 256 * 256 }, (_, i) => {
    const [x, y] = [i % 256, Math.floor(i / 256) % 256];
    return x > 30 && x < 120 && y > 30 && y < 130 ? 1 : 0;
  });
  const input =
    mode === "lora"
      ? { embeddings: values(images * 64 * 64 * 256, 7919) }
      : { pixels: values(images * 1024 * 1024 * 3, 7919) };
  const batch: SamBatch = { images, prompts: 1, boxes, targets, ...input };
  const step = new SamTrainStep({ sam, parameters, weights: PAPER_LOSS, multimask: true });
  const optimizer = adamw({ weightDecay: 0.01 });
  const current = new Map([...parameters].map(([name, p]) => [name, { data: Float32Array.from(p.data()) }]));
  const state = optimizer.init(current);
  const groups = [{ name: "all", parameters, decay: true }];
  let trainable = 0;
  for (const { size } of parameters.values()) trainable += size;
  return {
    sam,
    trainable,
    async step() {
      const { grads } = await step.run(batch);
      const gradScale = clipCoefficient(gradStats(grads).norm, 0.1);
      const updated = optimizer.update({ params: current, grads, state, groups, lr: () => 5e-4, gradScale });
      for (const [name, data] of updated) {
        current.set(name, { data: data as Float32Array<ArrayBuffer> });
        parameters.get(name)!.assign(Float32Array.from(data));
      }
    },
  };
}
