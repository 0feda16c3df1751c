type Shapes = Map<string, readonly number[]>;

const multiplied = ([rows = 0, ...rest]: readonly number[], factor: number) => [rows * factor, ...rest];

/**
 * The names and shapes of the authors' Grounding DINO file, made from Hugging Face's: the inverse of the conversion, written independently of
 * it for tests. DataParallel's prefix and the tensors that nothing reads are included.
 */
export function originalGroundingDino(wanted: ReadonlyMap<string, readonly number[]>): Shapes {
  const result: Shapes = new Map();
  const put = (name: string, shape: readonly number[]) => result.set(`module.${name}`, shape);
  for (const [name, shape] of wanted) {
    const original = originalGroundingDinoName(name);
    if (original !== null) put(original.name, multiplied(shape, original.parts));
  }
  put("bert.pooler.dense.weight", [768, 768]);
  put("bert.pooler.dense.bias", [768]);
  put("bert.embeddings.position_ids", [1, 512]);
  put("backbone.0.layers.0.blocks.0.attn.relative_position_index", [49, 49]);
  return result;
}

/** null for the second and third part of a fused tensor. */
function originalGroundingDinoName(name: string): { name: string; parts: number } | null {
  const whole = (text: string) => ({ name: text, parts: 1 });
  if (name.startsWith("bbox_embed.")) return whole(name);
  const inner = name.slice("model.".length);
  const [head = ""] = inner.split(".");
  switch (head) {
    case "backbone":
      return swinName(inner.slice("backbone.conv_encoder.model.".length));
    case "text_backbone":
      return whole(inner.replace("text_backbone", "bert"));
    case "text_projection":
      return whole(inner.replace("text_projection", "feat_map"));
    case "input_proj_vision":
      return whole(inner.replace("input_proj_vision", "input_proj"));
    case "query_position_embeddings":
      return whole(inner.replace("query_position_embeddings", "transformer.tgt_embed"));
    case "encoder_output_bbox_embed":
      return whole(inner.replace("encoder_output_bbox_embed", "transformer.enc_out_bbox_embed"));
    case "encoder":
      return encoderName(inner);
    case "decoder":
      return decoderName(inner);
    default:
      return whole(`transformer.${inner}`);
  }
}

function swinName(path: string): { name: string; parts: number } | null {
  const stage = /^hidden_states_norms\.stage(\d)\.(.+)$/.exec(path);
  if (stage) return { name: `backbone.0.norm${Number(stage[1]) - 1}.${stage[2]}`, parts: 1 };
  const fused = /^encoder\.(.+)\.attention\.self\.(query|key|value)\.(.+)$/.exec(path);
  if (fused) return fused[2] === "query" ? { name: `backbone.0.${fused[1]}.attn.qkv.${fused[3]}`, parts: 3 } : null;
  const parts: Record<string, string> = {
    "attention.self.relative_position_bias_table": "attn.relative_position_bias_table",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    layernorm_before: "norm1",
    layernorm_after: "norm2",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "embeddings.norm": "patch_embed.norm",
  };
  let result = path.replace(/^encoder\./, "");
  const found = Object.keys(parts).find((part) => result.includes(part));
  if (found !== undefined) result = result.replace(found, parts[found]!);
  return { name: `backbone.0.${result}`, parts: 1 };
}

/** in_proj of PyTorch's attention. */
function fusedName(path: string): { name: string; parts: number } | null | undefined {
  const fused = /^(.+)\.(query|key|value)\.(weight|bias)$/.exec(path);
  if (!fused) return undefined;
  return fused[2] === "query" ? { name: `${fused[1]}.in_proj_${fused[3]}`, parts: 3 } : null;
}

