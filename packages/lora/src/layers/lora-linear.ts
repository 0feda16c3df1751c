import { Linear } from "@seg/nn";
import type * as tf from "@tensorflow/tfjs";
import type { QuantizedLinear } from "../quantize/quantized-linear.js";
import { type FactorOptions, LoraProductLayer } from "./lora-product-layer.js";

/** {@link Linear} with adapters: lora_A [r, in], lora_B [out, r]. Has Linear's forward contract, but no weight of its own to read. */
export class LoraLinear extends LoraProductLayer<tf.Tensor, Linear | QuantizedLinear, Linear> {
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(base: Linear | QuantizedLinear) {
    super(base);
    this.inFeatures = base.inFeatures;
    this.outFeatures = base.outFeatures;
  }

  protected createFactors({ rank, loraBias, initA, initB }: FactorOptions): { a: Linear; b: Linear } {
    const { inFeatures, outFeatures } = this;
    return {
      a: new Linear({ inFeatures, outFeatures: rank, bias: false, init: initA }),
      b: new Linear({ inFeatures: rank, outFeatures, bias: loraBias, init: initB }),
    };
  }

  protected magnitudeShape(rows: number): number[] {
    return [rows];
  }

  protected override baseMatrix(): tf.Tensor {
    return this.base_layer.matrix();
  }
}
