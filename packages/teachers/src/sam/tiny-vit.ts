import { at, BatchNorm2d, Conv2d, type InitContext, LayerNorm, Linear, Module, ModuleList, Parameter } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { SamVisionConfig, TinyVitConfig } from "./config.js";
import { type SamImageEncoder, SamNeck, type SamTrace } from "./vision-encoder.js";

/** Convolution without bias, then batch normalisation. */
class ConvNorm extends Module {
  c: Conv2d;
  bn: BatchNorm2d;

  constructor(options: {
    inChannels: number;
    outChannels: number;
    kernelSize: number;
    stride?: number;
    groups?: number;
    init: InitContext;
  }) {
    super();
    const { kernelSize, outChannels, init } = options;
    this.c = new Conv2d({ ...options, padding: (kernelSize - 1) / 2, bias: false, init: at(init, "c") });
    this.bn = new BatchNorm2d({ features: outChannels });
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    return this.bn.forward(this.c.forward(x));
  }
}

/** 1x1, depthwise 3x3 and 1x1 convolutions: with a residual and a last GELU an inverted bottleneck, without both a downsampling. */
class TripleConv extends Module {
  readonly #isResidual: boolean;
  conv1: ConvNorm;
  conv2: ConvNorm;
  conv3: ConvNorm;

  constructor({
    input,
    hidden,
    output,
    stride,
    isResidual,
    init,
  }: { input: number; hidden: number; output: number; stride: number; isResidual: boolean; init: InitContext }) {
    super();
    this.#isResidual = isResidual;
    const pointwise = (name: string, inChannels: number, outChannels: number) =>
      new ConvNorm({ inChannels, outChannels, kernelSize: 1, init: at(init, name) });
    this.conv1 = pointwise("conv1", input, hidden);
    const depthwise = { inChannels: hidden, outChannels: hidden, groups: hidden, kernelSize: 3, stride };
    this.conv2 = new ConvNorm({ ...depthwise, init: at(init, "conv2") });
    this.conv3 = pointwise("conv3", hidden, output);
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    const inner = ops.gelu(this.conv2.forward(ops.gelu(this.conv1.forward(x))));
    const y = this.conv3.forward(inner);
    return this.#isResidual ? ops.gelu(tf.add(x, y) as tf.Tensor4D) : y;
  }
}

/** Attention within a window; the norm belongs to it, and the channels of qkv are ordered by head, then q, k, v. */
class WindowAttention extends Module {
  readonly #heads: number;
  readonly #window: number;
  norm: LayerNorm;
  qkv: Linear;
  proj: Linear;
  /** [heads, w w]: one bias per (|dy|, |dx|), |dy| w + |dx|. */
  attention_biases: Parameter;

  constructor({ width, heads, window, init }: { width: number; heads: number; window: number; init: InitContext }) {
    super();
    this.#heads = heads;
    this.#window = window;
    this.norm = new LayerNorm({ features: width });
    this.qkv = new Linear({ inFeatures: width, outFeatures: 3 * width, init: at(init, "qkv") });
    this.proj = new Linear({ inFeatures: width, outFeatures: width, init: at(init, "proj") });
    const shape = [heads, window * window];
    this.attention_biases = new Parameter({ data: new Float32Array(heads * window * window), shape });
  }

