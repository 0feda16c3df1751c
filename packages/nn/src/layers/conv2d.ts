import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { at, type InitContext, uniform } from "../init.js";
import { Module, Parameter } from "../module.js";

/** One number for both axes, or [height, width]. */
export type PerAxis = number | readonly [height: number, width: number];

/** Shape of a convolution. Maps are NHWC, weights keep PyTorch's OIHW. */
export interface Conv2dOptions {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: PerAxis;
  /** @defaultValue 1 */
  readonly stride?: PerAxis;
  /** Zeros on each side. @defaultValue 0 */
  readonly padding?: PerAxis;
  /** Distance of the kernel's taps. @defaultValue 1 */
  readonly dilation?: number;
  /** Output channels see the input channels of their own group only; both counts must be multiples. @defaultValue 1 */
  readonly groups?: number;
  /** @defaultValue true */
  readonly bias?: boolean;
  readonly init: InitContext;
}

/** Zeros before and behind each axis of a NHWC map. */
export type Padding = [[number, number], [number, number], [number, number], [number, number]];

const pair = (value: PerAxis): readonly [number, number] => (typeof value === "number" ? [value, value] : value);

function checkGroups(name: string, { inChannels, outChannels, groups = 1 }: Conv2dOptions): number {
  if (inChannels % groups !== 0 || outChannels % groups !== 0) {
    throw new RangeError(
      `${name}: ${inChannels} input and ${outChannels} output channels do not form ${groups} groups.`,
    );
  }
  return groups;
}

/**
 * 2-D convolution of NHWC maps with explicit symmetric padding. State: weight [out, in/groups, kh, kw] (OIHW), bias [out]. Initial values
 * U(+-1/sqrt(fan_in)), fan_in = in/groups * kh * kw.
 */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Height and width. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly paddings: readonly [number, number];
  readonly dilation: number;
  readonly groups: number;
  weight: Parameter;
  bias?: Parameter;

  /** @throws RangeError for channels that do not divide into the groups */
  constructor(options: Conv2dOptions) {
    super();
    const { inChannels, outChannels, kernelSize, stride = 1, padding = 0, dilation = 1, bias = true, init } = options;
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernel = pair(kernelSize);
    this.strides = pair(stride);
    this.paddings = pair(padding);
    this.dilation = dilation;
    this.groups = checkGroups("Conv2d", options);
    const [height, width] = this.kernel;
    const fanIn = (inChannels / this.groups) * height * width;
    const bound = 1 / Math.sqrt(fanIn);
    this.weight = new Parameter({
      data: uniform(at(init, "weight"), outChannels * fanIn, bound),
      shape: [outChannels, inChannels / this.groups, height, width],
    });
    if (bias) this.bias = new Parameter({ data: uniform(at(init, "bias"), outChannels, bound), shape: [outChannels] });
  }

  /** Height of the kernel, which is square in most networks. */
  get kernelSize(): number {
    return this.kernel[0];
  }

  /** Step along the height. */
  get stride(): number {
    return this.strides[0];
  }

  /** Padding of the height. */
  get padding(): number {
    return this.paddings[0];
  }

  /** @param x - [B, H, W, in] @returns [B, H', W', out], H' = floor((H + 2p - d (k - 1) - 1) / s) + 1 */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    // The engine cancels this transpose against the one of its own lowering; other backends need HWIO.
    const filter = tf.transpose(this.weight.value(), [2, 3, 1, 0]) as tf.Tensor4D;
    const y = this.#convolve(x, filter);
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }

  /** The padding as tf.conv2d takes it. */
  get pad(): number | Padding {
    const [vertical, horizontal] = this.paddings;
    const isSquare =
      vertical === horizontal && this.kernel[0] === this.kernel[1] && this.strides[0] === this.strides[1];
    // With a number tfjs takes the height's geometry for both axes.
    if (isSquare) return vertical;
    return [
      [0, 0],
      [vertical, vertical],
      [horizontal, horizontal],
      [0, 0],
    ];
  }

  #convolve(x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D {
    const strides = [...this.strides] as [number, number];
    const { pad, groups, dilation, inChannels, outChannels } = this;
    if (dilation === 1 && groups === 1) return tf.conv2d(x, filter, strides, pad, "NHWC", 1, "floor");
    if (dilation === 1 && groups === inChannels && strides[0] === strides[1]) {
      // Depthwise: [kh, kw, 1, out] to [kh, kw, in, out/in]; both order outputs by input channel.
      const [height, width] = filter.shape;
      const depthwise = tf.reshape<tf.Rank.R4>(filter, [height, width, inChannels, outChannels / inChannels]);
      return tf.depthwiseConv2d(x, depthwise, strides, pad, "NHWC", 1, "floor");
    }
    return ops.conv2d({ x, filter, strides, pad, dilations: dilation, groups });
  }
}

