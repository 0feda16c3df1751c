import * as tf from "@tensorflow/tfjs";
import { at, type InitContext, uniform } from "../init.js";
import { Module, Parameter } from "../module.js";

/** 2-D convolution of NHWC maps with explicit symmetric padding. State: weight [out, in, kh, kw] (OIHW), bias [out]. */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: number;
  weight: Parameter;
  bias?: Parameter;

  constructor({
    inChannels,
    outChannels,
    kernelSize,
    stride = 1,
    padding = 0,
    bias = true,
    init,
  }: {
    inChannels: number;
    outChannels: number;
    kernelSize: number;
    stride?: number;
    padding?: number;
    bias?: boolean;
    init: InitContext;
  }) {
    super();
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    this.padding = padding;
    const fanIn = inChannels * kernelSize * kernelSize;
    const bound = 1 / Math.sqrt(fanIn);
    this.weight = new Parameter({
      data: uniform(at(init, "weight"), outChannels * fanIn, bound),
      shape: [outChannels, inChannels, kernelSize, kernelSize],
    });
    if (bias) this.bias = new Parameter({ data: uniform(at(init, "bias"), outChannels, bound), shape: [outChannels] });
  }

  /** @param x - [B, H, W, in] @returns [B, H', W', out], H' = floor((H + 2p - k) / s) + 1 */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    // The engine cancels this transpose against the one of its own lowering; other backends need HWIO.
    const filter = tf.transpose(this.weight.value(), [2, 3, 1, 0]) as tf.Tensor4D;
    const y = tf.conv2d(x, filter, this.stride, this.padding, "NHWC", 1, "floor");
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }
}

/** Transposed convolution of NHWC maps. State: weight [in, out, kh, kw] (IOHW), bias [out]. Initial fan_in = out * k^2. */
export class ConvTranspose2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  weight: Parameter;
  bias?: Parameter;

  constructor({
    inChannels,
    outChannels,
    kernelSize,
    stride,
    bias = true,
    init,
  }: {
    inChannels: number;
    outChannels: number;
    kernelSize: number;
    stride: number;
    bias?: boolean;
    init: InitContext;
  }) {
    super();
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    const fanIn = outChannels * kernelSize * kernelSize;
    const bound = 1 / Math.sqrt(fanIn);
    this.weight = new Parameter({
      data: uniform(at(init, "weight"), inChannels * fanIn, bound),
      shape: [inChannels, outChannels, kernelSize, kernelSize],
    });
    if (bias) this.bias = new Parameter({ data: uniform(at(init, "bias"), outChannels, bound), shape: [outChannels] });
  }

  /** @param x - [B, H, W, in] @returns [B, (H-1)s+k, (W-1)s+k, out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width] = x.shape;
    const filter = tf.transpose(this.weight.value(), [2, 3, 1, 0]) as tf.Tensor4D;
    const outHeight = (height - 1) * this.stride + this.kernelSize;
    const outWidth = (width - 1) * this.stride + this.kernelSize;
    const y = tf.conv2dTranspose(x, filter, [batch, outHeight, outWidth, this.outChannels], this.stride, "valid");
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }
}
