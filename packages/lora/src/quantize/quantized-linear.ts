import { type Linear, Module, type Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { MergeError } from "../errors.js";
import { type Bits, QuantizedWeight } from "./quantized-weight.js";

/**
 * A frozen {@link Linear} whose weight is held in 8 or 4 bits. The weight is dequantised where it is used, in the forward and again in the
 * backward pass; gradients reach the input and the bias, never the codes.
 */
export class QuantizedLinear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly codes: QuantizedWeight;
  bias?: Parameter;

  /** Takes the bias over; the caller disposes the weight. */
  constructor(linear: Linear, bits: Bits) {
    super();
    this.inFeatures = linear.inFeatures;
    this.outFeatures = linear.outFeatures;
    this.codes = new QuantizedWeight({ values: linear.weight.data(), shape: linear.weight.shape, bits });
    if (linear.bias) this.bias = linear.bias;
  }

  /** @throws {@link MergeError} always: merging goes into the original base, not into rounded weights */
  get weight(): Parameter {
    throw new MergeError({
      reason: "The base is quantised; load the adapter onto the original full-precision base and merge there",
      paths: [],
    });
  }

  /** The dequantised weight, [out, in]. */
  matrix(): tf.Tensor2D {
    return this.codes.value() as tf.Tensor2D;
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

  override dispose(): void {
    this.codes.dispose();
    super.dispose();
  }
}
