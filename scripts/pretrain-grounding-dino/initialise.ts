import { at, type Module, normal, uniform } from "@seg/nn";

/** Channels that carry the prior: the product of text and image features starts at -4 for every pair. */
const PRIOR_CHANNELS = 4;
const FUSION_SCALE = 0.3;

/**
 * Initial values for training from nothing, by parameter name: Xavier-uniform linear layers with zero bias, PyTorch's default for convolutions, embeddings N(0, .3), learned
 * queries N(0, 1), zero last layers of the box heads, sampling offsets that start as rays of 1 to 4 cells, fusion gains .3.
 *
 * The prior makes every token's score small at first: four channels of the fused text are the constant 1, and the same channels of everything that text is multiplied
 * with the constant -1. The other channels of the text are scaled by .3. The network has no parameter for it, so it is put into the norms.
 */
export function initialiseFromNothing(
  model: Module,
  { seed, textLayers, heads }: { seed: number; textLayers: number; heads: number },
): void {
  const lastText = `model.encoder.layers.${textLayers - 1}.text_enhancer_layer.layer_norm_after`;
  for (const [name, parameter] of model.namedParameters()) {
    const values = initialValues(name, parameter.shape, { seed, heads });
    const owner = name.slice(0, name.lastIndexOf("."));
    const isWeight = name.endsWith(".weight");
    if (owner === lastText) {
      if (isWeight) values.fill(0.3);
      values.fill(isWeight ? 0 : 1, 0, PRIOR_CHANNELS);
    }
    if (/^model\.(decoder\.layers\.\d+\.final_layer_norm|decoder\.layer_norm|enc_output_norm)$/.test(owner)) {
      values.fill(isWeight ? 0 : -1, 0, PRIOR_CHANNELS);
    }
    parameter.assign(values);
  }
}

function initialValues(
  name: string,
  shape: readonly number[],
  { seed, heads }: { seed: number; heads: number },
): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  const context = at({ seed, path: "grounding-dino" }, name);
  if (/(vision|text)_param$/.test(name)) return new Float32Array(size).fill(FUSION_SCALE);
  if (name.endsWith("relative_position_bias_table")) return normal(context, size, 0.02);
  if (name.endsWith("level_embed") || name.includes("query_position_embeddings")) return normal(context, size, 1);
  if (/_embeddings\.weight$/.test(name)) return normal(context, size, 0.3);
  if (name.endsWith("sampling_offsets.weight") || name.includes("attention_weights.")) return new Float32Array(size);
  if (name.endsWith("sampling_offsets.bias")) return samplingRays(size, heads);
  if (/bbox_embed\.(\d+\.)?layers\.2\./.test(name)) return new Float32Array(size);
  if (shape.length === 4) return uniform(context, size, 1 / Math.sqrt(shape[1]! * shape[2]! * shape[3]!));
  if (shape.length === 2) return uniform(context, size, Math.sqrt(6 / (shape[0]! + shape[1]!)));
  if (name.endsWith(".weight")) return new Float32Array(size).fill(1);
  return new Float32Array(size);
}

/** Head h looks along the angle 2 pi h / heads, point k at a distance of k + 1 cells (longer axis); order [heads, levels, points, 2]. */
function samplingRays(size: number, heads: number, points = 4): Float32Array {
  const values = new Float32Array(size);
  const perHead = size / heads;
  for (let head = 0; head < heads; head++) {
    const angle = (2 * Math.PI * head) / heads;
    const [x, y] = [Math.cos(angle), Math.sin(angle)];
    const longer = Math.max(Math.abs(x), Math.abs(y));
    for (let i = 0; i < perHead; i += 2) {
      const distance = ((i / 2) % points) + 1;
      values[head * perHead + i] = (x / longer) * distance;
      values[head * perHead + i + 1] = (y / longer) * distance;
    }
  }
  return values;
}
