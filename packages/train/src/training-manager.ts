import type { Module, Parameter, StateDict } from "@seg/nn";
import { type CompiledFunction, compile } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { JsonObject } from "./config.js";
import type { Ema } from "./ema.js";
import { NonFiniteGradientError, NonFiniteLossError } from "./errors.js";
import { type ClipOptions, clipCoefficient, findNonFinite, type GradStats, gradStats } from "./grad-norm.js";
import { type ResidentKernels, residentKernels } from "./kernels/kernels.js";
import type { LossScaler, LossScalerState } from "./loss-scaler.js";
import type { Optimizer, OptimizerState } from "./optimizer.js";
import type { ParameterGroup } from "./param-groups.js";

/** Tensors of one batch by name. */
export type BatchTensors = Readonly<Record<string, tf.Tensor>>;

/** Builds the loss of one batch from tfjs operations. `parts` are the terms to log; they need not add up to `total`. */
export type LossFunction = (inputs: BatchTensors) => { total: tf.Scalar; parts: Record<string, tf.Scalar> };

/** What a compiled step computes. */
interface Differentiated {
  readonly [key: string]: tf.Tensor | string[] | { [name: string]: tf.Tensor };
  readonly loss: tf.Scalar;
  readonly parts: { [name: string]: tf.Tensor };
  /** Large ones one by one. */
  readonly grads: { [name: string]: tf.Tensor };
  /** Names of the small ones, which `small` holds one behind the other; empty with an empty tensor. */
  readonly smallNames: string[];
  readonly small: tf.Tensor1D;
}
/** The numbers of {@link Differentiated}; gradients by parameter name. */
interface ShardResult {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly grads: ReadonlyMap<string, Float32Array>;
}
/** Elements below which a gradient is handed over with others: a tensor of its own costs more than its copy. */
const SMALL = 4096;
/** `mode` tells graphs apart that differ by switches of the model, not by shapes. */
type CompiledStep = CompiledFunction<
  [{ inputs: { [name: string]: tf.Tensor }; scale: tf.Scalar; mode: string }],
  Differentiated
>;

/** Result of {@link TrainingManager.step}. */
export interface StepResult {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  /** Global norm before clipping; null for a batch that only accumulates. */
  readonly gradNorm: number | null;
  /** Largest and mean magnitude beside the norm; null for a batch that only accumulates. */
  readonly gradStats: GradStats | null;
  /** Learning rate of this batch by group name. */
  readonly lr: Readonly<Record<string, number>>;
  /** Whether parameters changed: false while accumulating and when a scaled step overflowed. */
  readonly updated: boolean;
}

/** Options of {@link TrainingManager}. */
export interface TrainingManagerOptions {
  /** The model that `ema` averages and checkpoints hold. Trained is what the groups list. */
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly groups: readonly ParameterGroup[];
  /** Base learning rate. */
  readonly lr: number;
  /** Factor by 0-based batch count. @defaultValue constant 1 */
  readonly schedule?: (step: number) => number;
  /** Factor by 0-based batch count and group name. @defaultValue constant 1 */
  readonly warmup?: (step: number, group?: string) => number;
  /** Momentum (or beta1) by 0-based batch count. @defaultValue the optimiser's own */
  readonly momentum?: (step: number) => number;
  /** null: norms are measured but nothing is clipped. @defaultValue null */
  readonly clip?: ClipOptions | null;
  /** @defaultValue null */
  readonly ema?: Ema | null;
  /** Batches per update, fixed or by 0-based batch count. @defaultValue 1 */
  readonly accumulate?: number | ((step: number) => number);
  /** How the gradients of a window combine. `sum` fits losses that are sums over images. @defaultValue "sum" */
  readonly accumulateReduction?: "sum" | "mean";
  /**
   * Parts of equal size that a batch is divided into along its first axis, trained like the batches of a window but at the same time, each on a
   * core of its own (engine onnxruntime, cpu). Batch statistics are those of a part, running ones the mean of theirs: data-parallel
   * training without synchronised batch normalisation. Results depend on the number. @defaultValue 1
   */
  readonly shards?: number;
  /** Dynamic loss scaling; for engines that compute in fp16. @defaultValue null */
  readonly scaler?: LossScaler | null;
  /** Makes what computes norms, updates and averages, with space for arrays of these lengths. @defaultValue `residentKernels` */
  readonly kernels?: (lengths: readonly number[]) => ResidentKernels;
}

