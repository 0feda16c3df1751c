import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { at, type InitContext } from "../init.js";
import { Conv2d } from "../layers/conv2d.js";
import { BatchNorm2d } from "../layers/norm.js";
import { Module, ModuleList } from "../module.js";

/** Batch normalisation settings shared by a whole network. */
export interface NormOptions {
  readonly eps: number;
  readonly momentum: number;
}

/** What every block is built from: channels in and out, the normalisation, the source of initial values. */
interface BlockOptions {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly norm: NormOptions;
  readonly init: InitContext;
}

/** Convolution without bias (padding k // 2), batch normalisation, SiLU. */
export class ConvBlock extends Module {
  conv: Conv2d;
  bn: BatchNorm2d;

  constructor({
    inChannels,
    outChannels,
    kernelSize = 1,
    stride = 1,
    norm,
    init,
  }: BlockOptions & { kernelSize?: number; stride?: number }) {
    super();
    const padding = Math.floor(kernelSize / 2);
    this.conv = new Conv2d({
      inChannels,
      outChannels,
      kernelSize,
      stride,
      padding,
      bias: false,
      init: at(init, "conv"),
    });
    this.bn = new BatchNorm2d({ features: outChannels, ...norm });
  }

  /** @param x - [B, H, W, in] @returns [B, H/stride, W/stride, out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return ops.silu(this.bn.forward(this.conv.forward(x)));
  }
}

/** Two 3x3 blocks, with a residual connection when `shortcut`. */
export class Bottleneck extends Module {
  cv1: ConvBlock;
  cv2: ConvBlock;
  readonly shortcut: boolean;

  constructor({
    channels,
    shortcut,
    norm,
    init,
  }: { channels: number; shortcut: boolean; norm: NormOptions; init: InitContext }) {
    super();
    const options = { inChannels: channels, outChannels: channels, kernelSize: 3, norm };
    this.cv1 = new ConvBlock({ ...options, init: at(init, "cv1") });
    this.cv2 = new ConvBlock({ ...options, init: at(init, "cv2") });
    this.shortcut = shortcut;
  }

  /** @param x - [B, H, W, C] @returns the same shape */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const y = this.cv2.forward(this.cv1.forward(x));
    return this.shortcut ? tf.add(x, y) : y;
  }
}

/** Cross-stage block: 1x1 to 2c, split in two halves, a chain of bottlenecks on the second, all parts concatenated, 1x1; c = out / 2. */
export class C2f extends Module {
  cv1: ConvBlock;
  cv2: ConvBlock;
  m: ModuleList<Bottleneck>;

  constructor({
    inChannels,
    outChannels,
    repeats,
    shortcut,
    norm,
    init,
  }: BlockOptions & { repeats: number; shortcut: boolean }) {
    super();
    const channels = outChannels / 2;
    this.cv1 = new ConvBlock({ inChannels, outChannels: 2 * channels, norm, init: at(init, "cv1") });
    this.cv2 = new ConvBlock({ inChannels: (2 + repeats) * channels, outChannels, norm, init: at(init, "cv2") });
    const bottleneck = (_: unknown, j: number) =>
      new Bottleneck({ channels, shortcut, norm, init: at(at(init, "m"), j) });
    this.m = new ModuleList(Array.from({ length: repeats }, bottleneck));
  }

  /** @param x - [B, H, W, in] @returns [B, H, W, out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    // Copied: the gradient tape keeps the very array that split returns.
    const parts = [...tf.split(this.cv1.forward(x), 2, 3)] as tf.Tensor4D[];
    for (const bottleneck of this.m) parts.push(bottleneck.forward(parts.at(-1)!));
    return this.cv2.forward(tf.concat(parts, 3));
  }
}

/** Spatial pyramid pooling: 1x1 to in/2, three chained 5x5 max pools, the four maps concatenated, 1x1. */
export class Sppf extends Module {
  cv1: ConvBlock;
  cv2: ConvBlock;

  constructor({ inChannels, outChannels, norm, init }: BlockOptions) {
    super();
    const hidden = inChannels / 2;
    this.cv1 = new ConvBlock({ inChannels, outChannels: hidden, norm, init: at(init, "cv1") });
    this.cv2 = new ConvBlock({ inChannels: 4 * hidden, outChannels, norm, init: at(init, "cv2") });
  }

  /** @param x - [B, H, W, in] @returns [B, H, W, out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const maps = [this.cv1.forward(x)];
    // At stride 1 "same" is the symmetric padding of 2.
    for (let i = 0; i < 3; i++) maps.push(tf.maxPool(maps.at(-1)!, 5, 1, "same"));
    return this.cv2.forward(tf.concat(maps, 3));
  }
}

/** Nearest-neighbour upsampling by 2; no state. */
export class Upsample extends Module {
  /** @param x - [B, H, W, C] @returns [B, 2H, 2W, C] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return tf.image.resizeNearestNeighbor(x, [2 * x.shape[1], 2 * x.shape[2]]);
  }
}

/** Concatenation over channels; no state. */
export class Concat extends Module {
  /** @param maps - each [B, H, W, C_i] @returns [B, H, W, sum C_i] */
  forward(...maps: tf.Tensor4D[]): tf.Tensor4D {
    return tf.concat(maps, 3);
  }
}
