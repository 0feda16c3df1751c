import * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";
import { flushValues } from "./flush.js";
import { type HostData, hostValue, type Value } from "./graph.js";
import { engineBrand } from "./state.js";

type DataId = object;
type BackendValues = Float32Array | Int32Array | Uint8Array | Uint8Array[];

interface DataRecord {
  value: Value;
  refCount: number;
}

/** Host data in the storage type of its dtype. */
function toHost(values: ArrayLike<number> | BackendValues, dtype: tf.DataType): HostData {
  if (dtype === "float32")
    return values instanceof Float32Array ? values : Float32Array.from(values as ArrayLike<number>);
  if (dtype === "int32") return values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>);
  if (dtype === "bool") return values instanceof Uint8Array ? values : Uint8Array.from(values as ArrayLike<number>);
  throw new EngineError({
    code: "ENGINE_UNSUPPORTED",
    message: `The onnxruntime backend does not hold ${dtype} tensors. Use tf.setBackend("cpu") for them.`,
  });
}

/**
 * tfjs backend that appends kernels to a lazy graph and runs what live tensors depend on when a value is read.
 * One dataId is one reference-counted record; Reshape-like kernels share it, so the record's shape is not the tensor's.
 */
export class OnnxRuntimeBackend extends tf.KernelBackend {
  readonly [engineBrand] = true;
  readonly #data: tf.DataStorage<DataRecord>;
  /** Records whose value has not run yet. */
  readonly #pending = new Set<DataRecord>();

  constructor() {
    super();
    this.#data = new tf.DataStorage(this, tf.engine());
  }

  override write(values: BackendValues, shape: number[], dtype: tf.DataType): DataId {
    const dataId = {};
    this.#data.set(dataId, { value: hostValue(toHost(values, dtype), [...shape], dtype), refCount: 1 });
    return dataId;
  }

  override move(dataId: DataId, values: BackendValues, shape: number[], dtype: tf.DataType, refCount: number): void {
    this.#data.set(dataId, { value: hostValue(toHost(values, dtype), [...shape], dtype), refCount });
  }

  /** A new dataId (one reference) for a graph value. */
  register(value: Value): DataId {
    const dataId = {};
    const entry = { value, refCount: 1 };
    this.#data.set(dataId, entry);
    if (value.host === null) this.#pending.add(entry);
    return dataId;
  }

  value(dataId: DataId): Value {
    return this.#data.get(dataId).value;
  }

  override incRef(dataId: DataId): void {
    this.#data.get(dataId).refCount++;
  }

  decRef(dataId: DataId): void {
    if (this.#data.has(dataId)) this.#data.get(dataId).refCount--;
  }

  override refCount(dataId: DataId): number {
    return this.#data.has(dataId) ? this.#data.get(dataId).refCount : 0;
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.#data.has(dataId)) return true;
    const entry = this.#data.get(dataId);
    entry.refCount--;
    if (!force && entry.refCount > 0) return false;
    this.#pending.delete(entry);
    this.#data.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.#data.numDataIds();
  }

  /** Runs everything that live tensors wait for, as one graph. */
  flush(): void {
    if (this.#pending.size === 0) return;
    const values = new Set<Value>();
    for (const entry of this.#pending) if (entry.value.host === null) values.add(entry.value);
    flushValues([...values]);
    this.#pending.clear();
  }

  override readSync(dataId: DataId): HostData {
    const entry = this.#data.get(dataId);
    if (entry.value.host === null) {
      if (entry.value.placeholder !== undefined || this.tracing) {
        throw new EngineError({
          code: "TRACE_DATA_DEPENDENT",
          message:
            "A value was read (data(), dataSync(), array(), print()) inside a traced function. " +
            "Compute with tensors only; read after the trace.",
        });
      }
      this.flush();
    }
    return entry.value.host as HostData;
  }

  override async read(dataId: DataId): Promise<HostData> {
    return this.readSync(dataId);
  }

  /** Set while a function is traced: nothing may run. */
  tracing = false;

  override memory(): { unreliable: boolean; pendingValues: number } {
    return { unreliable: false, pendingValues: this.#pending.size };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override timerAvailable(): boolean {
    return true;
  }

  override async time(f: () => void): Promise<tf.BackendTimingInfo> {
    const start = performance.now();
    f();
    this.flush();
    return { kernelMs: performance.now() - start };
  }

  override dispose(): void {
    this.#pending.clear();
  }
}

/** Whether a backend is this engine, whichever copy of the package made it. */
export function isEngine(backend: tf.KernelBackend): backend is OnnxRuntimeBackend {
  return engineBrand in backend;
}