/** Scalars a checkpoint keeps of a {@link TrainingManager}. */
export interface TrainingScalars {
  readonly batches: number;
  readonly updates: number;
  readonly emaUpdates: number | null;
  readonly scaler: LossScalerState | null;
}

/**
 * One optimisation step: forward, backward, accumulate, unscale, finite check, clip, update, average. The engine runs once per step;
 * optimiser and average work on the host.
 */
export class TrainingManager {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly groups: readonly ParameterGroup[];
  readonly ema: Ema | null;
  readonly scaler: LossScaler | null;
  readonly #options: TrainingManagerOptions;
  readonly #parameters = new Map<string, Parameter>();
  /** Current values of the same, for the optimiser. */
  readonly #values = new Map<string, { readonly data: Float32Array }>();
  /** Two arrays per parameter: a live tensor keeps a reference to the one that was assigned last. */
  readonly #buffers = new Map<string, { arrays: [Float32Array, Float32Array]; next: 0 | 1 }>();
  /** Sums of the open window, of which a shard counts as a batch; parameters that got no gradient in it are absent. */
  readonly #accumulated = new Map<string, Float32Array>();
  readonly #sums = new Map<string, Float32Array>();
  readonly #steps = new WeakMap<LossFunction, CompiledStep>();
  /** Values, slots, average and gradients live in its memory: an update reads and writes them in place. */
  readonly #kernels: ResidentKernels;
  /** What the engine writes gradients into, by length and position in its result. */
  readonly #gradients = new Map<string, Float32Array>();
  readonly #shards: number;
  #window = 0;
  readonly #slots: OptimizerState;
  #batches = 0;
  #updates = 0;

