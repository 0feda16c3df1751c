import type { TensorSource } from "@seg/nn";
import { TeacherUnavailableError } from "../errors.js";
import { parseSamConfig, type SamConfig } from "./config.js";

/** Heads of the mask decoder: the one size that no tensor's shape tells; 8 in every published file. */
const DECODER_HEADS = 8;
/** eps of the two-way blocks' norms in the authors' code; Hugging Face's is 1e-6. */
const ORIGINAL_EPS = 1e-5;

/**
 * The configuration of a checkpoint that brings none, read from its shapes.
 *
 * @param source - under the keys of `Sam`
 * @param imageSize - of networks without absolute positions (MobileSAM). @defaultValue 1024
 * @throws {@link TeacherUnavailableError} for weights of another architecture
 */
export function samConfigOfWeights(source: TensorSource, { imageSize = 1024 }: { imageSize?: number } = {}): SamConfig {
  const shape = (key: string): readonly number[] => {
    if (!source.has(key)) {
      throw new TeacherUnavailableError({ teacher: "sam", reason: `the weights are not SAM's: they lack ${key}` });
    }
    return source.info(key).shape;
  };
  const count = (pattern: (index: number) => string): number => {
    let n = 0;
    while (source.has(pattern(n))) n++;
    return n;
  };
  const isTinyVit = source.has("vision_encoder.patch_embed.seq.0.c.weight");
  const decoder = "mask_decoder.transformer.layers";
  const width = shape("mask_decoder.mask_tokens.weight")[1]!;
  const common = {
    prompt_encoder_config: {
      hidden_size: shape("prompt_encoder.no_mask_embed.weight")[1]!,
      mask_input_channels: shape("prompt_encoder.mask_embed.conv2.weight")[0]!,
    },
    mask_decoder_config: {
      hidden_size: width,
      mlp_dim: shape(`${decoder}.0.mlp.lin1.weight`)[0]!,
      num_hidden_layers: count((i) => `${decoder}.${i}.mlp.lin1.weight`),
      num_attention_heads: DECODER_HEADS,
      attention_downsample_rate: width / shape(`${decoder}.0.cross_attn_token_to_image.q_proj.weight`)[0]!,
      num_multimask_outputs: shape("mask_decoder.mask_tokens.weight")[0]! - 1,
      iou_head_depth: 2 + count((i) => `mask_decoder.iou_prediction_head.layers.${i}.weight`),
      iou_head_hidden_dim: shape("mask_decoder.iou_prediction_head.proj_in.weight")[0]!,
      layer_norm_eps: ORIGINAL_EPS,
    },
  };
  const output = {
    output_channels: shape("vision_encoder.neck.conv1.weight")[0]!,
    num_pos_feats: shape("shared_image_embedding.positional_embedding")[1]!,
  };
  if (isTinyVit)
    return parseSamConfig({ ...common, ...tinyVitSections(shape, count, { ...output, image_size: imageSize }) });

  const [hidden, , patch] = shape("vision_encoder.patch_embed.projection.weight") as [number, number, number];
  const side = shape("vision_encoder.pos_embed")[1]!;
  const layers = count((i) => `vision_encoder.layers.${i}.attn.qkv.weight`);
  const reach = Array.from({ length: layers }, (_, i) => shape(`vision_encoder.layers.${i}.attn.rel_pos_h`));
  const windows = reach.map(([length]) => (length! + 1) / 2);
  return parseSamConfig({
    ...common,
    vision_config: {
      ...output,
      hidden_size: hidden,
      patch_size: patch,
      image_size: side * patch,
      num_hidden_layers: layers,
      num_attention_heads: hidden / reach[0]![1]!,
      mlp_dim: shape("vision_encoder.layers.0.mlp.lin1.weight")[0]!,
      window_size: windows.find((window) => window !== side) ?? 0,
      global_attn_indexes: windows.flatMap((window, i) => (window === side ? [i] : [])),
    },
  });
}

function tinyVitSections(
  shape: (key: string) => readonly number[],
  count: (pattern: (index: number) => string) => number,
  vision: Readonly<Record<string, number>>,
): object {
  const root = "vision_encoder.layers";
  const stages = [1, 2, 3];
  const biases = stages.map((stage) => shape(`${root}.${stage}.blocks.0.attn.attention_biases`));
  const first = shape(`${root}.0.blocks.0.conv3.c.weight`)[0]!;
  const widths = stages.map((stage) => shape(`${root}.${stage}.blocks.0.attn.proj.weight`)[0]!);
  return {
    vision_config: { ...vision, patch_size: 16 },
    tiny_vit_config: {
      embed_dims: [first, ...widths],
      depths: [
        count((i) => `${root}.0.blocks.${i}.conv1.c.weight`),
        ...stages.map((stage) => count((i) => `${root}.${stage}.blocks.${i}.attn.qkv.weight`)),
      ],
      // The convolutional stage has neither heads nor windows.
      num_heads: [1, ...biases.map(([heads]) => heads)],
      window_sizes: [1, ...biases.map(([, cells]) => Math.round(Math.sqrt(cells!)))],
      mbconv_expand_ratio: shape(`${root}.0.blocks.0.conv1.c.weight`)[0]! / first,
      mlp_ratio: shape(`${root}.1.blocks.0.mlp.fc1.weight`)[0]! / widths[0]!,
    },
  };
}
