import * as tf from "@tensorflow/tfjs";
import { Module, Parameter } from "../module.js";

/**
 * Normalisation of each group of consecutive channels over positions and the group's channels (Wu and He, "Group Normalization", 2018):
 * (x - mean) / sqrt(var + eps) * weight + bias, biased variance. State: weight [C], bias [C].
 * @defaultValue eps 1e-5
 */
export class GroupNorm extends Module {
  readonly groups: number;
  readonly eps: number;
  weight: Parameter;
  bias: Parameter;

  /** @throws RangeError when `features` is no multiple of `groups` */
  constructor({ groups, features, eps = 1e-5 }: { groups: number; features: number; eps?: number }) {
    super();
    if (features % groups !== 0) throw new RangeError(`GroupNorm: ${features} channels do not form ${groups} groups.`);
    this.groups = groups;
    this.eps = eps;
    this.weight = new Parameter({ data: new Float32Array(features).fill(1), shape: [features] });
    this.bias = new Parameter({ data: new Float32Array(features), shape: [features] });
  }

  /** @param x - [B, ..., C], channels last @returns the same shape */
  forward<T extends tf.Tensor>(x: T): T {
    const [batch = 1] = x.shape;
    const channels = this.weight.size;
    const width = channels / this.groups;
    const grouped = tf.reshape(x, [batch, x.size / (batch * channels), this.groups, width]);
    const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true));
    const variance = tf.mean(tf.square(centred), [1, 3], true);
    const unit = tf.reshape(tf.mul(centred, tf.rsqrt(tf.add(variance, this.eps))), x.shape);
    return tf.add(tf.mul(unit, this.weight.value()), this.bias.value()) as T;
  }
}
