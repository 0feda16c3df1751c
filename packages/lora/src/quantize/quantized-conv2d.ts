import type { Conv2d, Padding } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { QuantizedLayer } from "./quantized-layer.js";
import type { Bits } from "./quantized-weight.js";

/** A frozen {@link Conv2d} of one group without dilation, with a quantised filter. */
export class QuantizedConv2d extends QuantizedLayer {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly paddings: readonly [number, number];
  readonly pad: number | Padding;

  /** Takes the bias over; the caller disposes the weight. @throws RangeError for groups or dilation */
  constructor(base: Conv2d, bits: Bits) {
    if (base.groups !== 1 || base.dilation !== 1) {
      throw new RangeError(
        `Only convolutions of one group without dilation are quantised, not ${base.groups} groups with dilation ${base.dilation}.`,
      );
    }
    super(base, bits);
    this.inChannels = base.inChannels;
    this.outChannels = base.outChannels;
    this.kernel = base.kernel;
    this.strides = base.strides;
    this.paddings = base.paddings;
    this.pad = base.pad;
  }

  /** @param x - [B, H, W, in] @returns [B, H', W', out], as {@link Conv2d} gives them */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const { codes, pad } = this;
    const strides = [...this.strides] as [number, number];
    const filter = (pass: "forward" | "backward") => tf.transpose(codes.value(pass), [2, 3, 1, 0]) as tf.Tensor4D;
    const convolve = tf.customGrad((input) => ({
      value: tf.tidy(() => tf.conv2d(input as tf.Tensor4D, filter("forward"), strides, pad, "NHWC", 1, "floor")),
      // The gradient with respect to the input is the transposed convolution of the same geometry.
      gradFunc: (dy: tf.Tensor) =>
        tf.tidy(() => tf.conv2dTranspose(dy as tf.Tensor4D, filter("backward"), x.shape, strides, pad, "floor")),
    }));
    const y = convolve(x) as tf.Tensor4D;
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }
}
