import { at, Conv2d, type InitContext, Linear, Module, normal } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { LoraConfig } from "./config.js";

/** Rank, scaling and initial values of one adapter. */
export interface LoraLayerOptions {
  readonly rank: number;
  /** Factor of the adapter's output, see {@link loraScaling}. */
  readonly scaling: number;
  readonly loraBias?: boolean;
  readonly initLoraWeights?: LoraConfig["initLoraWeights"];
  readonly init: InitContext;
}

/** alpha / r, or alpha / sqrt(r) when rank-stabilised (Kalajdzievski, "A Rank Stabilization Scaling Factor", 2023). */
export function loraScaling({ rank, alpha, useRslora }: { rank: number; alpha: number; useRslora: boolean }): number {
  return alpha / (useRslora ? Math.sqrt(rank) : rank);
}

/** Weights that merging replaces. */
interface BaseWeights {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
}

/**
 * A frozen layer with a low-rank adapter beside it (Hu et al., "LoRA", 2021): y = base(x) + B(A(x)) * s. Children have PEFT's names, so base
 * weights are found under `base_layer`.
 */
export abstract class LoraLayer<Base extends Linear | Conv2d = Linear | Conv2d> extends Module {
  base_layer: Base;
  lora_A: Base;
  lora_B: Base;
  readonly rank: number;
  readonly scaling: number;
  #enabled = true;
  #pristine: BaseWeights | null = null;
  #mergedWeights: BaseWeights | null = null;

  constructor({ base, a, b, rank, scaling }: { base: Base; a: Base; b: Base; rank: number; scaling: number }) {
    super();
    this.base_layer = base;
    this.lora_A = a;
    this.lora_B = b;
    this.rank = rank;
    this.scaling = scaling;
  }

  /** Whether the base weights hold the adapter's contribution. */
  get merged(): boolean {
    return this.#pristine !== null;
  }

  /** Off: the layer computes what the pristine base computes, merged or not. */
  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(on: boolean) {
    if (on === this.#enabled) return;
    this.#enabled = on;
    if (this.#pristine !== null) this.#assign(on ? this.#mergedWeights! : this.#pristine);
  }

  /** Whether the adapter's own path runs in the forward pass. */
  protected get isActive(): boolean {
    return this.#enabled && !this.merged;
  }

  /**
   * W + B A s and bias + lora_B.bias s, computed in float64 and rounded once. Convolutions: (B[out,r] A[r,in*kh*kw]), exact because B is 1x1.
   */
  mergedWeights(): { weight: Float32Array; bias: Float32Array | null } {
    const [a, b] = [this.lora_A.weight.data(), this.lora_B.weight.data()];
    const weight = Float32Array.from(this.base_layer.weight.data());
    const rows = b.length / this.rank;
    const columns = a.length / this.rank;
    const sums = new Float64Array(columns);
    for (let row = 0; row < rows; row++) {
      sums.fill(0);
      for (let k = 0; k < this.rank; k++) {
        const factor = b[row * this.rank + k]! * this.scaling;
        for (let column = 0; column < columns; column++) sums[column]! += factor * a[k * columns + column]!;
      }
      for (let column = 0; column < columns; column++) weight[row * columns + column]! += sums[column]!;
    }
    const added = this.lora_B.bias?.data();
    const bias = added ? this.base_layer.bias!.data().map((value, i) => value + added[i]! * this.scaling) : null;
    return { weight, bias };
  }

  /** Puts `weights` into the base and keeps the pristine ones. The layer must not be merged. */
  merge(weights: { weight: Float32Array; bias: Float32Array | null }): void {
    const { weight, bias } = this.base_layer;
    this.#pristine = {
      weight: Float32Array.from(weight.data()),
      bias: weights.bias && Float32Array.from(bias!.data()),
    };
    this.#mergedWeights = weights;
    if (this.#enabled) this.#assign(weights);
  }

  /** Restores the kept weights: subtracting the product again would drift. The layer must be merged. */
  unmerge(): void {
    this.#assign(this.#pristine!);
    this.#pristine = null;
    this.#mergedWeights = null;
  }

  #assign({ weight, bias }: BaseWeights): void {
    // Copies, because a backend may keep the array.
    this.base_layer.weight.assign(Float32Array.from(weight));
    if (bias) this.base_layer.bias!.assign(Float32Array.from(bias));
  }
}

/** Initial lora_A beyond the layers' own uniform +-1/sqrt(fan_in). */
function initialise(a: Linear | Conv2d, b: Linear | Conv2d, { initLoraWeights, rank, init }: LoraLayerOptions): void {
  if (initLoraWeights === "gaussian") a.weight.assign(normal(at(init, "lora_A.gaussian"), a.weight.size, 1 / rank));
  b.weight.assign(new Float32Array(b.weight.size));
  b.bias?.assign(new Float32Array(b.bias.size));
}

/** {@link Linear} with an adapter: lora_A [r, in], lora_B [out, r]. Has Linear's forward contract, but no weight of its own to read. */
export class LoraLinear extends LoraLayer<Linear> {
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(base: Linear, options: LoraLayerOptions) {
    const { rank, scaling, loraBias = false, init } = options;
    const { inFeatures, outFeatures } = base;
    const a = new Linear({ inFeatures, outFeatures: rank, bias: false, init: at(init, "lora_A") });
    const b = new Linear({ inFeatures: rank, outFeatures, bias: loraBias, init: at(init, "lora_B") });
    super({ base, a, b, rank, scaling });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    initialise(a, b, options);
  }

  /** @param x - [..., in] @returns [..., out] */
  forward(x: tf.Tensor): tf.Tensor {
    const y = this.base_layer.forward(x);
    if (!this.isActive) return y;
    return tf.add(y, tf.mul(this.lora_B.forward(this.lora_A.forward(x)), this.scaling));
  }
}

/** {@link Conv2d} with an adapter: lora_A [r, in, kh, kw] with the base's stride and padding, lora_B [out, r, 1, 1]. */
export class LoraConv2d extends LoraLayer<Conv2d> {
  readonly inChannels: number;
  readonly outChannels: number;

  constructor(base: Conv2d, options: LoraLayerOptions) {
    const { rank, scaling, loraBias = false, init } = options;
    const { inChannels, outChannels, kernelSize, stride, padding } = base;
    const geometry = { kernelSize, stride, padding };
    const a = new Conv2d({ ...geometry, inChannels, outChannels: rank, bias: false, init: at(init, "lora_A") });
    const b = new Conv2d({ inChannels: rank, outChannels, kernelSize: 1, bias: loraBias, init: at(init, "lora_B") });
    super({ base, a, b, rank, scaling });
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    initialise(a, b, options);
  }

  /** @param x - [B, H, W, in] @returns [B, H', W', out] */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const y = this.base_layer.forward(x);
    if (!this.isActive) return y;
    return tf.add(y, tf.mul(this.lora_B.forward(this.lora_A.forward(x)), this.scaling));
  }
}

/** The adapted layers below `model`, by path. */
export function loraLayers(model: Module): Map<string, LoraLinear | LoraConv2d> {
  const result = new Map<string, LoraLinear | LoraConv2d>();
  for (const [path, module] of model.namedModules()) {
    if (module instanceof LoraLinear || module instanceof LoraConv2d) result.set(path, module);
  }
  return result;
}
