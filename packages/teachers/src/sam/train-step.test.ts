import { adamw, clipCoefficient, gradStats, paramGroups } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { shapeScene } from "../synthetic/shape-world.js";
import { embeddingSide, parseSamConfig } from "./config.js";
import { SCRATCH_LOSS } from "./loss.js";
import { samPixels } from "./predict.js";
import { Sam } from "./sam.js";
import { maskTarget } from "./targets.js";
import { SamTrainStep } from "./train-step.js";

const micro = parseSamConfig({
  vision_config: {
    hidden_size: 16,
    output_channels: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    image_size: 32,
    patch_size: 8,
    window_size: 2,
    global_attn_indexes: [1],
    num_pos_feats: 8,
    mlp_dim: 16,
  },
  prompt_encoder_config: { hidden_size: 16, mask_input_channels: 8 },
  mask_decoder_config: { hidden_size: 16, mlp_dim: 16, num_attention_heads: 2, iou_head_hidden_dim: 16 },
});

/** Losses of the first backend, for the second. */
let reference: number[] | null = null;

test.each(["cpu", "onnxruntime"])(
  "training the whole network from scratch on %s lowers the loss with every step and leaves no tensors behind",
  async (backend) => {
    await tf.setBackend(backend);
    const sam = new Sam(micro, { seed: 0 });
    const side = 4 * embeddingSide(micro);
    const scene = [0, 1, 2, 3, 4]
      .map((index) => shapeScene({ seed: 1, split: "train", index, side: 32 }))
      .find((s) => s.instances.length >= 2)!;
    const { pixels, geometry } = samPixels(scene.image, 32);
    const objects = scene.instances.slice(0, 2);
    const batch = {
      images: 1,
      prompts: 2,
      pixels,
      boxes: Float32Array.from(objects.flatMap(({ box }) => [...box])),
      targets: Float32Array.from(objects.flatMap(({ mask }) => [...maskTarget({ pixels: mask, geometry, side })])),
    };
    const parameters = sam.namedParameters();
    const values = new Map([...parameters].map(([name, p]) => [name, { data: Float32Array.from(p.data()) }]));
    const optimizer = adamw({ betas: [0.9, 0.98], weightDecay: 0.05 });
    const state = optimizer.init(values);
    const losses: number[] = [];
    const trainStep = new SamTrainStep({ sam, parameters, weights: SCRATCH_LOSS });
    const before = tf.memory().numTensors;
    for (let step = 0; step < 4; step++) {
      const result = await trainStep.run(batch);
      losses.push(result.total);
      // A single mask from boxes: points, mask prompts and the other three masks' hypernetworks take no part.
      const idle = [...parameters.keys()].filter((name) => !result.grads.has(name));
      expect(
        idle.every((name) => /mask_embed|point_embed\.[01]|not_a_point|hypernetworks_mlps\.[123]/.test(name)),
      ).toBe(true);
      expect(idle.filter((name) => name.includes("hypernetworks"))).toHaveLength(18);
      const gradScale = clipCoefficient(gradStats(result.grads).norm, 1);
      const updated = optimizer.update({
        params: values,
        grads: result.grads,
        state,
        groups: paramGroups(sam),
        lr: () => 3e-3,
        gradScale,
      });
      for (const [name, data] of updated) {
        values.set(name, { data: data as Float32Array<ArrayBuffer> });
        parameters.get(name)!.assign(Float32Array.from(data));
      }
    }
    // The engine replays a compiled step from the second run on.
    reference ??= losses;
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss / reference[i]! - 1)).toBeLessThan(1e-5);
    expect(losses[1]).toBeLessThan(losses[0]!);
    expect(losses[2]).toBeLessThan(losses[1]!);
    expect(losses[3]).toBeLessThan(losses[2]!);
    expect(tf.memory().numTensors).toBe(before);
    trainStep.dispose();
    sam.dispose();
  },
);
