import { Module, type Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { MergeError } from "../errors.js";
import { type Bits, QuantizedWeight } from "./quantized-weight.js";

/**
 * A frozen layer whose weight is held in 8 or 4 bits. The weight is dequantised where it is used, in the forward and again in the
 * backward pass; gradients reach the input and the bias, never the codes.
 */
export abstract class QuantizedLayer extends Module {
  readonly codes: QuantizedWeight;
  bias?: Parameter;

  /** Takes the bias over; the caller disposes the weight. */
  constructor({ weight, bias }: { readonly weight: Parameter; readonly bias?: Parameter }, bits: Bits) {
    super();
    this.codes = new QuantizedWeight({ values: weight.data(), shape: weight.shape, bits });
    if (bias) this.bias = bias;
  }

  /** @throws {@link MergeError} always: merging goes into the original base, not into rounded weights */
  get weight(): Parameter {
    throw new MergeError({
      reason: "The base is quantised; load the adapter onto the original full-precision base and merge there",
      paths: [],
    });
  }

  /** The dequantised weight with one row per output, [out, size / out]. */
  matrix(): tf.Tensor2D {
    const { shape } = this.codes;
    const [rows = 1] = shape;
    return tf.reshape(this.codes.value(), [rows, shape.reduce((product, size) => product * size, 1) / rows]);
  }

  override dispose(): void {
    this.codes.dispose();
    super.dispose();
  }
}
