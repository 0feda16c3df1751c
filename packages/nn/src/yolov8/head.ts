import * as tf from "@tensorflow/tfjs";
import { at, type InitContext } from "../init.js";
import { Conv2d, ConvTranspose2d } from "../layers/conv2d.js";
import { Module, ModuleList } from "../module.js";
import { ConvBlock, type NormOptions } from "./blocks.js";

/** Mask coefficients per anchor, and prototypes per image. */
export const MASK_COEFFICIENTS = 32;

/** Pixels per cell of the three levels P3, P4, P5. */
export const STRIDES = [8, 16, 32] as const;

/** Raw head outputs of one level, NHWC. */
export interface HeadLevel {
  /** [B, h, w, 4 * regMax]: distribution logits of left, top, right, bottom, in stride units. */
  readonly box: tf.Tensor4D;
  /** [B, h, w, classes]: class logits. */
  readonly cls: tf.Tensor4D;
  /** [B, h, w, 32]: mask coefficients; segmentation only. */
  readonly coef?: tf.Tensor4D;
}

/** Conv 3x3, Conv 3x3, plain 1x1 with bias. */
class Branch extends ModuleList {
  constructor({
    inChannels,
    hidden,
    outChannels,
    norm,
    init,
  }: {
    inChannels: number;
    hidden: number;
    outChannels: number;
    norm: NormOptions;
    init: InitContext;
  }) {
    super([
      new ConvBlock({ inChannels, outChannels: hidden, kernelSize: 3, norm, init: at(init, 0) }),
      new ConvBlock({ inChannels: hidden, outChannels: hidden, kernelSize: 3, norm, init: at(init, 1) }),
      new Conv2d({ inChannels: hidden, outChannels, kernelSize: 1, init: at(init, 2) }),
    ]);
  }

  /** Sets the last layer's bias, which decides what an untrained head predicts. */
  fillBias(value: number): void {
    const { bias } = this.at(2) as Conv2d;
    bias!.assign(new Float32Array(bias!.size).fill(value));
  }

  forward(x: tf.Tensor4D): tf.Tensor4D {
    for (const layer of this) x = (layer as ConvBlock | Conv2d).forward(x);
    return x;
  }
}

/**
 * Expectation of the distribution over bins 0..regMax-1 (Li et al., "Generalized Focal Loss", 2020). The frozen kernel 0..regMax-1 is a
 * parameter because published files and counts hold it.
 */
export class Dfl extends Module {
  conv: Conv2d;

  constructor({ regMax, init }: { regMax: number; init: InitContext }) {
    super();
    this.conv = new Conv2d({ inChannels: regMax, outChannels: 1, kernelSize: 1, bias: false, init: at(init, "conv") });
    this.conv.weight.assign(Float32Array.from({ length: regMax }, (_, i) => i));
    this.conv.weight.requiresGrad = false;
  }

  /** @param box - [B, 4 * regMax, A] logits @returns [B, 4, A] distances in stride units */
  forward(box: tf.Tensor3D): tf.Tensor3D {
    const [batch, channels, anchors] = box.shape;
    const regMax = this.conv.inChannels;
    const bins = tf.reshape<tf.Rank.R4>(box, [batch, channels / regMax, regMax, anchors]);
    // As an NHWC map [B, 4, A, regMax] the bins are the channels; the engine lowers this to the transpose (0, 2, 1, 3),
    // softmax over axis 1 and 1x1 convolution of the reference graph.
    const probabilities = tf.softmax(tf.transpose(bins, [0, 1, 3, 2]));
    return tf.reshape(this.conv.forward(probabilities), [batch, channels / regMax, anchors]);
  }
}

/** Mask prototypes from P3: Conv 3x3, transposed conv k2 s2 (bias, no norm, no activation), Conv 3x3, Conv 1x1. */
export class Proto extends Module {
  cv1: ConvBlock;
  upsample: ConvTranspose2d;
  cv2: ConvBlock;
  cv3: ConvBlock;

  constructor({
    inChannels,
    hidden,
    norm,
    init,
  }: { inChannels: number; hidden: number; norm: NormOptions; init: InitContext }) {
    super();
    const inner = { inChannels: hidden, outChannels: hidden, norm };
    this.cv1 = new ConvBlock({ inChannels, outChannels: hidden, kernelSize: 3, norm, init: at(init, "cv1") });
    this.upsample = new ConvTranspose2d({ ...inner, kernelSize: 2, stride: 2, init: at(init, "upsample") });
    this.cv2 = new ConvBlock({ ...inner, kernelSize: 3, init: at(init, "cv2") });
    this.cv3 = new ConvBlock({ ...inner, outChannels: MASK_COEFFICIENTS, init: at(init, "cv3") });
  }

  /** @param x - [B, h, w, in] @returns [B, 2h, 2w, 32] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return this.cv3.forward(this.cv2.forward(this.upsample.forward(this.cv1.forward(x))));
  }
}

/** Anchor-free head over P3, P4, P5: box branch cv2, class branch cv3 and, for segmentation, coefficients cv4 and prototypes. */
export class Head extends Module {
  cv2: ModuleList<Branch>;
  cv3: ModuleList<Branch>;
  dfl: Dfl;
  proto?: Proto;
  cv4?: ModuleList<Branch>;

  /** @param protoChannels - hidden channels of the prototypes, null for detection only */
  constructor({
    channels,
    classes,
    regMax,
    protoChannels,
    norm,
    init,
  }: {
    channels: readonly [number, number, number];
    classes: number;
    regMax: number;
    protoChannels: number | null;
    norm: NormOptions;
    init: InitContext;
  }) {
    super();
    const branches = (name: string, hidden: number, outChannels: number) =>
      new ModuleList(
        channels.map(
          (inChannels, level) => new Branch({ inChannels, hidden, outChannels, norm, init: at(at(init, name), level) }),
        ),
      );
    const [first] = channels;
    this.cv2 = branches("cv2", Math.max(16, Math.floor(first / 4), 4 * regMax), 4 * regMax);
    this.cv3 = branches("cv3", Math.max(first, Math.min(classes, 100)), classes);
    this.dfl = new Dfl({ regMax, init: at(init, "dfl") });
    if (protoChannels !== null) {
      this.proto = new Proto({ inChannels: first, hidden: protoChannels, norm, init: at(init, "proto") });
      this.cv4 = branches("cv4", Math.max(Math.floor(first / 4), MASK_COEFFICIENTS), MASK_COEFFICIENTS);
    }
    for (const [level, stride] of STRIDES.entries()) {
      this.cv2.at(level).fillBias(1);
      // The prior of about 5 objects in an image of 640 x 640.
      this.cv3.at(level).fillBias(Math.log(5 / classes / (640 / stride) ** 2));
    }
  }

  /** @param features - P3, P4, P5 maps */
  forward(features: readonly tf.Tensor4D[]): { levels: HeadLevel[]; proto?: tf.Tensor4D } {
    const levels = features.map((x, level): HeadLevel => {
      const box = this.cv2.at(level).forward(x);
      const cls = this.cv3.at(level).forward(x);
      return this.cv4 ? { box, cls, coef: this.cv4.at(level).forward(x) } : { box, cls };
    });
    return this.proto ? { levels, proto: this.proto.forward(features[0]!) } : { levels };
  }
}
