import { at, Linear, normal, Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { QuantizedLinear } from "../quantize/quantized-linear.js";
import { LoraLayer, type LoraLayerOptions, type LoraParts } from "./lora-layer.js";

interface LinearParts extends LoraParts {
  readonly lora_A: Linear;
  readonly lora_B: Linear;
}

/** {@link Linear} with adapters: lora_A [r, in], lora_B [out, r]. Has Linear's forward contract, but no weight of its own to read. */
export class LoraLinear extends LoraLayer<Linear | QuantizedLinear, LinearParts> {
  readonly inFeatures: number;
  readonly outFeatures: number;
  protected readonly isTransposed = false;

  constructor(base: Linear | QuantizedLinear) {
    super(base);
    this.inFeatures = base.inFeatures;
    this.outFeatures = base.outFeatures;
  }

  /** The active adapter's A. @throws RangeError without one */
  get lora_A(): Linear {
    return this.parts.lora_A;
  }

  /** The active adapter's B. @throws RangeError without one */
  get lora_B(): Linear {
    return this.parts.lora_B;
  }

  protected createParts(options: LoraLayerOptions): LinearParts {
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
    const { inFeatures, outFeatures } = this;
    const a = new Linear({ inFeatures, outFeatures: rank, bias: false, init: at(init, "lora_A") });
    const b = new Linear({ inFeatures: rank, outFeatures, bias: loraBias, init: at(init, "lora_B") });
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
    const result = new Parameter({ data: Float32Array.from(norm.dataSync()), shape: [this.outFeatures] });
    norm.dispose();
    return result;
  }

  protected override baseMatrix(): tf.Tensor {
    return this.base_layer.matrix();
  }

  /** @param x - [..., in] @returns [..., out] */
  forward(x: tf.Tensor): tf.Tensor {
    const y = this.base_layer.forward(x);
    if (!this.isActive) return y;
    const { lora_A, lora_B, magnitude, scaling } = this.parts;
    const dropped = this.dropInput(x);
    const low = tf.mul(lora_B.forward(lora_A.forward(dropped)), scaling);
    if (!magnitude) return tf.add(y, low);
    const ratio = this.magnitudeRatio(magnitude);
    const { bias } = this.base_layer;
    const biased = dropped === x ? y : this.base_layer.forward(dropped);
    const plain = bias ? tf.sub(biased, bias.value()) : biased;
    return tf.add(y, tf.add(tf.mul(plain, tf.sub(ratio, 1)), tf.mul(low, ratio)));
  }
}
