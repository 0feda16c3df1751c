import { detectorScene } from "../../synthetic/detector-world.js";
import { parseGroundingDinoConfig } from "../config.js";
import { GroundingDino } from "../grounding-dino.js";

const config = parseGroundingDinoConfig({
  backbone_config: { embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 2, 2, 2], window_size: 4, mlp_ratio: 1 },
  text_config: {
    vocab_size: 1040,
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 16,
    max_position_embeddings: 32,
  },
  d_model: 32,
  num_queries: 12,
  encoder_layers: 1,
  encoder_ffn_dim: 32,
  encoder_attention_heads: 2,
  decoder_layers: 2,
  decoder_ffn_dim: 32,
  decoder_attention_heads: 2,
  max_text_len: 16,
});
const phrases = ["round thing", "edgy thing"];
const round = ["circle", "oval", "ring", "blob"];

/** Ids from the sum of the letters; "." between phrases as BERT has it. */
const encode = (list: readonly string[]): number[] => [
  101,
  ...list.flatMap((phrase) => [
    ...phrase.split(" ").map((word) => 200 + ([...word].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 700)),
    1012,
  ]),
  102,
];

const item = (index: number, side = 64) => {
  const { image, instances } = detectorScene({ seed: 1, split: "train", index, side });
  return { image, instances: instances.map(({ shape, box }) => ({ classId: round.includes(shape) ? 0 : 1, box })) };
};

/** For tests: a network of a few thousand weights, four pictures of two classes, and how to ask for them. */
export function smallCase() {
  return {
    model: new GroundingDino(config, { seed: 0 }),
    items: [0, 1, 2, 3].map((index) => item(index)),
    phrases,
    encode,
    size: { shortestEdge: 64, longestEdge: 64 },
    config,
    item,
  };
}
