import type { Linear } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { QuantizedLayer } from "./quantized-layer.js";
import type { Bits } from "./quantized-weight.js";

/** A frozen {@link Linear} with a quantised weight. */
export class QuantizedLinear extends QuantizedLayer {
  readonly inFeatures: number;
  readonly outFeatures: number;

  /** Takes the bias over; the caller disposes the weight. */
  constructor(base: Linear, bits: Bits) {
    super(base, bits);
    this.inFeatures = base.inFeatures;
    this.outFeatures = base.outFeatures;
  }

  /** @param x - [..., in] @returns [..., out] */
  forward(x: tf.Tensor): tf.Tensor {
    const { codes } = this;
    const rows = tf.reshape<tf.Rank.R2>(x, [x.size / this.inFeatures, this.inFeatures]);
    const product = tf.customGrad((input) => ({
      value: tf.tidy(() => tf.matMul(input as tf.Tensor2D, codes.value() as tf.Tensor2D, false, true)),
      gradFunc: (dy: tf.Tensor) => tf.tidy(() => tf.matMul(dy as tf.Tensor2D, codes.value("backward") as tf.Tensor2D)),
    }));
    const y = product(rows);
    return tf.reshape(this.bias ? tf.add(y, this.bias.value()) : y, [...x.shape.slice(0, -1), this.outFeatures]);
  }
}
