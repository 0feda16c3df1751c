import * as tf from "@tensorflow/tfjs";
import { at, type InitContext, uniform } from "../init.js";
import { Module, Parameter } from "../module.js";

/** y = x W^T + b over the last axis. State: weight [out, in], bias [out]. Initial values U(+-1/sqrt(in)). */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Parameter;
  bias?: Parameter;

  constructor({
    inFeatures,
    outFeatures,
    bias = true,
    init,
  }: {
    inFeatures: number;
    outFeatures: number;
    bias?: boolean;
    init: InitContext;
  }) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = new Parameter({
      data: uniform(at(init, "weight"), outFeatures * inFeatures, bound),
      shape: [outFeatures, inFeatures],
    });
    if (bias) this.bias = new Parameter({ data: uniform(at(init, "bias"), outFeatures, bound), shape: [outFeatures] });
  }

  /** The weight, [out, in]. Owned by this layer. */
  matrix(): tf.Tensor2D {
    return this.weight.value() as tf.Tensor2D;
  }

  /** @param x - [..., in] @returns [..., out] */
  forward(x: tf.Tensor): tf.Tensor {
    const rows = x.size / this.inFeatures;
    const flat = x.rank === 2 ? (x as tf.Tensor2D) : tf.reshape<tf.Rank.R2>(x, [rows, this.inFeatures]);
    let y: tf.Tensor = tf.matMul(flat, this.weight.value() as tf.Tensor2D, false, true);
    if (this.bias) y = tf.add(y, this.bias.value());
    return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), this.outFeatures]);
  }
}
