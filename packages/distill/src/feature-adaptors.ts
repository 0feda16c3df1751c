import { at, Conv2d, Module } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

/** Level of a stride in YOLO's names. */
const LEVELS = { 8: "p3", 16: "p4", 32: "p5" } as const;
const EPSILON = 1e-5;

/** Strides of the student's levels. */
export const STUDENT_STRIDES: readonly number[] = [8, 16, 32];

/** What one level needs. */
export interface AdaptorLevel {
  readonly stride: number;
  readonly studentChannels: number;
  readonly teacherChannels: number;
}

/**
 * Brings student features to the teacher's number of channels: per level a 1 x 1 convolution without bias and a batch normalisation without scale and offset. Trained beside the
 * student, kept in checkpoints as `projector/<key>`, left out of exports.
 */
export class FeatureAdaptors extends Module {
  p3?: Conv2d;
  p4?: Conv2d;
  p5?: Conv2d;

  constructor(levels: readonly AdaptorLevel[], { seed }: { seed: number }) {
    super();
    for (const { stride, studentChannels, teacherChannels } of levels) {
      const name = LEVELS[stride as keyof typeof LEVELS];
      const init = at({ seed, path: "projector" }, name);
      this[name] = new Conv2d({
        ...{ inChannels: studentChannels, outChannels: teacherChannels, kernelSize: 1, bias: false, init },
      });
    }
  }

  /** @param features - `[B, h, w, studentChannels]` of the level @returns `[B, h, w, teacherChannels]` */
  forward(stride: number, features: tf.Tensor4D): tf.Tensor4D {
    const conv = this[LEVELS[stride as keyof typeof LEVELS]];
    if (conv === undefined) throw new RangeError(`There is no adaptor for stride ${stride}.`);
    const x = conv.forward(features);
    const channels = x.shape[3];
    const { y } = ops.batchNormTrain({ x, scale: tf.ones([channels]), offset: tf.zeros([channels]), eps: EPSILON });
    return y as tf.Tensor4D;
  }
}
