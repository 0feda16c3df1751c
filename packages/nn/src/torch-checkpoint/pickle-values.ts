import type { TensorDtype } from "../weights/dtype.js";

/** A name that the pickle imports: data, never code. */
export class PickleGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** An object of a class that was allowed by name; inert. */
export class PickleObject {
  /** `module.Class` */
  readonly className: string;
  readonly args: readonly unknown[];
  /** What BUILD handed over: `__dict__`, usually. */
  state: unknown = null;
  constructor(className: string, args: readonly unknown[]) {
    this.className = className;
    this.args = args;
  }
}

/** A storage that tensors are views of. */
export interface TorchStorage {
  readonly key: string;
  /** null: untyped, counted in bytes. */
  readonly dtype: TensorDtype | null;
  readonly elements: number;
  /** Elements from the start of the storage `key` (views of the legacy format). */
  readonly start: number;
}

/** A tensor as the pickle describes it. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly dtype: TensorDtype;
  /** Elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Elements. */
  readonly stride: readonly number[];
  constructor({
    storage,
    dtype,
    offset,
    shape,
    stride,
  }: {
    storage: TorchStorage;
    dtype: TensorDtype;
    offset: number;
    shape: readonly number[];
    stride: readonly number[];
  }) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** Wraps a storage on the pickle's stack, so that it cannot be confused with a value of the file. */
export class StorageRef {
  readonly storage: TorchStorage;
  constructor(storage: TorchStorage) {
    this.storage = storage;
  }
}
