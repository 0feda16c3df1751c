import { at, Embedding, type InitContext, LayerNorm, Linear, Module, ModuleList } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { attend } from "./attention.js";
import type { BertConfig } from "./config.js";
import type { GroundingDinoTrace } from "./trace.js";

class BertEmbeddings extends Module {
  word_embeddings: Embedding;
  position_embeddings: Embedding;
  token_type_embeddings: Embedding;
  LayerNorm: LayerNorm;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    const table = (name: string, count: number) =>
      new Embedding({ count, features: config.hiddenSize, init: at(init, name) });
    this.word_embeddings = table("word_embeddings", config.vocabSize);
    this.position_embeddings = table("position_embeddings", config.maxPositionEmbeddings);
    this.token_type_embeddings = table("token_type_embeddings", config.typeVocabSize);
    this.LayerNorm = new LayerNorm({ features: config.hiddenSize, eps: config.layerNormEps });
  }
}

class BertSelfAttention extends Module {
  query: Linear;
  key: Linear;
  value: Linear;

  constructor({ width, init }: { width: number; init: InitContext }) {
    super();
    const linear = (name: string) => new Linear({ inFeatures: width, outFeatures: width, init: at(init, name) });
    this.query = linear("query");
    this.key = linear("key");
    this.value = linear("value");
  }
}

/** norm(dense(x) + residual) */
class BertOutput extends Module {
  dense: Linear;
  LayerNorm: LayerNorm;

  constructor({ input, config, init }: { input: number; config: BertConfig; init: InitContext }) {
    super();
    this.dense = new Linear({ inFeatures: input, outFeatures: config.hiddenSize, init: at(init, "dense") });
    this.LayerNorm = new LayerNorm({ features: config.hiddenSize, eps: config.layerNormEps });
  }

  forward(x: tf.Tensor3D, residual: tf.Tensor3D): tf.Tensor3D {
    return this.LayerNorm.forward(tf.add(this.dense.forward(x), residual) as tf.Tensor3D);
  }
}

class BertAttention extends Module {
  self: BertSelfAttention;
  output: BertOutput;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    this.self = new BertSelfAttention({ width: config.hiddenSize, init: at(init, "self") });
    this.output = new BertOutput({ input: config.hiddenSize, config, init: at(init, "output") });
  }
}

class BertIntermediate extends Module {
  dense: Linear;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    this.dense = new Linear({
      inFeatures: config.hiddenSize,
      outFeatures: config.intermediateSize,
      init: at(init, "dense"),
    });
  }
}

class BertLayer extends Module {
  readonly #heads: number;
  attention: BertAttention;
  intermediate: BertIntermediate;
  output: BertOutput;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    this.#heads = config.numAttentionHeads;
    this.attention = new BertAttention({ config, init: at(init, "attention") });
    this.intermediate = new BertIntermediate({ config, init: at(init, "intermediate") });
    this.output = new BertOutput({ input: config.intermediateSize, config, init: at(init, "output") });
  }

  forward(x: tf.Tensor3D, bias: tf.Tensor4D): tf.Tensor3D {
    const { self, output } = this.attention;
    const mixed = attend({
      query: self.query.forward(x) as tf.Tensor3D,
      key: self.key.forward(x) as tf.Tensor3D,
      value: self.value.forward(x) as tf.Tensor3D,
      heads: this.#heads,
      bias,
    });
    const attended = output.forward(mixed, x);
    const hidden = ops.gelu(this.intermediate.dense.forward(attended)) as tf.Tensor3D;
    return this.output.forward(hidden, attended);
  }
}

class BertEncoder extends Module {
  layer: ModuleList<BertLayer>;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    this.layer = new ModuleList(
      Array.from({ length: config.numHiddenLayers }, (_, i) => new BertLayer({ config, init: at(init, `layer.${i}`) })),
    );
  }
}

/** BERT (Devlin et al., 2019) without pooler, under a mask that says for each pair of tokens whether one sees the other. */
export class Bert extends Module {
  embeddings: BertEmbeddings;
  encoder: BertEncoder;

  constructor({ config, init }: { config: BertConfig; init: InitContext }) {
    super();
    this.embeddings = new BertEmbeddings({ config, init: at(init, "embeddings") });
    this.encoder = new BertEncoder({ config, init: at(init, "encoder") });
  }

  /**
   * @param inputIds - int32 [B, N] @param positionIds - int32 [B, N] @param tokenTypeIds - int32 [B, N]; null: all 0
   * @param bias - [B, 1, N, N], added to the attention scores
   * @returns [B, N, C]
   */
  forward(
    {
      inputIds,
      positionIds,
      tokenTypeIds,
      bias,
    }: { inputIds: tf.Tensor2D; positionIds: tf.Tensor2D; tokenTypeIds: tf.Tensor2D | null; bias: tf.Tensor4D },
    trace?: GroundingDinoTrace,
  ): tf.Tensor3D {
    const { embeddings } = this;
    const words = tf.gather(embeddings.word_embeddings.weight.value(), inputIds);
    const positions = tf.gather(embeddings.position_embeddings.weight.value(), positionIds);
    const types = embeddings.token_type_embeddings.weight.value();
    const type = tokenTypeIds === null ? tf.slice(types, [0, 0], [1, types.shape[1]!]) : tf.gather(types, tokenTypeIds);
    let x = embeddings.LayerNorm.forward(tf.add(tf.add(words, type), positions) as tf.Tensor3D);
    trace?.("text.bert_embeddings", x);
    for (let i = 0; i < this.encoder.layer.length; i++) {
      x = this.encoder.layer.at(i).forward(x, bias);
      trace?.(`text.bert_layer.${i}`, x);
    }
    trace?.("text.bert", x);
    return x;
  }
}
