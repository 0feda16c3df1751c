import { at, Conv2d, type InitContext, LayerNorm, Linear, Module, ModuleList, Parameter } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { SamActivation, SamVisionConfig } from "./config.js";
import { truncatedNormal } from "./init.js";
import { PatchConv2d } from "./patch-conv.js";
import { relativeTable } from "./relative-position.js";

/** Receives intermediate maps (names as in the Hugging Face module tree); the tensor belongs to the forward pass, clone to keep it. */
export type SamTrace = (name: string, tensor: tf.Tensor) => void;

/** Score elements above which attention runs in groups of heads: 2^26 float32 are 256 MiB. */
const MAX_SCORE_ELEMENTS = 2 ** 26;

export const activation = (kind: SamActivation, x: tf.Tensor): tf.Tensor =>
  kind === "gelu" ? ops.gelu(x) : tf.relu(x);

/** Two linear layers with an activation between. */
export class SamMlp extends Module {
  readonly #act: SamActivation;
  lin1: Linear;
  lin2: Linear;

  constructor({ width, hidden, act, init }: { width: number; hidden: number; act: SamActivation; init: InitContext }) {
    super();
    this.#act = act;
    this.lin1 = new Linear({ inFeatures: width, outFeatures: hidden, init: at(init, "lin1") });
    this.lin2 = new Linear({ inFeatures: hidden, outFeatures: width, init: at(init, "lin2") });
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.lin2.forward(activation(this.#act, this.lin1.forward(x)));
  }
}

/** Self attention of an H x W map with decomposed relative positions (Li et al., "MViTv2", 2022), which use the unscaled query. */
export class SamVisionAttention extends Module {
  readonly #heads: number;
  qkv: Linear;
  proj: Linear;
  rel_pos_h?: Parameter;
  rel_pos_w?: Parameter;

  constructor({ config, side, init }: { config: SamVisionConfig; side: number; init: InitContext }) {
    super();
    const width = config.hiddenSize;
    this.#heads = config.numAttentionHeads;
    this.qkv = new Linear({ inFeatures: width, outFeatures: 3 * width, bias: config.qkvBias, init: at(init, "qkv") });
    this.proj = new Linear({ inFeatures: width, outFeatures: width, init: at(init, "proj") });
    if (config.useRelPos) {
      const shape = [2 * side - 1, width / config.numAttentionHeads];
      const zeros = () => new Float32Array(shape[0]! * shape[1]!);
      this.rel_pos_h = new Parameter({ data: zeros(), shape });
      this.rel_pos_w = new Parameter({ data: zeros(), shape });
    }
  }

  /** @param x - [B, H, W, C] @returns the same shape */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const count = height * width;
    const groups = batch * this.#heads;
    const depth = channels / this.#heads;
    const parts = tf.split(this.qkv.forward(tf.reshape(x, [batch, count, channels])), 3, 2);
    const [q, k, v] = parts.map((part) =>
      tf.reshape<tf.Rank.R3>(tf.transpose(tf.reshape(part, [batch, count, this.#heads, depth]), [0, 2, 1, 3]), [
        groups,
        count,
        depth,
      ]),
    ) as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];

    const chunk = Math.max(1, Math.min(groups, Math.floor(MAX_SCORE_ELEMENTS / (count * count))));
    const outputs: tf.Tensor3D[] = [];
    for (let start = 0; start < groups; start += chunk) {
      const size = Math.min(chunk, groups - start);
      const cut = (t: tf.Tensor3D) => (size === groups ? t : tf.slice(t, [start, 0, 0], [size, count, depth]));
      outputs.push(this.#attend(cut(q), cut(k), cut(v), height, width));
    }
    const merged = outputs.length === 1 ? outputs[0]! : tf.concat(outputs, 0);
    const joined = tf.transpose(tf.reshape(merged, [batch, this.#heads, count, depth]), [0, 2, 1, 3]);
    return tf.reshape(this.proj.forward(tf.reshape(joined, [batch, count, channels])), x.shape) as tf.Tensor4D;
  }

  /** q, k, v: [G, HW, d] with one group per image and head. */
  #attend(q: tf.Tensor3D, k: tf.Tensor3D, v: tf.Tensor3D, height: number, width: number): tf.Tensor3D {
    const [groups, count, depth] = q.shape;
    let scores: tf.Tensor = tf.matMul(tf.mul(q, depth ** -0.5), k, false, true);
    if (this.rel_pos_h && this.rel_pos_w) {
      const map = tf.reshape(q, [groups, height, width, depth]);
      // scores[g, (h, w), (i, j)] += q[g, h, w] . Rh[h, i] + q[g, h, w] . Rw[w, j]; one product per row, resp. column.
      const rows = tf.reshape<tf.Rank.R3>(tf.transpose(map, [1, 0, 2, 3]), [height, groups * width, depth]);
      const relH = tf.matMul(rows, relativeTable(this.rel_pos_h.value(), height, height), false, true);
      const byRow = tf.transpose(tf.reshape(relH, [height, groups, width, height]), [1, 0, 2, 3]);
      const columns = tf.reshape<tf.Rank.R3>(tf.transpose(map, [2, 0, 1, 3]), [width, groups * height, depth]);
      const relW = tf.matMul(columns, relativeTable(this.rel_pos_w.value(), width, width), false, true);
      const byColumn = tf.transpose(tf.reshape(relW, [width, groups, height, width]), [1, 2, 0, 3]);
      const grid = tf.reshape(scores, [groups, count, height, width]);
      scores = tf.add(
        tf.add(grid, tf.reshape(byRow, [groups, count, height, 1])),
        tf.reshape(byColumn, [groups, count, 1, width]),
      );
    }
    const weights = tf.softmax(tf.reshape<tf.Rank.R3>(scores, [groups, count, count]));
    return tf.matMul(weights, v);
  }
}

/** x += attention(norm x); x += mlp(norm x). */
export class SamVisionLayer extends Module {
  /** 0 for global attention. */
  readonly #window: number;
  layer_norm1: LayerNorm;
  attn: SamVisionAttention;
  layer_norm2: LayerNorm;
  mlp: SamMlp;

  constructor({ config, window, init }: { config: SamVisionConfig; window: number; init: InitContext }) {
    super();
    const width = config.hiddenSize;
    const side = window > 0 ? window : config.imageSize / config.patchSize;
    this.#window = window;
    this.layer_norm1 = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.attn = new SamVisionAttention({ config, side, init: at(init, "attn") });
    this.layer_norm2 = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.mlp = new SamMlp({ width, hidden: config.mlpDim, act: config.hiddenAct, init: at(init, "mlp") });
  }

  forward(x: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D {
    const normed = this.layer_norm1.forward(x);
    const attended = this.#window > 0 ? this.#windowed(normed, trace) : this.attn.forward(normed);
    if (this.#window === 0) trace?.("attn", attended);
    const y = tf.add(x, attended);
    const mlp = this.mlp.forward(this.layer_norm2.forward(y));
    trace?.("mlp", mlp);
    return tf.add(y, mlp) as tf.Tensor4D;
  }

  /** Zero padding comes after the norm, at the bottom and right. */
  #windowed(x: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const w = this.#window;
    const rows = Math.ceil(height / w);
    const columns = Math.ceil(width / w);
    const padded =
      rows * w === height && columns * w === width
        ? x
        : tf.pad(x, [
            [0, 0],
            [0, rows * w - height],
            [0, columns * w - width],
            [0, 0],
          ]);
    // [B rows, w, columns, w C] <-> [B rows columns, w, w, C]
    const strips = tf.reshape(padded, [batch * rows, w, columns, w * channels]);
    const windows = tf.reshape<tf.Rank.R4>(tf.transpose(strips, [0, 2, 1, 3]), [
      batch * rows * columns,
      w,
      w,
      channels,
    ]);
    const attended = this.attn.forward(windows);
    trace?.("attn", attended);
    const back = tf.transpose(tf.reshape(attended, [batch * rows, columns, w, w * channels]), [0, 2, 1, 3]);
    const full = tf.reshape<tf.Rank.R4>(back, [batch, rows * w, columns * w, channels]);
    return padded === x ? full : tf.slice(full, [0, 0, 0, 0], [batch, height, width, channels]);
  }
}

/** Container that carries the name `patch_embed`. */
export class SamPatchEmbed extends Module {
  projection: PatchConv2d;

  constructor({ config, init }: { config: SamVisionConfig; init: InitContext }) {
    super();
    this.projection = new PatchConv2d({
      inChannels: 3,
      outChannels: config.hiddenSize,
      kernelSize: config.patchSize,
      stride: config.patchSize,
      init: at(init, "projection"),
    });
  }
}

/** 1x1 and 3x3 convolutions without bias, each followed by a channel norm of eps 1e-6. */
export class SamNeck extends Module {
  conv1: PatchConv2d;
  layer_norm1: LayerNorm;
  conv2: Conv2d;
  layer_norm2: LayerNorm;

  constructor({ config, init }: { config: SamVisionConfig; init: InitContext }) {
    super();
    const out = config.outputChannels;
    this.conv1 = new PatchConv2d({
      inChannels: config.hiddenSize,
      outChannels: out,
      kernelSize: 1,
      bias: false,
      init: at(init, "conv1"),
    });
    this.layer_norm1 = new LayerNorm({ features: out, eps: 1e-6 });
    this.conv2 = new Conv2d({
      inChannels: out,
      outChannels: out,
      kernelSize: 3,
      padding: 1,
      bias: false,
      init: at(init, "conv2"),
    });
    this.layer_norm2 = new LayerNorm({ features: out, eps: 1e-6 });
  }

  forward(x: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D {
    const a = this.conv1.forward(x);
    trace?.("neck.conv1", a);
    const b = this.layer_norm1.forward(a);
    trace?.("neck.layer_norm1", b);
    const c = this.conv2.forward(b);
    trace?.("neck.conv2", c);
    return this.layer_norm2.forward(c);
  }
}

/** What turns pixels [B, S, S, 3] into an embedding [B, S/patch, S/patch, out]. */
export interface SamImageEncoder extends Module {
  forward(pixels: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D;
}

/** ViT image encoder with windowed and global attention (Kirillov et al., "Segment anything", 2023; Li et al., "ViTDet", 2022). */
export class SamVisionEncoder extends Module implements SamImageEncoder {
  pos_embed?: Parameter;
  patch_embed: SamPatchEmbed;
  layers: ModuleList<SamVisionLayer>;
  neck: SamNeck;

  constructor({ config, init }: { config: SamVisionConfig; init: InitContext }) {
    super();
    const side = config.imageSize / config.patchSize;
    if (config.useAbsPos) {
      this.pos_embed = new Parameter({
        data: truncatedNormal(at(init, "pos_embed"), side * side * config.hiddenSize, 0.02),
        shape: [1, side, side, config.hiddenSize],
      });
    }
    this.patch_embed = new SamPatchEmbed({ config, init: at(init, "patch_embed") });
    this.layers = new ModuleList(
      Array.from({ length: config.numHiddenLayers }, (_, i) => {
        const window = config.globalAttnIndexes.includes(i) ? 0 : config.windowSize;
        return new SamVisionLayer({ config, window, init: at(init, `layers.${i}`) });
      }),
    );
    this.neck = new SamNeck({ config, init: at(init, "neck") });
  }

  /** @param pixels - [B, S, S, 3], normalised and zero padded @returns [B, S/patch, S/patch, out] */
  forward(pixels: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D {
    let x = this.patch_embed.projection.forward(pixels);
    trace?.("patch_embed", x);
    if (this.pos_embed) x = tf.add(x, this.pos_embed.value()) as tf.Tensor4D;
    trace?.("embeddings_with_pos", x);
    for (let i = 0; i < this.layers.length; i++) {
      x = this.layers.at(i).forward(x, trace && ((name, tensor) => trace(`block.${i}.${name}`, tensor)));
      trace?.(`block.${i}`, x);
    }
    const y = this.neck.forward(x, trace);
    trace?.("image_embeddings", y);
    return y;
  }
}
