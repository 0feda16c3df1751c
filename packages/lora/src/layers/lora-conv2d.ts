import { at, Conv2d, normal, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { LoraLayer, type LoraLayerOptions, type LoraParts } from "./lora-layer.js";

interface ConvParts extends LoraParts {
  readonly lora_A: Conv2d;
  readonly lora_B: Conv2d;
}

/** {@link Conv2d} with adapters: lora_A [r, in, kh, kw] with the base's stride and padding, lora_B [out, r, 1, 1]. */
export class LoraConv2d extends LoraLayer<Conv2d, ConvParts> {
  readonly inChannels: number;
  readonly outChannels: number;
  protected readonly isTransposed = false;

  constructor(base: Conv2d) {
    super(base);
    this.inChannels = base.inChannels;
    this.outChannels = base.outChannels;
  }

  /** The active adapter's A. @throws RangeError without one */
  get lora_A(): Conv2d {
    return this.parts.lora_A;
  }

  /** The active adapter's B. @throws RangeError without one */
  get lora_B(): Conv2d {
    return this.parts.lora_B;
  }

  protected createParts(options: LoraLayerOptions): ConvParts {
    const {
      rank,
      scaling,
      loraBias = false,
      useDora = false,
      initLoraWeights = true,
      dropout = 0,
      random = null,
      init,
    } = options;
    const { inChannels, outChannels, kernel, strides, paddings } = this.base_layer;
    const geometry = { kernelSize: kernel, stride: strides, padding: paddings };
    const a = new Conv2d({ ...geometry, inChannels, outChannels: rank, bias: false, init: at(init, "lora_A") });
    const b = new Conv2d({ inChannels: rank, outChannels, kernelSize: 1, bias: loraBias, init: at(init, "lora_B") });
    if (initLoraWeights === "gaussian") a.weight.assign(normal(at(init, "lora_A.gaussian"), a.weight.size, 1 / rank));
    if (initLoraWeights !== false) b.weight.assign(new Float32Array(b.weight.size));
    b.bias?.assign(new Float32Array(b.bias.size));
    const common = { a: a.weight, b: b.weight, bias: b.bias ?? null, rank, scaling, dropout, random, path: init.path };
    const magnitude = useDora ? this.#magnitude({ ...common, children: [], magnitude: null }) : null;
    const children: LoraParts["children"] = [
      ["lora_A", a],
      ["lora_B", b],
      ...(magnitude ? ([["lora_magnitude_vector", magnitude]] as const) : []),
    ];
    return { ...common, lora_A: a, lora_B: b, magnitude, children };
  }

  #magnitude(parts: LoraParts): Parameter {
    const norm = this.weightNorm(parts);
    const result = new Parameter({ data: Float32Array.from(norm.dataSync()), shape: [1, this.outChannels, 1, 1] });
    norm.dispose();
    return result;
  }

  /** @param x - [B, H, W, in] @returns [B, H', W', out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const y = this.base_layer.forward(x);
    if (!this.isActive) return y;
    const { lora_A, lora_B, magnitude, scaling } = this.parts;
    const dropped = this.dropInput(x);
    const low = tf.mul(lora_B.forward(lora_A.forward(dropped)), scaling);
    if (!magnitude) return tf.add(y, low) as tf.Tensor4D;
    const ratio = this.magnitudeRatio(magnitude);
    const { bias } = this.base_layer;
    const biased = dropped === x ? y : this.base_layer.forward(dropped);
    const plain = bias ? tf.sub(biased, bias.value()) : biased;
    return tf.add(y, tf.add(tf.mul(plain, tf.sub(ratio, 1)), tf.mul(low, ratio))) as tf.Tensor4D;
  }
}