/** Shape of a transposed convolution. Maps are NHWC, weights keep PyTorch's IOHW. */
export interface ConvTranspose2dOptions extends Omit<Conv2dOptions, "kernelSize" | "stride" | "padding" | "dilation"> {
  readonly kernelSize: number;
  readonly stride: number;
  /** Cut off each side of the result. @defaultValue 0 */
  readonly padding?: number;
  /** Added to the end of each axis of the result, smaller than the stride. @defaultValue 0 */
  readonly outputPadding?: number;
}

/** Transposed convolution of NHWC maps. State: weight [in, out/groups, kh, kw] (IOHW), bias [out]. Initial fan_in = out/groups * k^2. */
export class ConvTranspose2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: number;
  readonly outputPadding: number;
  readonly groups: number;
  weight: Parameter;
  bias?: Parameter;

  /** @throws RangeError for channels that do not divide into the groups */
  constructor(options: ConvTranspose2dOptions) {
    super();
    const { inChannels, outChannels, kernelSize, stride, padding = 0, outputPadding = 0, bias = true, init } = options;
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    this.padding = padding;
    this.outputPadding = outputPadding;
    this.groups = checkGroups("ConvTranspose2d", options);
    const perGroup = outChannels / this.groups;
    const fanIn = perGroup * kernelSize * kernelSize;
    const bound = 1 / Math.sqrt(fanIn);
    this.weight = new Parameter({
      data: uniform(at(init, "weight"), inChannels * fanIn, bound),
      shape: [inChannels, perGroup, kernelSize, kernelSize],
    });
    if (bias) this.bias = new Parameter({ data: uniform(at(init, "bias"), outChannels, bound), shape: [outChannels] });
  }

  /** @param x - [B, H, W, in] @returns [B, (H-1)s - 2p + k + op, (W-1)s - 2p + k + op, out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width] = x.shape;
    const filter = tf.transpose(this.weight.value(), [2, 3, 1, 0]) as tf.Tensor4D;
    const { stride, padding, outputPadding, kernelSize, groups } = this;
    // The whole result, then its window: padding only cuts, output padding only keeps more (zeros behind the last tap).
    const whole = (size: number) => (size - 1) * stride + kernelSize;
    const channels = this.outChannels / groups;
    const convolve = (part: tf.Tensor4D, weights: tf.Tensor4D) =>
      tf.conv2dTranspose(part, weights, [batch, whole(height), whole(width), channels], stride, "valid");
    let y: tf.Tensor4D;
    if (groups === 1) y = convolve(x, filter);
    else {
      const filters = tf.split(filter, groups, 3) as tf.Tensor4D[];
      y = tf.concat(
        (tf.split(x, groups, 3) as tf.Tensor4D[]).map((part, i) => convolve(part, filters[i]!)),
        3,
      );
    }
    if (padding > 0 || outputPadding > 0) {
      const more = Math.max(0, outputPadding - padding);
      const padded =
        more > 0
          ? tf.pad(y, [
              [0, 0],
              [0, more],
              [0, more],
              [0, 0],
            ])
          : y;
      const size = (n: number) => whole(n) - 2 * padding + outputPadding;
      y = tf.slice(
        padded,
        [0, padding, padding, 0],
        [batch, size(height), size(width), this.outChannels],
      ) as tf.Tensor4D;
    }
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }
}
