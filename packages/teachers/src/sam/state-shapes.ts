import type { SamConfig } from "./config.js";

/**
 * Names and shapes of the state dict of `new Sam(config)`, in the same order, without allocating anything: to check a file or estimate memory.
 * The tied `prompt_encoder.shared_embedding.positional_embedding` is listed once, under `shared_image_embedding`.
 */
export function samStateShapes({ vision, prompt, decoder }: SamConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const pair = (name: string, weight: number[], bias: number | null) => {
    shapes.set(`${name}.weight`, weight);
    if (bias !== null) shapes.set(`${name}.bias`, [bias]);
  };
  const linear = (name: string, input: number, output: number, bias = true) =>
    pair(name, [output, input], bias ? output : null);
  const norm = (name: string, width: number) => pair(name, [width], width);

  shapes.set("shared_image_embedding.positional_embedding", [2, vision.numPosFeats]);
  const grid = vision.imageSize / vision.patchSize;
  const width = vision.hiddenSize;
  const root = "vision_encoder";
  if (vision.useAbsPos) shapes.set(`${root}.pos_embed`, [1, grid, grid, width]);
  pair(`${root}.patch_embed.projection`, [width, 3, vision.patchSize, vision.patchSize], width);
  for (let i = 0; i < vision.numHiddenLayers; i++) {
    const layer = `${root}.layers.${i}`;
    const side = vision.globalAttnIndexes.includes(i) || vision.windowSize === 0 ? grid : vision.windowSize;
    norm(`${layer}.layer_norm1`, width);
    linear(`${layer}.attn.qkv`, width, 3 * width, vision.qkvBias);
    linear(`${layer}.attn.proj`, width, width);
    if (vision.useRelPos) {
      for (const axis of ["h", "w"]) {
        shapes.set(`${layer}.attn.rel_pos_${axis}`, [2 * side - 1, width / vision.numAttentionHeads]);
      }
    }
    norm(`${layer}.layer_norm2`, width);
    linear(`${layer}.mlp.lin1`, width, vision.mlpDim);
    linear(`${layer}.mlp.lin2`, vision.mlpDim, width);
  }
  const out = vision.outputChannels;
  pair(`${root}.neck.conv1`, [out, width, 1, 1], null);
  norm(`${root}.neck.layer_norm1`, out);
  pair(`${root}.neck.conv2`, [out, out, 3, 3], null);
  norm(`${root}.neck.layer_norm2`, out);

  const masks = prompt.maskInputChannels;
  const embed = "prompt_encoder.mask_embed";
  pair(`${embed}.conv1`, [masks / 4, 1, 2, 2], masks / 4);
  pair(`${embed}.conv2`, [masks, masks / 4, 2, 2], masks);
  pair(`${embed}.conv3`, [prompt.hiddenSize, masks, 1, 1], prompt.hiddenSize);
  norm(`${embed}.layer_norm1`, masks / 4);
  norm(`${embed}.layer_norm2`, masks);
  for (const name of ["no_mask_embed", "point_embed.0", "point_embed.1", "point_embed.2", "point_embed.3"]) {
    shapes.set(`prompt_encoder.${name}.weight`, [1, prompt.hiddenSize]);
  }
  shapes.set("prompt_encoder.not_a_point_embed.weight", [1, prompt.hiddenSize]);

  const d = decoder.hiddenSize;
  const tokens = decoder.numMultimaskOutputs + 1;
  shapes.set("mask_decoder.iou_token.weight", [1, d]);
  shapes.set("mask_decoder.mask_tokens.weight", [tokens, d]);
  const attention = (name: string, inner: number) => {
    for (const part of ["q", "k", "v"]) linear(`${name}.${part}_proj`, d, inner);
    linear(`${name}.out_proj`, inner, d);
  };
  const inner = d / decoder.attentionDownsampleRate;
  for (let i = 0; i < decoder.numHiddenLayers; i++) {
    const layer = `mask_decoder.transformer.layers.${i}`;
    attention(`${layer}.self_attn`, d);
    norm(`${layer}.layer_norm1`, d);
    attention(`${layer}.cross_attn_token_to_image`, inner);
    norm(`${layer}.layer_norm2`, d);
    linear(`${layer}.mlp.lin1`, d, decoder.mlpDim);
    linear(`${layer}.mlp.lin2`, decoder.mlpDim, d);
    norm(`${layer}.layer_norm3`, d);
    norm(`${layer}.layer_norm4`, d);
    attention(`${layer}.cross_attn_image_to_token`, inner);
  }
  attention("mask_decoder.transformer.final_attn_token_to_image", inner);
  norm("mask_decoder.transformer.layer_norm_final_attn", d);
  pair("mask_decoder.upscale_conv1", [d, d / 4, 2, 2], d / 4);
  pair("mask_decoder.upscale_conv2", [d / 4, d / 8, 2, 2], d / 8);
  norm("mask_decoder.upscale_layer_norm", d / 4);
  const mlp = (name: string, hidden: number, output: number, depth: number) => {
    linear(`${name}.proj_in`, d, hidden);
    linear(`${name}.proj_out`, hidden, output);
    for (let i = 0; i < depth - 2; i++) linear(`${name}.layers.${i}`, hidden, hidden);
  };
  for (let i = 0; i < tokens; i++) mlp(`mask_decoder.output_hypernetworks_mlps.${i}`, d, d / 8, 3);
  mlp("mask_decoder.iou_prediction_head", decoder.iouHeadHiddenDim, tokens, decoder.iouHeadDepth);
  return shapes;
}

/** Trainable values of `new Sam(config)`: all state but the position matrix. */
export function countParameters(config: SamConfig): number {
  let total = 0;
  for (const [name, shape] of samStateShapes(config)) {
    if (!name.endsWith("positional_embedding")) total += shape.reduce((a, b) => a * b, 1);
  }
  return total;
}
