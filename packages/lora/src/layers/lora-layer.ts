import { type InitContext, Module, Parameter, type RandomSource } from "@seg/nn";
import { ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { LoraConfig } from "../config.js";

/** Rank, scaling and initial values of one adapter. */
export interface LoraLayerOptions {
  readonly rank: number;
  /** Factor of the adapter's output, see {@link loraScaling}. */
  readonly scaling: number;
  readonly loraBias?: boolean;
  readonly useDora?: boolean;
  readonly initLoraWeights?: LoraConfig["initLoraWeights"];
  /** Probability of dropping an element of the adapter's input; needs `random`. @defaultValue 0 */
  readonly dropout?: number;
  readonly random?: RandomSource;
  readonly init: InitContext;
}

/** alpha / r, or alpha / sqrt(r) when rank-stabilised (Kalajdzievski, "A Rank Stabilization Scaling Factor", 2023). */
export function loraScaling({ rank, alpha, useRslora }: { rank: number; alpha: number; useRslora: boolean }): number {
  return alpha / (useRslora ? Math.sqrt(rank) : rank);
}

/** The tensors of one adapter of a layer, and how its output is scaled. */
export interface LoraParts {
  /** Children by PEFT's names, in file order. */
  readonly children: readonly (readonly [name: string, child: Module | Parameter])[];
  /** lora_A as [rank, columns]. */
  readonly a: Parameter;
  /** lora_B as [rows, rank]. */
  readonly b: Parameter;
  readonly bias: Parameter | null;
  /** DoRA's magnitudes, one per row. */
  readonly magnitude: Parameter | null;
  readonly rank: number;
  readonly scaling: number;
  readonly dropout: number;
  readonly random: RandomSource | null;
  /** Path of the adapter's random numbers. */
  readonly path: string;
}

/** Weights that merging replaces. */
export interface BaseWeights {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
}

/** What an adapted layer needs of its base. */
export interface AdaptableBase extends Module {
  readonly weight: Parameter;
  readonly bias?: Parameter;
}

/**
 * A frozen layer with low-rank adapters beside it (Hu et al., "LoRA", 2021): y = base(x) + B(A(dropout(x))) * s. At most one adapter is active; its
 * tensors are children under PEFT's names (without the adapter's), the base is found under `base_layer`.
 *
 * With DoRA (Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024), n = |W + s B A| per output, detached, and magnitudes m:
 * y = base(x) + (m/n - 1) W x + (m/n) s B A x.
 */
export abstract class LoraLayer<
  Base extends AdaptableBase = AdaptableBase,
  Parts extends LoraParts = LoraParts,
> extends Module {
  base_layer: Base;
  readonly #adapters = new Map<string, Parts>();
  #active: string | null = null;
  #enabled = true;
  #pristine: BaseWeights | null = null;
  #mergedWeights: BaseWeights | null = null;

  constructor(base: Base) {
    super();
    this.base_layer = base;
  }

  protected abstract createParts(options: LoraLayerOptions): Parts;
  /** Whether the base weight is stored as [columns, rows] (Embedding). */
  protected abstract readonly isTransposed: boolean;

  override *children(): Generator<[string, Module | Parameter]> {
    yield ["base_layer", this.base_layer];
    const parts = this.activeParts;
    if (parts) for (const [name, child] of parts.children) yield [name, child];
  }

  override getModule(path: string): Module | null {
    const [head = "", ...rest] = path.split(".");
    const found = path === "" ? this : [...this.children()].find(([name]) => name === head)?.[1];
    if (!(found instanceof Module)) return null;
    return path === "" ? found : found.getModule(rest.join("."));
  }

  /** Frees every adapter, active or not, and the base. */
  override dispose(): void {
    for (const parts of this.#adapters.values()) disposeParts(parts);
    this.#adapters.clear();
    this.#active = null;
    this.base_layer.dispose();
  }

  /** Names of the adapters, in the order in which they were added. */
  get adapterNames(): string[] {
    return [...this.#adapters.keys()];
  }

  /** Name of the active adapter; null when this layer has none of that name. */
  get activeAdapter(): string | null {
    return this.#active;
  }

  /** The active adapter's tensors; null without one. */
  get activeParts(): Parts | null {
    return this.#active === null ? null : this.#adapters.get(this.#active)!;
  }

  /** The tensors of an adapter; null when this layer has none of that name. */
  partsOf(name: string): Parts | null {
    return this.#adapters.get(name) ?? null;
  }

  #activeOrThrow(): Parts {
    const parts = this.activeParts;
    if (!parts) throw new RangeError("This layer has no active adapter; call setAdapter.");
    return parts;
  }

  /** Factor of the active adapter's output. @throws RangeError without one */
  get scaling(): number {
    return this.#activeOrThrow().scaling;
  }

  /** Rank of the active adapter. @throws RangeError without one */
  get rank(): number {
    return this.#activeOrThrow().rank;
  }

  /** The active adapter's tensors. @throws RangeError without one */
  protected get parts(): Parts {
    return this.#activeOrThrow();
  }

  /** Adds an adapter, inactive, without effect on the output. The layer must not be merged. */
  addAdapter(name: string, options: LoraLayerOptions): void {
    this.#adapters.set(name, this.createParts(options));
  }

  /** Makes an adapter the active one; null, or a name that this layer does not have: none. The layer must not be merged. */
  setAdapter(name: string | null): void {
    this.#active = name !== null && this.#adapters.has(name) ? name : null;
  }

  /** Whether the base weights hold adapters' contributions. */
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
    return this.#enabled && !this.merged && this.#active !== null;
  }

  /** The adapter's input: in training mode with elements dropped. */
  protected dropInput<T extends tf.Tensor>(x: T): T {
    const { dropout, random, path } = this.parts;
    if (!this.training || dropout === 0) return x;
    if (random === null) throw new RangeError("Dropout of an adapter needs a random source.");
    return tf.tidy(() => ops.dropout({ x, rate: dropout, key: random.keyOf(path) }));
  }

  /** m/n of DoRA, [rows]; n is |W + s B A| per row and does not carry gradients. */
  protected magnitudeRatio(magnitude: Parameter): tf.Tensor1D {
    return tf.tidy(() => {
      const norm = ops.stopGradient(this.weightNorm(this.parts));
      return tf.div(tf.reshape(magnitude.value(), [norm.size]), norm) as tf.Tensor1D;
    });
  }

  /** |W + s B A| per row, [rows]. */
  protected weightNorm({ a, b, rank, scaling }: Pick<LoraParts, "a" | "b" | "rank" | "scaling">): tf.Tensor1D {
    return tf.tidy(() => {
      const rows = b.size / rank;
      const columns = a.size / rank;
      const low = tf.matMul(tf.reshape(b.value(), [rows, rank]), tf.reshape(a.value(), [rank, columns]));
      const base = this.baseMatrix(rows, columns);
      return tf.sqrt(tf.sum(tf.square(tf.add(base, tf.mul(low, scaling))), 1)) as tf.Tensor1D;
    });
  }

  /** DoRA's magnitudes of a new adapter: |W + s B A| per row. @param shape - that files have, with one element per row */
  protected initialMagnitude(
    parts: Omit<LoraParts, "children" | "magnitude">,
    shape: (rows: number) => number[],
  ): Parameter {
    const norm = this.weightNorm(parts);
    const magnitude = new Parameter({ data: Float32Array.from(norm.dataSync()), shape: shape(norm.size) });
    norm.dispose();
    return magnitude;
  }

  /** The base weight as [rows, columns]. */
  protected baseMatrix(rows: number, columns: number): tf.Tensor {
    const weight = this.base_layer.weight.value();
    return this.isTransposed ? tf.transpose(tf.reshape(weight, [columns, rows])) : tf.reshape(weight, [rows, columns]);
  }

  /**
   * The base's weights with the adapters `names` added in order: W + s B A, rows then multiplied by m/n with DoRA, and bias + lora_B.bias s.
   * Computed in float64 and rounded once. Convolutions: (B[out,r] A[r,in*kh*kw]), exact because B is 1x1.
   */
  mergedWeights(names: readonly string[] = this.#active === null ? [] : [this.#active]): BaseWeights {
    const { weight, bias } = this.base_layer;
    const values = Float64Array.from(weight.data());
    let added: Float64Array | null = null;
    for (const name of names) {
      const parts = this.#adapters.get(name);
      if (!parts) continue;
      addProduct(values, parts, this.isTransposed);
      const term = parts.bias?.data();
      if (!term) continue;
      added ??= Float64Array.from(bias!.data());
      for (let i = 0; i < term.length; i++) added[i]! += term[i]! * parts.scaling;
    }
    return { weight: Float32Array.from(values), bias: added && Float32Array.from(added) };
  }

  /** The base's weights as they were before merging. Copies. */
  pristineWeight(): Float32Array {
    return Float32Array.from(this.#pristine?.weight ?? this.base_layer.weight.data());
  }

  /** Puts `weights` into the base and keeps the pristine ones. The layer must not be merged. */
  merge(weights: BaseWeights): void {
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

  /** Frees the adapters; the base stays. */
  disposeAdapters(): void {
    for (const parts of this.#adapters.values()) disposeParts(parts);
    this.#adapters.clear();
    this.#active = null;
  }

  #assign({ weight, bias }: BaseWeights): void {
    // Copies, because a backend may keep the array.
    this.base_layer.weight.assign(Float32Array.from(weight));
    if (bias) this.base_layer.bias!.assign(Float32Array.from(bias));
  }
}

function disposeParts({ children, random }: LoraParts): void {
  random?.dispose();
  for (const [, child] of children) child.dispose();
}

/** values += s B A, then each row times m/n. `values` is [rows, columns], or its transpose. */
function addProduct(values: Float64Array, parts: LoraParts, isTransposed: boolean): void {
  const { rank, scaling } = parts;
  const [a, b, m] = [parts.a.data(), parts.b.data(), parts.magnitude?.data() ?? null];
  const rows = b.length / rank;
  const columns = a.length / rank;
  const [rowStep, columnStep] = isTransposed ? [1, rows] : [columns, 1];
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k]! * scaling;
      for (let column = 0; column < columns; column++) sums[column]! += factor * a[k * columns + column]!;
    }
    let square = 0;
    for (let column = 0; column < columns; column++) {
      const value = values[row * rowStep + column * columnStep]! + sums[column]!;
      values[row * rowStep + column * columnStep] = value;
      square += value * value;
    }
    if (m === null) continue;
    const ratio = m[row]! / Math.sqrt(square);
    for (let column = 0; column < columns; column++) values[row * rowStep + column * columnStep]! *= ratio;
  }
}
