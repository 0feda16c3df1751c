import { at, type InitContext, type Module, normal, type Parameter } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { type AdaptableBase, LoraLayer, type LoraLayerOptions, type LoraParts } from "./lora-layer.js";

/** A layer of the base's kind: what an adapter is a product of. */
interface Factor<X extends tf.Tensor> extends Module {
  readonly weight: Parameter;
  readonly bias?: Parameter;
  forward(x: X): X;
}

/** An adapter whose factors are layers: y = B(A(x)). */
interface ProductParts<F> extends LoraParts {
  readonly lora_A: F;
  readonly lora_B: F;
}

/** How to make the factors of one adapter. */
export interface FactorOptions {
  readonly rank: number;
  readonly loraBias: boolean;
  readonly initA: InitContext;
  readonly initB: InitContext;
}

/** Adapters that run as two layers of the base's kind one behind the other. */
export abstract class LoraProductLayer<
  X extends tf.Tensor,
  Base extends AdaptableBase & { forward(x: X): X },
  F extends Factor<X>,
> extends LoraLayer<Base, ProductParts<F>> {
  protected readonly isTransposed = false;

  /** New factors with random values: A without bias, B with one if `loraBias`. */
  protected abstract createFactors(options: FactorOptions): { readonly a: F; readonly b: F };

  /** Shape in files of one magnitude per row. */
  protected abstract magnitudeShape(rows: number): number[];

  /** The active adapter's A. @throws RangeError without one */
  get lora_A(): F {
    return this.parts.lora_A;
  }

  /** The active adapter's B. @throws RangeError without one */
  get lora_B(): F {
    return this.parts.lora_B;
  }

  protected createParts(options: LoraLayerOptions): ProductParts<F> {
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
    const { a, b } = this.createFactors({ rank, loraBias, initA: at(init, "lora_A"), initB: at(init, "lora_B") });
    if (initLoraWeights === "gaussian") a.weight.assign(normal(at(init, "lora_A.gaussian"), a.weight.size, 1 / rank));
    if (initLoraWeights !== false) b.weight.assign(new Float32Array(b.weight.size));
    b.bias?.assign(new Float32Array(b.bias.size));
    const common = { a: a.weight, b: b.weight, bias: b.bias ?? null, rank, scaling, dropout, random, path: init.path };
    const magnitude = useDora ? this.initialMagnitude(common, (rows) => this.magnitudeShape(rows)) : null;
    const children: LoraParts["children"] = [
      ["lora_A", a],
      ["lora_B", b],
      ...(magnitude ? ([["lora_magnitude_vector", magnitude]] as const) : []),
    ];
    return { ...common, lora_A: a, lora_B: b, magnitude, children };
  }

  /** Has the base's forward contract. */
  forward(x: X): X {
    const y = this.base_layer.forward(x);
    if (!this.isActive) return y;
    const { lora_A, lora_B, magnitude, scaling } = this.parts;
    const dropped = this.dropInput(x);
    const low = scaledProduct(lora_A.forward(dropped), lora_B, scaling);
    if (!magnitude) return tf.add(y, low) as X;
    const ratio = this.magnitudeRatio(magnitude);
    const { bias } = this.base_layer;
    const biased = dropped === x ? y : this.base_layer.forward(dropped);
    const plain = bias ? tf.sub(biased, bias.value()) : biased;
    return tf.add(y, tf.add(tf.mul(plain, tf.sub(ratio, 1)), tf.mul(low, ratio))) as X;
  }
}

/** B(a) * scaling. Without a bias B is linear: `a`, of few channels, is scaled instead of the result, and in the backward pass likewise. */
function scaledProduct<X extends tf.Tensor>(a: X, b: Factor<X>, scaling: number): tf.Tensor {
  if (b.bias) return tf.mul(b.forward(a), scaling);
  return b.forward(scaling === 1 ? a : tf.mul(a, scaling));
}
