import { at, Conv2d, type InitContext, LayerNorm, Linear, Module, ModuleList, Parameter } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { attend } from "./attention.js";
import type { SwinConfig } from "./config.js";
import type { GroundingDinoTrace } from "./trace.js";

/** Added to scores between regions that are neighbours only because of the cyclic shift. */
const OTHER_REGION = -100;

/** Row of the bias table for every pair of a window's positions: (dy + w - 1)(2w - 1) + dx + w - 1. */
function relativePositionIndex(window: number): Int32Array {
  const area = window * window;
  const index = new Int32Array(area * area);
  for (let i = 0; i < area; i++) {
    for (let j = 0; j < area; j++) {
      const dy = Math.floor(i / window) - Math.floor(j / window);
      const dx = (i % window) - (j % window);
      index[i * area + j] = (dy + window - 1) * (2 * window - 1) + dx + window - 1;
    }
  }
  return index;
}

/** [windows, 1, w w, w w]: {@link OTHER_REGION} between positions of a shifted, padded map that come from different places. */
function shiftMask(rows: number, columns: number, window: number, shift: number): tf.Tensor4D {
  const region = (i: number, size: number) => (i < size - window ? 0 : i < size - shift ? 1 : 2);
  const area = window * window;
  const [height, width] = [rows * window, columns * window];
  const mask = new Float32Array(rows * columns * area * area);
  const regions = new Uint8Array(area);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let i = 0; i < area; i++) {
        const y = region(r * window + Math.floor(i / window), height);
        regions[i] = 3 * y + region(c * window + (i % window), width);
      }
      const start = (r * columns + c) * area * area;
      for (let i = 0; i < area; i++) {
        for (let j = 0; j < area; j++) {
          if (regions[i] !== regions[j]) mask[start + i * area + j] = OTHER_REGION;
        }
      }
    }
  }
  return tf.tensor4d(mask, [rows * columns, 1, area, area]);
}

/** Moves maps [B, H, W, C] cyclically by `by` pixels up and left (negative: down and right). */
function roll(x: tf.Tensor4D, by: number): tf.Tensor4D {
  let y: tf.Tensor = x;
  for (const axis of [1, 2]) {
    const size = x.shape[axis]!;
    const head = ((by % size) + size) % size;
    const [first, second] = tf.split(y, [head, size - head], axis);
    y = tf.concat([second!, first!], axis);
  }
  return y as tf.Tensor4D;
}

/** `attention.self`: projections and the table of relative position biases [(2w - 1)^2, heads]. */
class SwinSelfAttention extends Module {
  readonly #heads: number;
  readonly #window: number;
  relative_position_bias_table: Parameter;
  query: Linear;
  key: Linear;
  value: Linear;

  constructor({
    config,
    width,
    heads,
    init,
  }: {
    config: SwinConfig;
    width: number;
    heads: number;
    init: InitContext;
  }) {
    super();
    this.#heads = heads;
    this.#window = config.windowSize;
    const entries = (2 * config.windowSize - 1) ** 2;
    this.relative_position_bias_table = new Parameter({
      data: new Float32Array(entries * heads),
      shape: [entries, heads],
    });
    const linear = (name: string) =>
      new Linear({ inFeatures: width, outFeatures: width, bias: config.qkvBias, init: at(init, name) });
    this.query = linear("query");
    this.key = linear("key");
    this.value = linear("value");
  }

