import type { SamConfig, TinyVitConfig } from "./config.js";

/**
 * Names and shapes of the state dict of `new Sam(config)`, in the same order, without allocating anything: to check a file or estimate memory.
 * The tied `prompt_encoder.shared_embedding.positional_embedding` is listed once, under `shared_image_embedding`.
 */
export function samStateShapes({ vision, prompt, decoder, tinyVit }: SamConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const pair = (name: string, weight: number[], bias: number | null) => {
    shapes.set(`${name}.weight`, weight);
    if (bias !== null) shapes.set(`${name}.bias`, [bias]);
  };
  const linear = (name: string, input: number, output: number, bias = true) =>
    pair(name, [output, input], bias ? output : null);
  const norm = (name: string, width: number) => pair(name, [width], width);

  shapes.set("shared_image_embedding.positional_embedding", [2, vision.numPosFeats]);
  const root = "vision_encoder";
  const width = tinyVit ? tinyVit.embedDims.at(-1)! : vision.hiddenSize;
  if (tinyVit) tinyVitShapes(tinyVit, shapes);
  else vitShapes(vision, { shapes, pair, linear, norm });
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

interface Writers {
  readonly shapes: Map<string, number[]>;
  readonly pair: (name: string, weight: number[], bias: number | null) => void;
  readonly linear: (name: string, input: number, output: number, bias?: boolean) => void;
  readonly norm: (name: string, width: number) => void;
}

function vitShapes(vision: SamConfig["vision"], { shapes, pair, linear, norm }: Writers): void {
  const root = "vision_encoder";
  const grid = vision.imageSize / vision.patchSize;
  const width = vision.hiddenSize;
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
}

function tinyVitShapes(
  { embedDims, depths, numHeads, windowSizes, ...ratios }: TinyVitConfig,
  shapes: Map<string, number[]>,
): void {
  const convNorm = (name: string, output: number, input: number, kernel: number) => {
    shapes.set(`${name}.c.weight`, [output, input, kernel, kernel]);
    for (const part of ["weight", "bias", "running_mean", "running_var"]) shapes.set(`${name}.bn.${part}`, [output]);
    shapes.set(`${name}.bn.num_batches_tracked`, []);
  };
  const pair = (name: string, weight: number[], bias: number) => {
    shapes.set(`${name}.weight`, weight);
    shapes.set(`${name}.bias`, [bias]);
  };
  const triple = (name: string, input: number, hidden: number, output: number) => {
    convNorm(`${name}.conv1`, hidden, input, 1);
    convNorm(`${name}.conv2`, hidden, 1, 3);
    convNorm(`${name}.conv3`, output, hidden, 1);
  };
  const root = "vision_encoder";
  convNorm(`${root}.patch_embed.seq.0`, embedDims[0]! / 2, 3, 3);
  convNorm(`${root}.patch_embed.seq.2`, embedDims[0]!, embedDims[0]! / 2, 3);
  for (const [stage, width] of embedDims.entries()) {
    for (let i = 0; i < depths[stage]!; i++) {
      const block = `${root}.layers.${stage}.blocks.${i}`;
      if (stage === 0) {
        triple(block, width, width * ratios.mbconvExpandRatio, width);
        continue;
      }
      pair(`${block}.attn.norm`, [width], width);
      pair(`${block}.attn.qkv`, [3 * width, width], 3 * width);
      pair(`${block}.attn.proj`, [width, width], width);
      shapes.set(`${block}.attn.attention_biases`, [numHeads[stage]!, windowSizes[stage]! ** 2]);
      convNorm(`${block}.local_conv`, width, 1, 3);
      pair(`${block}.mlp.norm`, [width], width);
      pair(`${block}.mlp.fc1`, [ratios.mlpRatio * width, width], ratios.mlpRatio * width);
      pair(`${block}.mlp.fc2`, [width, ratios.mlpRatio * width], width);
    }
    const next = embedDims[stage + 1];
    if (next !== undefined) triple(`${root}.layers.${stage}.downsample`, width, next, next);
  }
}

/** Trainable values of `new Sam(config)`: all state but the position matrix and running statistics. */
export function countParameters(config: SamConfig): number {
  let total = 0;
  for (const [name, shape] of samStateShapes(config)) {
    if (!/positional_embedding$|\.running_(mean|var)$|\.num_batches_tracked$/.test(name))
      total += shape.reduce((a, b) => a * b, 1);
  }
  return total;
}
