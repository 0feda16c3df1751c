import { backboneChannels, type GroundingDinoConfig } from "./config.js";

/**
 * Names and shapes of the state dict of `new GroundingDino(config)`, without allocating anything: to check a file or estimate memory. The
 * shared box head is listed once, under `bbox_embed.0`.
 */
export function groundingDinoStateShapes(config: GroundingDinoConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const pair = (name: string, weight: number[], bias: number | null) => {
    shapes.set(`${name}.weight`, weight);
    if (bias !== null) shapes.set(`${name}.bias`, [bias]);
  };
  const linear = (name: string, input: number, output: number, bias = true) =>
    pair(name, [output, input], bias ? output : null);
  const norm = (name: string, width: number) => pair(name, [width], width);
  const head = (name: string, input: number, hidden: number, output: number, depth: number) => {
    for (let i = 0; i < depth; i++) {
      linear(`${name}.layers.${i}`, i === 0 ? input : hidden, i === depth - 1 ? output : hidden);
    }
  };
  const d = config.dModel;

  for (let i = 0; i < (config.sharedBoxHead ? 1 : config.decoderLayers); i++) head(`bbox_embed.${i}`, d, d, 4, 3);
  shapes.set("model.level_embed", [config.numFeatureLevels, d]);
  swinShapes();
  const channels = backboneChannels(config.backbone);
  for (let level = 0; level < config.numFeatureLevels; level++) {
    const extra = level - channels.length;
    const input = extra <= 0 ? channels[Math.min(level, channels.length - 1)]! : d;
    const side = extra < 0 ? 1 : 3;
    pair(`model.input_proj_vision.${level}.0`, [d, input, side, side], d);
    norm(`model.input_proj_vision.${level}.1`, d);
  }
  bertShapes();
  linear("model.text_projection", config.text.hiddenSize, d);
  shapes.set("model.query_position_embeddings.weight", [config.numQueries, d]);

  const attention = (name: string) => {
    for (const part of ["query", "key", "value", "out_proj"]) linear(`${name}.${part}`, d, d);
  };
  const deformable = (name: string, heads: number, points: number) => {
    const samples = heads * config.numFeatureLevels * points;
    linear(`${name}.sampling_offsets`, d, samples * 2);
    linear(`${name}.attention_weights`, d, samples);
    linear(`${name}.value_proj`, d, d);
    linear(`${name}.output_proj`, d, d);
  };
  const inner = config.encoderFfnDim / 2;
  for (let i = 0; i < config.encoderLayers; i++) {
    const layer = `model.encoder.layers.${i}`;
    const text = `${layer}.text_enhancer_layer`;
    attention(`${text}.self_attn`);
    linear(`${text}.fc1`, d, inner);
    linear(`${text}.fc2`, inner, d);
    norm(`${text}.layer_norm_before`, d);
    norm(`${text}.layer_norm_after`, d);
    const fusion = `${layer}.fusion_layer`;
    shapes.set(`${fusion}.vision_param`, [d]);
    shapes.set(`${fusion}.text_param`, [d]);
    norm(`${fusion}.layer_norm_vision`, d);
    norm(`${fusion}.layer_norm_text`, d);
    for (const part of ["vision_proj", "text_proj", "values_vision_proj", "values_text_proj"]) {
      linear(`${fusion}.attn.${part}`, d, inner);
    }
    for (const part of ["out_vision_proj", "out_text_proj"]) linear(`${fusion}.attn.${part}`, inner, d);
    const image = `${layer}.deformable_layer`;
    deformable(`${image}.self_attn`, config.encoderAttentionHeads, config.encoderPoints);
    norm(`${image}.self_attn_layer_norm`, d);
    linear(`${image}.fc1`, d, config.encoderFfnDim);
    linear(`${image}.fc2`, config.encoderFfnDim, d);
    norm(`${image}.final_layer_norm`, d);
  }
  norm("model.decoder.layer_norm", d);
  for (let i = 0; i < config.decoderLayers; i++) {
    const layer = `model.decoder.layers.${i}`;
    attention(`${layer}.self_attn`);
    norm(`${layer}.self_attn_layer_norm`, d);
    attention(`${layer}.encoder_attn_text`);
    norm(`${layer}.encoder_attn_text_layer_norm`, d);
    deformable(`${layer}.encoder_attn`, config.decoderAttentionHeads, config.decoderPoints);
    norm(`${layer}.encoder_attn_layer_norm`, d);
    linear(`${layer}.fc1`, d, config.decoderFfnDim);
    linear(`${layer}.fc2`, config.decoderFfnDim, d);
    norm(`${layer}.final_layer_norm`, d);
  }
  head("model.decoder.reference_points_head", 2 * d, d, d, 2);
  linear("model.enc_output", d, d);
  norm("model.enc_output_norm", d);
  head("model.encoder_output_bbox_embed", d, d, 4, 3);
  return shapes;

  function swinShapes(): void {
    const { backbone } = config;
    const root = "model.backbone.conv_encoder.model";
    const { embedDim, patchSize, windowSize, qkvBias } = backbone;
    pair(`${root}.embeddings.patch_embeddings.projection`, [embedDim, 3, patchSize, patchSize], embedDim);
    norm(`${root}.embeddings.norm`, embedDim);
    for (const [stage, depth] of backbone.depths.entries()) {
      const width = embedDim * 2 ** stage;
      const layer = `${root}.encoder.layers.${stage}`;
      const hidden = Math.trunc(backbone.mlpRatio * width);
      for (let i = 0; i < depth; i++) {
        const block = `${layer}.blocks.${i}`;
        norm(`${block}.layernorm_before`, width);
        shapes.set(`${block}.attention.self.relative_position_bias_table`, [
          (2 * windowSize - 1) ** 2,
          backbone.numHeads[stage]!,
        ]);
        for (const part of ["query", "key", "value"]) linear(`${block}.attention.self.${part}`, width, width, qkvBias);
        linear(`${block}.attention.output.dense`, width, width);
        norm(`${block}.layernorm_after`, width);
        linear(`${block}.intermediate.dense`, width, hidden);
        linear(`${block}.output.dense`, hidden, width);
      }
      if (stage < backbone.depths.length - 1) {
        linear(`${layer}.downsample.reduction`, 4 * width, 2 * width, false);
        norm(`${layer}.downsample.norm`, 4 * width);
      }
    }
    for (const stage of backbone.outIndices) {
      norm(`${root}.hidden_states_norms.stage${stage}`, embedDim * 2 ** (stage - 1));
    }
  }

  function bertShapes(): void {
    const { text } = config;
    const root = "model.text_backbone";
    const width = text.hiddenSize;
    shapes.set(`${root}.embeddings.word_embeddings.weight`, [text.vocabSize, width]);
    shapes.set(`${root}.embeddings.position_embeddings.weight`, [text.maxPositionEmbeddings, width]);
    shapes.set(`${root}.embeddings.token_type_embeddings.weight`, [text.typeVocabSize, width]);
    norm(`${root}.embeddings.LayerNorm`, width);
    for (let i = 0; i < text.numHiddenLayers; i++) {
      const layer = `${root}.encoder.layer.${i}`;
      for (const part of ["query", "key", "value"]) linear(`${layer}.attention.self.${part}`, width, width);
      linear(`${layer}.attention.output.dense`, width, width);
      norm(`${layer}.attention.output.LayerNorm`, width);
      linear(`${layer}.intermediate.dense`, width, text.intermediateSize);
      linear(`${layer}.output.dense`, text.intermediateSize, width);
      norm(`${layer}.output.LayerNorm`, width);
    }
  }
}

/** Trainable values of `new GroundingDino(config)`, the shared box head once. */
export function countGroundingDinoParameters(config: GroundingDinoConfig): number {
  let total = 0;
  for (const shape of groundingDinoStateShapes(config).values()) total += shape.reduce((a, b) => a * b, 1);
  return total;
}