  /**
   * @param x - [B windows, w w, C]
   * @param mask - [windows, 1, w w, w w] of the shift, or null
   */
  forward(x: tf.Tensor3D, mask: tf.Tensor4D | null): tf.Tensor3D {
    const [groups, area] = x.shape;
    const table = this.relative_position_bias_table.value();
    const picked = tf.gather(table, tf.tensor1d(relativePositionIndex(this.#window), "int32"));
    let bias: tf.Tensor = tf.reshape(tf.transpose(picked), [1, this.#heads, area, area]);
    if (mask !== null) {
      bias = tf.add(bias, mask);
      const images = groups / mask.shape[0];
      if (images > 1) bias = tf.tile(bias, [images, 1, 1, 1]);
    }
    return attend({
      query: this.query.forward(x) as tf.Tensor3D,
      key: this.key.forward(x) as tf.Tensor3D,
      value: this.value.forward(x) as tf.Tensor3D,
      heads: this.#heads,
      bias,
    });
  }
}

/** A module whose only child is the linear layer `dense`. */
class Dense extends Module {
  dense: Linear;

  constructor({ input, output, init }: { input: number; output: number; init: InitContext }) {
    super();
    this.dense = new Linear({ inFeatures: input, outFeatures: output, init: at(init, "dense") });
  }
}

class SwinAttention extends Module {
  self: SwinSelfAttention;
  output: Dense;

  constructor(options: { config: SwinConfig; width: number; heads: number; init: InitContext }) {
    super();
    const { width, init } = options;
    this.self = new SwinSelfAttention({ ...options, init: at(init, "self") });
    this.output = new Dense({ input: width, output: width, init: at(init, "output") });
  }
}

/** x += attention(norm x) in windows, shifted by half a window in odd blocks; x += mlp(norm x). */
class SwinBlock extends Module {
  readonly #window: number;
  readonly #shift: number;
  attention: SwinAttention;
  layernorm_before: LayerNorm;
  layernorm_after: LayerNorm;
  intermediate: Dense;
  output: Dense;

  constructor({
    config,
    width,
    heads,
    shifted,
    init,
  }: {
    config: SwinConfig;
    width: number;
    heads: number;
    shifted: boolean;
    init: InitContext;
  }) {
    super();
    this.#window = config.windowSize;
    this.#shift = shifted ? Math.floor(config.windowSize / 2) : 0;
    const hidden = Math.trunc(config.mlpRatio * width);
    this.attention = new SwinAttention({ config, width, heads, init: at(init, "attention") });
    this.layernorm_before = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.layernorm_after = new LayerNorm({ features: width, eps: config.layerNormEps });
    this.intermediate = new Dense({ input: width, output: hidden, init: at(init, "intermediate") });
    this.output = new Dense({ input: hidden, output: width, init: at(init, "output") });
  }

  /** @param x - [B, H, W, C] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const y = tf.add(x, this.#attend(this.layernorm_before.forward(x))) as tf.Tensor4D;
    const hidden = ops.gelu(this.intermediate.dense.forward(this.layernorm_after.forward(y)));
    return tf.add(y, this.output.dense.forward(hidden)) as tf.Tensor4D;
  }

  /** The map is padded with zeros to whole windows; the window never shrinks, not even below a smaller map. */
  #attend(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const w = this.#window;
    const rows = Math.ceil(height / w);
    const columns = Math.ceil(width / w);
    const isWhole = rows * w === height && columns * w === width;
    const padded = isWhole
      ? x
      : tf.pad(x, [
          [0, 0],
          [0, rows * w - height],
          [0, columns * w - width],
          [0, 0],
        ]);
    const moved = this.#shift > 0 ? roll(padded, this.#shift) : padded;
    // [B rows, w, columns, w C] <-> [B rows columns, w w, C]
    const strips = tf.reshape(moved, [batch * rows, w, columns, w * channels]);
    const windows = tf.reshape<tf.Rank.R3>(tf.transpose(strips, [0, 2, 1, 3]), [
      batch * rows * columns,
      w * w,
      channels,
    ]);
    const mask = this.#shift > 0 ? shiftMask(rows, columns, w, this.#shift) : null;
    const attended = this.attention.output.dense.forward(this.attention.self.forward(windows, mask));
    const back = tf.transpose(tf.reshape(attended, [batch * rows, columns, w, w * channels]), [0, 2, 1, 3]);
    const full = tf.reshape<tf.Rank.R4>(back, [batch, rows * w, columns * w, channels]);
    const placed = this.#shift > 0 ? roll(full, -this.#shift) : full;
    return isWhole ? placed : tf.slice(placed, [0, 0, 0, 0], [batch, height, width, channels]);
  }
}

/** Halves a map: 2x2 pixels in the order (0,0), (1,0), (0,1), (1,1) as (row, column), normalised, 4C -> 2C. Odd sides are padded with zeros. */
class SwinPatchMerging extends Module {
  reduction: Linear;
  norm: LayerNorm;

  constructor({ width, init }: { width: number; init: InitContext }) {
    super();
    this.reduction = new Linear({
      inFeatures: 4 * width,
      outFeatures: 2 * width,
      bias: false,
      init: at(init, "reduction"),
    });
    // PyTorch's default eps, whatever the configuration says for the blocks.
    this.norm = new LayerNorm({ features: 4 * width });
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const rows = Math.ceil(height / 2);
    const columns = Math.ceil(width / 2);
    const even = tf.pad(x, [
      [0, 0],
      [0, 2 * rows - height],
      [0, 2 * columns - width],
      [0, 0],
    ]);
    const cells = tf.reshape(even, [batch * rows, 2, columns, 2, channels]);
    const merged = tf.reshape(tf.transpose(cells, [0, 2, 3, 1, 4]), [batch, rows, columns, 4 * channels]);
    return this.reduction.forward(this.norm.forward(merged)) as tf.Tensor4D;
  }
}

class SwinStage extends Module {
  blocks: ModuleList<SwinBlock>;
  downsample?: SwinPatchMerging;

  constructor({ config, stage, init }: { config: SwinConfig; stage: number; init: InitContext }) {
    super();
    const width = config.embedDim * 2 ** stage;
    this.blocks = new ModuleList(
      Array.from(
        { length: config.depths[stage]! },
        (_, i) =>
          new SwinBlock({
            config,
            width,
            heads: config.numHeads[stage]!,
            shifted: i % 2 === 1,
            init: at(init, `blocks.${i}`),
          }),
      ),
    );
    if (stage < config.depths.length - 1) {
      this.downsample = new SwinPatchMerging({ width, init: at(init, "downsample") });
    }
  }
}

class SwinPatchEmbeddings extends Module {
  projection: Conv2d;

  constructor({ config, init }: { config: SwinConfig; init: InitContext }) {
    super();
    this.projection = new Conv2d({
      inChannels: 3,
      outChannels: config.embedDim,
      kernelSize: config.patchSize,
      stride: config.patchSize,
      init: at(init, "projection"),
    });
  }
}

class SwinEmbeddings extends Module {
  readonly #patch: number;
  patch_embeddings: SwinPatchEmbeddings;
  norm: LayerNorm;

  constructor({ config, init }: { config: SwinConfig; init: InitContext }) {
    super();
    this.#patch = config.patchSize;
    this.patch_embeddings = new SwinPatchEmbeddings({ config, init: at(init, "patch_embeddings") });
    this.norm = new LayerNorm({ features: config.embedDim });
  }

  /** @param pixels - [B, H, W, 3], padded here with zeros to whole patches */
  forward(pixels: tf.Tensor4D): tf.Tensor4D {
    const [, height, width] = pixels.shape;
    const missing = (size: number) => (this.#patch - (size % this.#patch)) % this.#patch;
    const [down, right] = [missing(height), missing(width)];
    const padded =
      down + right === 0
        ? pixels
        : tf.pad(pixels, [
            [0, 0],
            [0, down],
            [0, right],
            [0, 0],
          ]);
    return this.norm.forward(this.patch_embeddings.projection.forward(padded));
  }
}

class SwinEncoder extends Module {
  layers: ModuleList<SwinStage>;

  constructor({ config, init }: { config: SwinConfig; init: InitContext }) {
    super();
    this.layers = new ModuleList(
      config.depths.map((_, stage) => new SwinStage({ config, stage, init: at(init, `layers.${stage}`) })),
    );
  }
}

/** Norms named `stage2`, `stage3`, ... of the maps that are handed on. */
class SwinStageNorms extends Module {
  [stage: `stage${number}`]: LayerNorm;

  constructor({ config }: { config: SwinConfig }) {
    super();
    for (const stage of config.outIndices) {
      this[`stage${stage}`] = new LayerNorm({ features: config.embedDim * 2 ** (stage - 1) });
    }
  }
}

/** Swin transformer (Liu et al., 2021) as a backbone: one normalised map per stage of `outIndices`. */
export class SwinBackbone extends Module {
  readonly #config: SwinConfig;
  embeddings: SwinEmbeddings;
  encoder: SwinEncoder;
  hidden_states_norms: SwinStageNorms;

  constructor({ config, init }: { config: SwinConfig; init: InitContext }) {
    super();
    this.#config = config;
    this.embeddings = new SwinEmbeddings({ config, init: at(init, "embeddings") });
    this.encoder = new SwinEncoder({ config, init: at(init, "encoder") });
    this.hidden_states_norms = new SwinStageNorms({ config });
  }

  /** @param pixels - [B, H, W, 3] @returns maps [B, h, w, C] from fine to coarse */
  forward(pixels: tf.Tensor4D, trace?: GroundingDinoTrace): tf.Tensor4D[] {
    const maps: tf.Tensor4D[] = [];
    let x = this.embeddings.forward(pixels);
    trace?.("swin.embeddings", x);
    for (let stage = 0; stage < this.encoder.layers.length; stage++) {
      const layer = this.encoder.layers.at(stage);
      for (let i = 0; i < layer.blocks.length; i++) {
        x = layer.blocks.at(i).forward(x);
        trace?.(`swin.stage${stage}.block${i}`, x);
      }
      if (this.#config.outIndices.includes(stage + 1)) {
        maps.push(this.hidden_states_norms[`stage${stage + 1}`]!.forward(x));
        trace?.(`backbone.${maps.length - 1}`, maps[maps.length - 1]!);
      }
      if (layer.downsample) x = layer.downsample.forward(x);
    }
    return maps;
  }
}
