import { Conv2d } from "@seg/nn";
import type * as tf from "@tensorflow/tfjs";
import { QuantizedConv2d } from "../quantize/quantized-conv2d.js";
import { type FactorOptions, LoraProductLayer } from "./lora-product-layer.js";

/** {@link Conv2d} with adapters: lora_A [r, in, kh, kw] with the base's stride and padding, lora_B [out, r, 1, 1]. */
export class LoraConv2d extends LoraProductLayer<tf.Tensor4D, Conv2d | QuantizedConv2d, Conv2d> {
  readonly inChannels: number;
  readonly outChannels: number;

  constructor(base: Conv2d | QuantizedConv2d) {
    super(base);
    this.inChannels = base.inChannels;
    this.outChannels = base.outChannels;
  }

  protected createFactors({ rank, loraBias, initA, initB }: FactorOptions): { a: Conv2d; b: Conv2d } {
    const { inChannels, outChannels, kernel, strides, paddings } = this.base_layer;
    const geometry = { kernelSize: kernel, stride: strides, padding: paddings };
    return {
      a: new Conv2d({ ...geometry, inChannels, outChannels: rank, bias: false, init: initA }),
      b: new Conv2d({ inChannels: rank, outChannels, kernelSize: 1, bias: loraBias, init: initB }),
    };
  }

  protected magnitudeShape(rows: number): number[] {
    return [1, rows, 1, 1];
  }

  protected override baseMatrix(rows: number, columns: number): tf.Tensor {
    const base = this.base_layer;
    return base instanceof QuantizedConv2d ? base.matrix() : super.baseMatrix(rows, columns);
  }
}