  /** @param x - [B, w w, C] */
  forward(x: tf.Tensor3D): tf.Tensor3D {
    const [batch, count, width] = x.shape;
    const depth = width / this.#heads;
    const split = tf.reshape(this.qkv.forward(this.norm.forward(x)), [batch, count, this.#heads, 3 * depth]);
    const parts = tf.split(tf.transpose(split, [0, 2, 1, 3]), 3, 3) as tf.Tensor4D[];
    const [q, k, v] = parts as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    const scores = tf.add(tf.matMul(tf.mul(q, depth ** -0.5), k, false, true), this.#biases());
    const mixed = tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]);
    return this.proj.forward(tf.reshape(mixed, [batch, count, width])) as tf.Tensor3D;
  }

  /** [1, heads, w w, w w] */
  #biases(): tf.Tensor4D {
    const w = this.#window;
    const count = w * w;
    const index = Int32Array.from({ length: count * count }, (_, i) => {
      const [from, to] = [Math.floor(i / count), i % count];
      const dy = Math.abs(Math.floor(from / w) - Math.floor(to / w));
      const dx = Math.abs((from % w) - (to % w));
      return dy * w + dx;
    });
    const gathered = tf.gather(this.attention_biases.value(), tf.tensor1d(index, "int32"), 1);
    return tf.reshape(gathered, [1, this.#heads, count, count]);
  }
}

/** Norm, two linear layers with GELU between. */
class VitMlp extends Module {
  norm: LayerNorm;
  fc1: Linear;
  fc2: Linear;

  constructor({ width, hidden, init }: { width: number; hidden: number; init: InitContext }) {
    super();
    this.norm = new LayerNorm({ features: width });
    this.fc1 = new Linear({ inFeatures: width, outFeatures: hidden, init: at(init, "fc1") });
    this.fc2 = new Linear({ inFeatures: hidden, outFeatures: width, init: at(init, "fc2") });
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.fc2.forward(ops.gelu(this.fc1.forward(this.norm.forward(x))));
  }
}

/** x += window attention; x = depthwise 3x3 (no residual); x += MLP. */
class VitBlock extends Module {
  readonly #window: number;
  attn: WindowAttention;
  local_conv: ConvNorm;
  mlp: VitMlp;

  constructor({
    width,
    heads,
    window,
    hidden,
    init,
  }: { width: number; heads: number; window: number; hidden: number; init: InitContext }) {
    super();
    this.#window = window;
    this.attn = new WindowAttention({ width, heads, window, init: at(init, "attn") });
    const depthwise = { inChannels: width, outChannels: width, groups: width, kernelSize: 3 };
    this.local_conv = new ConvNorm({ ...depthwise, init: at(init, "local_conv") });
    this.mlp = new VitMlp({ width, hidden, init: at(init, "mlp") });
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    const y = this.local_conv.forward(tf.add(x, this.#attend(x)));
    return tf.add(y, this.mlp.forward(y));
  }

  /** Zero padding comes before the norm, so that padded tokens are not zero inside. */
  #attend(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const w = this.#window;
    const rows = Math.ceil(height / w);
    const columns = Math.ceil(width / w);
    const isWhole = rows * w === height && columns * w === width;
    const padding = [
      [0, 0],
      [0, rows * w - height],
      [0, columns * w - width],
      [0, 0],
    ] satisfies [number, number][];
    const padded = isWhole ? x : tf.pad(x, padding);
    const strips = tf.reshape(padded, [batch * rows, w, columns, w * channels]);
    const windows = tf.reshape<tf.Rank.R3>(tf.transpose(strips, [0, 2, 1, 3]), [
      batch * rows * columns,
      w * w,
      channels,
    ]);
    const attended = this.attn.forward(windows);
    const back = tf.transpose(tf.reshape(attended, [batch * rows, columns, w, w * channels]), [0, 2, 1, 3]);
    const full = tf.reshape<tf.Rank.R4>(back, [batch, rows * w, columns * w, channels]);
    return isWhole ? full : tf.slice(full, [0, 0, 0, 0], [batch, height, width, channels]);
  }
}

/** Blocks of one resolution; all but the last stage end in a downsampling. */
class VitStage extends Module {
  blocks: ModuleList<TripleConv | VitBlock>;
  downsample?: TripleConv;

  constructor(blocks: readonly (TripleConv | VitBlock)[], downsample: TripleConv | null) {
    super();
    this.blocks = new ModuleList(blocks);
    if (downsample) this.downsample = downsample;
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    let y = x;
    for (const block of this.blocks) y = block.forward(y);
    return this.downsample ? this.downsample.forward(y) : y;
  }
}

/** `patch_embed`: two strided convolutions; `seq.1` is the GELU between them. */
class VitPatchEmbed extends Module {
  seq: Module;
  readonly #first: ConvNorm;
  readonly #second: ConvNorm;

  constructor({ width, init }: { width: number; init: InitContext }) {
    super();
    const conv = (index: number, inChannels: number, outChannels: number) =>
      new ConvNorm({ inChannels, outChannels, kernelSize: 3, stride: 2, init: at(init, `seq.${index}`) });
    this.#first = conv(0, 3, width / 2);
    this.#second = conv(2, width / 2, width);
    this.seq = new Sparse({ 0: this.#first, 2: this.#second });
  }

  forward(pixels: tf.Tensor4D): tf.Tensor4D {
    return this.#second.forward(ops.gelu(this.#first.forward(pixels)));
  }
}

/** Children under given numbers. */
class Sparse extends Module {
  constructor(children: Readonly<Record<number, Module>>) {
    super();
    Object.assign(this, children);
  }
}

/** Steps of the mergings after each stage. The last one keeps the resolution, which makes the total 16 instead of 32. */
const MERGE_STRIDES = [2, 2, 1] as const;

/**
 * TinyViT (Wu et al., 2022) as MobileSAM's image encoder (Zhang et al., "Faster Segment Anything", 2023): one convolutional stage, three of windowed
 * attention, SAM's neck. Batch normalisation uses its running statistics unless the module is in training mode.
 */
export class TinyVitEncoder extends Module implements SamImageEncoder {
  patch_embed: VitPatchEmbed;
  layers: ModuleList<VitStage>;
  neck: SamNeck;

  constructor({ config, tinyVit, init }: { config: SamVisionConfig; tinyVit: TinyVitConfig; init: InitContext }) {
    super();
    const { embedDims, depths, numHeads, windowSizes, mbconvExpandRatio, mlpRatio } = tinyVit;
    this.patch_embed = new VitPatchEmbed({ width: embedDims[0]!, init: at(init, "patch_embed") });
    this.layers = new ModuleList(
      embedDims.map((width, stage) => {
        const block = (path: string): TripleConv | VitBlock =>
          stage === 0
            ? new TripleConv({
                input: width,
                hidden: width * mbconvExpandRatio,
                output: width,
                stride: 1,
                isResidual: true,
                init: at(init, path),
              })
            : new VitBlock({
                width,
                heads: numHeads[stage]!,
                window: windowSizes[stage]!,
                hidden: width * mlpRatio,
                init: at(init, path),
              });
        const blocks = Array.from({ length: depths[stage]! }, (_, i) => block(`layers.${stage}.blocks.${i}`));
        const next = embedDims[stage + 1];
        const merge =
          next === undefined
            ? null
            : new TripleConv({
                input: width,
                hidden: next,
                output: next,
                stride: MERGE_STRIDES[stage]!,
                isResidual: false,
                init: at(init, `layers.${stage}.downsample`),
              });
        return new VitStage(blocks, merge);
      }),
    );
    this.neck = new SamNeck({ config: { ...config, hiddenSize: embedDims.at(-1)! }, init: at(init, "neck") });
  }

  /** @param pixels - [B, S, S, 3], normalised and zero padded @returns [B, S/16, S/16, out] */
  forward(pixels: tf.Tensor4D, trace?: SamTrace): tf.Tensor4D {
    let x = this.patch_embed.forward(pixels);
    trace?.("patch_embed", x);
    for (let i = 0; i < this.layers.length; i++) {
      x = this.layers.at(i).forward(x);
      trace?.(`stage.${i}`, x);
    }
    const y = this.neck.forward(x, trace);
    trace?.("image_embeddings", y);
    return y;
  }
}