function encoderName(path: string): { name: string; parts: number } | null {
  const [, index = "", kind = "", rest = ""] = /^encoder\.layers\.(\d+)\.(\w+)\.(.+)$/.exec(path) ?? [];
  if (kind === "fusion_layer") {
    const name = rest
      .replace("vision_param", "gamma_v")
      .replace("text_param", "gamma_l")
      .replace("layer_norm_vision", "layer_norm_v")
      .replace("layer_norm_text", "layer_norm_l")
      .replace("vision_proj", "v_proj")
      .replace("text_proj", "l_proj");
    return { name: `transformer.encoder.fusion_layers.${index}.${name}`, parts: 1 };
  }
  const list = kind === "deformable_layer" ? "layers" : "text_layers";
  const own = rest
    .replace(/^(self_attn_layer_norm|layer_norm_before)/, "norm1")
    .replace(/^(final_layer_norm|layer_norm_after)/, "norm2")
    .replace(/^fc/, "linear");
  const full = `transformer.encoder.${list}.${index}.${own}`;
  const fused = kind === "text_enhancer_layer" ? fusedName(full) : undefined;
  return fused === undefined ? { name: full, parts: 1 } : fused;
}

function decoderName(path: string): { name: string; parts: number } | null {
  const layer = /^decoder\.layers\.(\d+)\.(.+)$/.exec(path);
  if (!layer) {
    const name = path
      .replace("decoder.layer_norm", "decoder.norm")
      .replace("decoder.reference_points_head", "decoder.ref_point_head");
    return { name: `transformer.${name}`, parts: 1 };
  }
  const pairs: readonly (readonly [string, string])[] = [
    ["self_attn_layer_norm.", "norm2."],
    ["encoder_attn_text_layer_norm.", "catext_norm."],
    ["encoder_attn_layer_norm.", "norm1."],
    ["final_layer_norm.", "norm3."],
    ["encoder_attn_text.", "ca_text."],
    ["encoder_attn.", "cross_attn."],
    ["fc1.", "linear1."],
    ["fc2.", "linear2."],
  ];
  const [from, to] = pairs.find(([prefix]) => layer[2]!.startsWith(prefix)) ?? ["", ""];
  const full = `transformer.decoder.layers.${layer[1]}.${to}${layer[2]!.slice(from.length)}`;
  const fused = fusedName(full);
  return fused === undefined ? { name: full, parts: 1 } : fused;
}

/** The names and shapes of the authors' SAM file, made from Hugging Face's, for tests. */
export function originalSam(wanted: ReadonlyMap<string, readonly number[]>): Shapes {
  const result: Shapes = new Map([
    ["pixel_mean", [3, 1, 1]],
    ["pixel_std", [3, 1, 1]],
  ]);
  const neck = ["conv1", "layer_norm1", "conv2", "layer_norm2"];
  const mask: Record<string, number> = { conv1: 0, layer_norm1: 1, conv2: 3, layer_norm2: 4, conv3: 6 };
  const upscale: Record<string, number> = { conv1: 0, layer_norm: 1, conv2: 3 };
  for (const [name, shape] of wanted) {
    // Tied to the prompt encoder's, of which the file has one copy.
    if (name.startsWith("shared_image_embedding.")) continue;
    const original = name
      .replace(
        "prompt_encoder.shared_embedding.positional_embedding",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
      )
      .replace("vision_encoder.patch_embed.projection", "vision_encoder.patch_embed.proj")
      .replace(/^vision_encoder\.layers\.(\d+)\.layer_norm/, "vision_encoder.blocks.$1.norm")
      .replace(/^vision_encoder\.layers\./, "vision_encoder.blocks.")
      .replace(/^vision_encoder\.neck\.(\w+)/, (_, part: string) => `vision_encoder.neck.${neck.indexOf(part)}`)
      .replace(/^vision_encoder/, "image_encoder")
      .replace(
        /^prompt_encoder\.mask_embed\.(\w+)/,
        (_, part: string) => `prompt_encoder.mask_downscaling.${mask[part]}`,
      )
      .replace(".point_embed.", ".point_embeddings.")
      .replace(/upscale_(conv1|layer_norm|conv2)/, (_, part: string) => `output_upscaling.${upscale[part]}`)
      .replace("layer_norm_final_attn", "norm_final_attn")
      .replace(/^(mask_decoder\.transformer\.layers\.\d+)\.layer_norm/, "$1.norm")
      .replace(/(mlps\.\d+|iou_prediction_head)\.layers\.0/, "$1.layers.1")
      .replace(/(mlps\.\d+|iou_prediction_head)\.proj_in/, "$1.layers.0")
      .replace(/(mlps\.\d+|iou_prediction_head)\.proj_out/, "$1.layers.2");
    result.set(original, shape);
  }
  return result;
}