  constructor(options: TrainingManagerOptions) {
    this.#options = options;
    this.model = options.model;
    this.optimizer = options.optimizer;
    this.groups = options.groups;
    this.ema = options.ema ?? null;
    this.scaler = options.scaler ?? null;
    for (const group of options.groups) {
      for (const [name, parameter] of group.parameters) {
        if (this.#parameters.has(name)) throw new RangeError(`Parameter "${name}" is in two groups.`);
        this.#parameters.set(name, parameter);
      }
    }
    if (this.#parameters.size === 0) throw new RangeError("No trainable parameter: every group is empty.");
    const { shards = 1 } = options;
    if (!Number.isInteger(shards) || shards < 1)
      throw new RangeError(`shards is ${shards}: expected a number of parts, at least 1.`);
    this.#shards = shards;
    const lengths = [...this.#parameters.values()].map(({ size }) => size);
    // Two arrays for the values, two for the slots of the largest optimiser, one for the average; gradients as they are handed over.
    const { kernels = residentKernels } = options;
    const small = lengths.reduce((sum, length) => (length < SMALL ? sum + length : sum), 0);
    const gradients = [...lengths.filter((length) => length >= SMALL), small];
    const average = this.ema?.lengths ?? [];
    this.#kernels = kernels([...lengths, ...lengths, ...lengths, ...lengths, ...average, ...gradients]);
    for (const [name, parameter] of this.#parameters) {
      this.#values.set(name, {
        get data() {
          return parameter.data();
        },
      });
    }
    this.#slots = options.optimizer.init(this.#values, this.#kernels.allocate);
    this.ema?.moveTo(this.#kernels);
  }

  /** Batches seen so far. */
  get batches(): number {
    return this.#batches;
  }

  /** Parameter updates so far. */
  get updates(): number {
    return this.#updates;
  }

  /** Whether batches have been accumulated that no update has used yet; such a state cannot be saved. */
  get isWindowOpen(): boolean {
    return this.#window > 0;
  }

  /** What defines the optimisation, for comparison on resume. */
  describe(): JsonObject {
    const { lr, accumulate = 1, accumulateReduction = "sum" } = this.#options;
    return {
      optimizer: { kind: this.optimizer.kind, ...this.optimizer.options },
      lr,
      accumulate: typeof accumulate === "number" ? accumulate : "by step",
      accumulate_reduction: accumulateReduction,
      shards: this.#shards,
      ema: this.ema === null ? null : { decay: this.ema.decay, tau: this.ema.tau },
    };
  }

  /** Learning rates at a 0-based batch count. */
  lrAt(step: number): Record<string, number> {
    const result: Record<string, number> = {};
    for (const group of this.groups) result[group.name] = this.#groupLr(group, step);
    return result;
  }

  /**
   * Trains on one batch. Batch statistics that the loss assigns to buffers are computed by the same engine run as the gradients.
   *
   * @param lossFn - runs inside the gradient scope
   * @param inputs - tensors of the batch; the caller disposes them. With them the step is compiled: hand over the same function every
   *   time, which takes everything that changes from its argument; it is recorded once per shape of the inputs and then replayed.
   *   Without them the function runs anew with every step, in one shard. With shards every tensor but scalars begins with the batch axis.
   * @throws {@link NonFiniteLossError}, {@link NonFiniteGradientError}; no parameter has changed then
   */
  async step(lossFn: LossFunction, inputs?: BatchTensors): Promise<StepResult> {
    const step = this.#batches;
    const scale = this.scaler?.scale ?? 1;
    const { loss, parts, shards } = await this.#differentiate(lossFn, inputs ?? null, scale);
    if (!Number.isFinite(loss) || Object.values(parts).some((part) => !Number.isFinite(part))) {
      throw new NonFiniteLossError({ step, loss, parts });
    }
    const { accumulate = 1 } = this.#options;
    const wanted = typeof accumulate === "number" ? accumulate : accumulate(step);
    const lr = this.lrAt(step);
    this.#batches += 1;
    if (wanted > 1 || shards.length > 1 || this.#window > 0) {
      // A window of one batch ends before the engine writes its gradients again: the first shard's arrays take the sums.
      const inPlace = wanted === 1 && this.#window === 0;
      for (const grads of shards) this.#add(grads, inPlace);
      if (this.#window < wanted * shards.length)
        return { loss, parts, gradNorm: null, gradStats: null, lr, updated: false };
      return { loss, parts, lr, ...this.#applyWindow(step) };
    }
    return { loss, parts, lr, ...this.#apply(shards[0]!, { step, unscale: 1 / scale }) };
  }

  /** Applies an incomplete accumulation window (end of an epoch); null if there is none. */
  flush(): Pick<StepResult, "gradNorm" | "gradStats" | "updated"> | null {
    return this.#window === 0 ? null : this.#applyWindow(Math.max(this.#batches - 1, 0));
  }

  /** Optimiser slots; arrays are live, copy or encode them before the next step. */
  get slots(): OptimizerState {
    return this.#slots;
  }

  /** Counters; only between accumulation windows. */
  scalars(): TrainingScalars {
    if (this.#window > 0) throw new RangeError("An accumulation window is open: call flush() before saving.");
    return {
      batches: this.#batches,
      updates: this.#updates,
      emaUpdates: this.ema?.updates ?? null,
      scaler: this.scaler?.state() ?? null,
    };
  }

  /**
   * Goes on from a saved state; the model's own values are loaded by the caller. Without `slots` the optimiser starts afresh.
   * @throws RangeError when slots do not fit the parameters
   */
  restore({
    scalars,
    slots,
    ema,
  }: {
    scalars: TrainingScalars;
    slots: OptimizerState | null;
    ema: StateDict | null;
  }): void {
    if (slots) {
      for (const [key, values] of this.#slots) {
        const length = slots.get(key)?.length;
        if (length !== values.length) {
          throw new RangeError(
            `Optimiser slot "${key}" has ${length ?? "no"} elements in the saved state, expected ${values.length}.`,
          );
        }
      }
    }
    if (this.ema && ema) this.ema.load({ state: ema, updates: scalars.emaUpdates ?? 0 });
    if (this.scaler && scalars.scaler) this.scaler.load(scalars.scaler);
    for (const [key, values] of this.#slots) values.set(slots?.get(key) ?? new Float32Array(values.length));
    this.#batches = scalars.batches;
    this.#updates = scalars.updates;
    this.#window = 0;
  }

  #groupLr(group: ParameterGroup, step: number): number {
    const { lr, schedule, warmup } = this.#options;
    return lr * (group.lrScale ?? 1) * (schedule?.(step) ?? 1) * (warmup?.(step, group.name) ?? 1);
  }

  /** Loss and parts of the batch, gradients by shard. */
  async #differentiate(lossFn: LossFunction, inputs: BatchTensors | null, scale: number) {
    const factor = tf.scalar(scale);
    const pieces = inputs === null ? [] : this.#divide(inputs);
    const results = this.#run(lossFn, { inputs, pieces, factor });
    try {
      const read: ShardResult[] = [];
      for (const result of results) read.push(await this.#read(result));
      const isMean = this.#options.accumulateReduction === "mean";
      const sum = (of: (shard: ShardResult) => number) => read.reduce((total, shard) => total + of(shard), 0);
      const parts: Record<string, number> = {};
      for (const name of Object.keys(read[0]!.parts)) parts[name] = sum((shard) => shard.parts[name]!) / read.length;
      const loss = sum((shard) => shard.loss) / (isMean ? read.length : 1);
      return { loss, parts, shards: read.map(({ grads }) => grads) };
    } finally {
      tf.dispose([factor, pieces]);
      for (const { loss, parts, grads, small } of results) tf.dispose([loss, parts, grads, small]);
    }
  }

  #run(
    lossFn: LossFunction,
    { inputs, pieces, factor }: { inputs: BatchTensors | null; pieces: BatchTensors[]; factor: tf.Scalar },
  ): Differentiated[] {
    if (inputs === null) return [this.#differentiated(lossFn, {}, factor)];
    const step = this.#compiled(lossFn);
    const mode = this.#mode();
    if (pieces.length === 0) return [step({ inputs: { ...inputs }, scale: factor, mode })];
    return step.parallel(pieces.map((piece) => [{ inputs: { ...piece }, scale: factor, mode }]));
  }

  async #read({ loss, parts, grads, small, smallNames }: Differentiated): Promise<ShardResult> {
    // The first read runs everything that is pending; the reads after it find their values ready.
    const value = (await loss.data())[0]!;
    const read: Record<string, number> = {};
    for (const [name, part] of Object.entries(parts)) read[name] = part.dataSync()[0]!;
    const arrays = new Map<string, Float32Array>();
    for (const [name, grad] of Object.entries(grads)) arrays.set(name, grad.dataSync() as Float32Array);
    const joined = small.dataSync() as Float32Array;
    let offset = 0;
    for (const name of smallNames) {
      const start = offset;
      offset += this.#parameters.get(name)!.size;
      arrays.set(name, joined.subarray(start, offset));
    }
    return { loss: value, parts: read, grads: arrays };
  }

  /** Shards of a batch; new tensors. Scalars go to every shard. */
  #divide(inputs: BatchTensors): Record<string, tf.Tensor>[] {
    const count = this.#shards;
    if (count === 1) return [];
    const batch = Object.values(inputs).find(({ rank }) => rank > 0)?.shape[0];
    for (const [name, { rank, shape }] of Object.entries(inputs)) {
      if (rank === 0 || (shape[0] === batch && batch! % count === 0)) continue;
      throw new RangeError(`Input "${name}" [${shape}] cannot be divided into ${count} shards of a batch of ${batch}.`);
    }
    return Array.from({ length: count }, (_, i) => {
      const piece: Record<string, tf.Tensor> = {};
      for (const [name, tensor] of Object.entries(inputs)) {
        const { rank, shape, dtype, size } = tensor;
        const values = tensor.dataSync();
        // A view where the backend keeps what it is given: a batch is megabytes of every step.
        const part = rank === 0 ? values : values.subarray((i * size) / count, ((i + 1) * size) / count);
        piece[name] = tf.tensor(part, rank === 0 ? [] : [shape[0]! / count, ...shape.slice(1)], dtype);
      }
      return piece;
    });
  }

  #compiled(lossFn: LossFunction): CompiledStep {
    let compiled = this.#steps.get(lossFn);
    if (compiled === undefined) {
      compiled = compile(({ inputs, scale }) => this.#differentiated(lossFn, inputs, scale), {
        name: "the training step",
        allocate: (length, position) => this.#gradientArray(length, position),
      });
      this.#steps.set(lossFn, compiled);
    }
    return compiled;
  }

  #gradientArray(length: number, position: number): Float32Array {
    const key = `${length} at ${position}`;
    const array = this.#gradients.get(key) ?? this.#kernels.allocate(length);
    this.#gradients.set(key, array);
    return array;
  }

  /** Of the model, found at the first step. */
  #modules: readonly Module[] | undefined;

  /** Switches of the model that decide what a step records. */
  #mode(): string {
    this.#modules ??= Array.from(this.model.namedModules(), ([, module]) => module);
    let text = "";
    for (const module of this.#modules) text += module.training ? "1" : "0";
    for (const parameter of this.#parameters.values()) text += parameter.requiresGrad ? "1" : "0";
    return text;
  }

  /** Loss and parts as they are, gradients times `scale`, by parameter name; parameters that the loss does not reach are absent. */
  #differentiated(lossFn: LossFunction, inputs: BatchTensors, scale: tf.Scalar): Differentiated {
    return tf.tidy(() => {
      const variables = [...this.#parameters.values()].map((parameter) => parameter.variable);
      let terms: ReturnType<LossFunction> | undefined;
      const { grads } = tf.variableGrads(() => {
        const { total, parts } = lossFn(inputs);
        terms = { total: tf.keep(total.clone()), parts: {} };
        for (const [name, part] of Object.entries(parts)) terms.parts[name] = tf.keep(part.clone());
        return this.scaler === null ? total : (tf.mul(total, scale) as tf.Scalar);
      }, variables);
      const { total, parts } = terms!;
      const named: Record<string, tf.Tensor> = {};
      const smallNames: string[] = [];
      const vectors: tf.Tensor1D[] = [];
      for (const [name, { variable }] of this.#parameters) {
        const grad = grads[variable.name];
        if (grad === undefined) continue;
        if (grad.size >= SMALL) named[name] = grad;
        else {
          smallNames.push(name);
          vectors.push(tf.reshape(grad, [-1]));
        }
      }
      const small = vectors.length === 0 ? tf.tensor1d([]) : tf.concat1d(vectors);
      return { loss: total, parts, grads: named, smallNames, small };
    });
  }

  #add(grads: ReadonlyMap<string, Float32Array>, inPlace: boolean): void {
    if (this.#window === 0) this.#accumulated.clear();
    this.#window += 1;
    // Two parameters with one gradient have one array.
    const taken = new Set<Float32Array>();
    for (const [name, grad] of grads) {
      const open = this.#accumulated.get(name);
      if (open) {
        for (let i = 0; i < grad.length; i++) open[i] = open[i]! + grad[i]!;
        continue;
      }
      if (inPlace && !taken.has(grad)) {
        taken.add(grad);
        this.#accumulated.set(name, grad);
        continue;
      }
      const sum = this.#sums.get(name) ?? new Float32Array(grad.length);
      sum.set(grad);
      this.#sums.set(name, sum);
      this.#accumulated.set(name, sum);
    }
  }

  #applyWindow(step: number) {
    const count = this.#window;
    this.#window = 0;
    const mean = this.#options.accumulateReduction === "mean" ? 1 / count : 1;
    return this.#apply(this.#accumulated, { step, unscale: mean / (this.scaler?.scale ?? 1) });
  }

  #apply(
    grads: ReadonlyMap<string, Float32Array>,
    { step, unscale }: { step: number; unscale: number },
  ): Pick<StepResult, "gradNorm" | "gradStats" | "updated"> {
    const { clip = null, momentum } = this.#options;
    const kernels = this.#kernels;
    const stats = gradStats(grads, { normType: clip?.normType ?? 2, scale: unscale, kernels });
    if (!Number.isFinite(stats.norm)) {
      const bad = findNonFinite(grads);
      if (this.scaler) {
        if (!this.scaler.update({ overflow: true }) && bad) {
          throw new NonFiniteGradientError({ ...bad, reason: "the loss scale cannot fall below 1" });
        }
        return { gradNorm: stats.norm, gradStats: stats, updated: false };
      }
      if (bad && clip?.errorIfNonfinite !== false) throw new NonFiniteGradientError(bad);
    }
    const next = this.optimizer.update({
      params: this.#values,
      grads,
      state: this.#slots,
      groups: this.groups,
      lr: (group) => this.#groupLr(group, step),
      gradScale: unscale * (clip ? clipCoefficient(stats.norm, clip.maxNorm) : 1),
      ...(momentum ? { momentum: momentum(step) } : {}),
      target: (name, length) => this.#target(name, length),
      kernels,
    });
    for (const [name, values] of next) this.#parameters.get(name)!.assign(values);
    this.#updates += 1;
    this.scaler?.update({ overflow: false });
    this.ema?.update();
    return { gradNorm: stats.norm, gradStats: stats, updated: true };
  }

  #target(name: string, length: number): Float32Array {
    let pair = this.#buffers.get(name);
    if (pair === undefined) {
      const { allocate } = this.#kernels;
      pair = { arrays: [allocate(length), allocate(length)], next: 0 };
      this.#buffers.set(name, pair);
    }
    const target = pair.arrays[pair.next];
    pair.next = pair.next === 0 ? 1 : 0;
    return target;
  }
}
