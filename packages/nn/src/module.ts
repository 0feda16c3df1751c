import { assignValues } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import type { TensorDtype } from "./weights/dtype.js";

/** Values of one state-dict entry, in PyTorch layout. Integer entries (`num_batches_tracked`) are int64 in files. */
export interface StateTensor {
  readonly dtype: "F32" | "I64";
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
  /** Element type in the file, where it is another one. Only F64 lost digits. */
  readonly storedAs?: TensorDtype;
}

/** A persistent float32 tensor of a model: a tfjs variable that keeps its identity while its values change. */
abstract class Stored {
  readonly variable: tf.Variable;

  constructor({ data, shape }: { data: Float32Array; shape: readonly number[] }) {
    const initial = tf.tensor(data, [...shape], "float32");
    // Trainable, so that tf.variableGrads accepts it; what is really trained is decided by requiresGrad.
    this.variable = tf.variable(initial, true);
    initial.dispose();
  }

  get shape(): number[] {
    return this.variable.shape;
  }

  get size(): number {
    return this.variable.size;
  }

  /** The tensor that forward passes read. Owned by this object: do not dispose it. */
  value(): tf.Tensor {
    return this.variable;
  }

  /** Current values; do not write into the returned array. */
  data(): Float32Array {
    return this.variable.dataSync() as Float32Array;
  }

  /** Replaces the values. `data` is kept by reference where the backend allows it: hand over a fresh array. */
  assign(data: Float32Array): void {
    assignValues(this.variable, data);
  }

  /** Frees the values; a second call does nothing. */
  dispose(): void {
    if (!this.variable.isDisposed) this.variable.dispose();
  }
}

/** A trainable tensor, float32, in PyTorch layout (conv OIHW, transposed conv IOHW, linear [out, in]). */
export class Parameter extends Stored {
  /** Frozen parameters are neither differentiated nor handed to an optimiser. */
  requiresGrad = true;
}

/** A tensor that is state but not trained (running statistics, position matrices). */
export class Buffer extends Stored {
  /** Whether files hold it. Others are neither written nor required, and ignored where a file has them. */
  readonly persistent: boolean;

  /** @param persistent - @defaultValue true */
  constructor({
    persistent = true,
    ...values
  }: { data: Float32Array; shape: readonly number[]; persistent?: boolean }) {
    super(values);
    this.persistent = persistent;
  }
}

/** A persistent integer scalar, int64 in files (`num_batches_tracked`). */
export class Counter {
  value = 0;
}

type Leaf = Parameter | Buffer | Counter;

/**
 * A node of a model tree. Children are own properties holding a {@link Parameter}, {@link Buffer}, {@link Counter} or another
 * module; their property path joined with "." is the state-dict name, so children carry PyTorch's names.
 */
export abstract class Module {
  /** Switched by {@link Module.train}; layers such as batch normalisation read it. */
  training = false;

  /** Own children in construction order. */
  *children(): Generator<[name: string, child: Module | Leaf]> {
    for (const [name, value] of Object.entries(this)) {
      if (
        value instanceof Module ||
        value instanceof Parameter ||
        value instanceof Buffer ||
        value instanceof Counter
      ) {
        yield [name, value];
      }
    }
  }

  /** This module (path "") and all below it, parents first. */
  *namedModules(prefix = ""): Generator<[path: string, module: Module]> {
    yield [prefix, this];
    for (const [name, child] of this.children()) {
      if (child instanceof Module) yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`);
    }
  }

  /** Every path of every leaf, tied leaves under each of their paths. */
  *namedLeaves(prefix = ""): Generator<[path: string, leaf: Leaf]> {
    for (const [name, child] of this.children()) {
      const path = prefix === "" ? name : `${prefix}.${name}`;
      if (child instanceof Module) yield* child.namedLeaves(path);
      else yield [path, child];
    }
  }

  /** Parameters once each, a tied one under its first path in construction order. */
  namedParameters(): Map<string, Parameter> {
    const seen = new Set<Parameter>();
    const result = new Map<string, Parameter>();
    for (const [path, leaf] of this.namedLeaves()) {
      if (leaf instanceof Parameter && !seen.has(leaf)) {
        seen.add(leaf);
        result.set(path, leaf);
      }
    }
    return result;
  }

  /** The module at `path`, or null. */
  getModule(path: string): Module | null {
    if (path === "") return this;
    const [head = "", ...rest] = path.split(".");
    const child = (this as unknown as Record<string, unknown>)[head];
    return child instanceof Module ? child.getModule(rest.join(".")) : null;
  }

  /** Replaces the module at `path`, which must exist. */
  setModule(path: string, module: Module): void {
    const [head = "", ...rest] = path.split(".");
    const self = this as unknown as Record<string, unknown>;
    const child = self[head];
    if (!(child instanceof Module))
      throw new RangeError(`No module at "${path}"; namedModules() lists the paths of this model.`);
    if (rest.length > 0) child.setModule(rest.join("."), module);
    else self[head] = module;
  }

  /** Sets `training` here and below; returns this. */
  train(on = true): this {
    for (const [, module] of this.namedModules()) module.training = on;
    return this;
  }

  /** Frees every variable below. The module must not be used afterwards. */
  dispose(): void {
    // Children, not leaves: a module may own more than its tree shows.
    for (const [, child] of this.children()) if (!(child instanceof Counter)) child.dispose();
  }
}

/** Ordered children named "0", "1", ... */
export class ModuleList<M extends Module = Module> extends Module {
  readonly #items: M[];

  constructor(items: readonly M[]) {
    super();
    this.#items = [...items];
  }

  override *children(): Generator<[string, Module | Leaf]> {
    for (let i = 0; i < this.#items.length; i++) yield [String(i), this.#items[i]!];
  }

  get length(): number {
    return this.#items.length;
  }

  at(index: number): M {
    const item = this.#items[index];
    if (item === undefined) throw new RangeError(`ModuleList index ${index} is outside 0..${this.#items.length - 1}.`);
    return item;
  }

  override getModule(path: string): Module | null {
    if (path === "") return this;
    const [head = "", ...rest] = path.split(".");
    return this.#items[Number(head)]?.getModule(rest.join(".")) ?? null;
  }

  override setModule(path: string, module: Module): void {
    const [head = "", ...rest] = path.split(".");
    if (this.#items[Number(head)] === undefined) throw new RangeError(`ModuleList has no item "${head}".`);
    if (rest.length > 0) this.#items[Number(head)]!.setModule(rest.join("."), module);
    else this.#items[Number(head)] = module as M;
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.#items[Symbol.iterator]();
  }
}
