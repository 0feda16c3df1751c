import { float16ToFloat32 } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { EngineError } from "./errors.js";
import { float16Value, widen } from "./float16-value.js";
import { flushValues, flushValuesLater } from "./flush.js";
import { collect, type HostData, hostValue, type Value } from "./graph.js";
import { loadRuntime } from "./runtime.js";
import { engineConfig } from "./settings.js";
import { engineBrand, engineState } from "./state.js";
import type { TraceScope } from "./trace-scope.js";

type DataId = object;
/** What tfjs reads and writes; it knows no float16. */
type WideData = Exclude<HostData, Uint16Array>;
type BackendValues = Float32Array | Int32Array | Uint8Array | Uint8Array[];

/** What a data id stands for: a graph value; or, never in a graph, encoded strings or the two parts of complex numbers. */
type Content =
  | { readonly kind: "numbers"; readonly value: Value }
  | { readonly kind: "strings"; readonly strings: Uint8Array[] }
  | { readonly kind: "complex"; readonly real: Value; readonly imag: Value };

interface DataRecord {
  content: Content;
  refCount: number;
  /** Bytes of it that {@link OnnxRuntimeBackend.memory} counts. */
  bytes: number;
}

/** Host data in the storage type of its dtype. */
function toHost(values: ArrayLike<number> | BackendValues, dtype: tf.DataType): WideData {
  if (dtype === "float32")
    return values instanceof Float32Array ? values : Float32Array.from(values as ArrayLike<number>);
  if (dtype === "int32") return values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>);
  if (dtype === "bool") return values instanceof Uint8Array ? values : Uint8Array.from(values as ArrayLike<number>);
  throw new EngineError({
    code: "ENGINE_UNSUPPORTED",
    message: `The onnxruntime backend does not hold ${dtype} tensors. Use tf.setBackend("cpu") for them.`,
  });
}

function toContent(values: BackendValues, shape: number[], dtype: tf.DataType): Content {
  if (dtype === "string") return { kind: "strings", strings: values as Uint8Array[] };
  if (dtype === "complex64") {
    // Interleaved, as reading gives them.
    const { real, imag } = tf.backend_util.splitRealAndImagArrays(values as Float32Array);
    return {
      kind: "complex",
      real: hostValue(real, [...shape], "float32"),
      imag: hostValue(imag, [...shape], "float32"),
    };
  }
  return { kind: "numbers", value: hostValue(toHost(values, dtype), [...shape], dtype) };
}

/** Graph values behind a record. */
function valuesOf(content: Content): readonly Value[] {
  if (content.kind === "numbers") return [content.value];
  return content.kind === "complex" ? [content.real, content.imag] : [];
}

/** Values of entries that have not been computed, each once. */
function pendingOf(entries: Iterable<DataRecord>): Value[] {
  const values = new Set<Value>();
  for (const { content } of entries) for (const value of valuesOf(content)) if (value.host === null) values.add(value);
  return [...values];
}

function hostBytes(content: Content): number {
  if (content.kind === "strings") return content.strings.reduce((sum, text) => sum + text.byteLength, 0);
  return valuesOf(content).reduce((sum, { host }) => sum + (host?.byteLength ?? 0), 0);
}

/** The engine's part of `tf.memory()`; sizes in bytes. */
export interface EngineMemory {
  readonly unreliable: false;
  /** Data of live tensors; an array that two of them share counts twice. */
  readonly hostBytes: number;
  /** Live tensors that have not been computed. */
  readonly pendingValues: number;
  /** Recorded kernels that they wait for. */
  readonly pendingNodes: number;
  /** Estimate of what compiled sessions keep. */
  readonly sessionBytes: number;
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

  #add(content: Content): DataId {
    const dataId = {};
    const entry = { content, refCount: 1, bytes: 0 };
    this.#data.set(dataId, entry);
    this.#count(entry);
    for (const value of valuesOf(content)) {
      if (value.host === null) this.#pending.add(entry);
      else this.scope?.written(value);
    }
    return dataId;
  }

  /** The record of a data id; one of another backend moves here. */
  #entry(dataId: DataId): DataRecord {
    try {
      return this.#data.get(dataId);
    } catch (cause) {
      if (tf.engine().state.tensorInfo.has(dataId)) throw cause;
      throw new EngineError({
        code: "ENGINE_DISPOSED",
        message: "A tensor was used after it had been disposed.",
        hint: "tf.tidy disposes what it does not return: return it, or protect it with tf.keep.",
        cause,
      });
    }
  }

  override write(values: BackendValues, shape: number[], dtype: tf.DataType): DataId {
    return this.#add(toContent(values, shape, dtype));
  }

  override move(dataId: DataId, values: BackendValues, shape: number[], dtype: tf.DataType, refCount: number): void {
    const entry = { content: toContent(values, shape, dtype), refCount, bytes: 0 };
    this.#data.set(dataId, entry);
    this.#count(entry);
  }

  /** A new dataId (one reference) for a graph value. */
  register(value: Value): DataId {
    const dataId = this.#add({ kind: "numbers", value });
    const recorded = engineState.nextNodeId - this.#flushedAt;
    if (recorded > engineConfig().maxPendingNodes && this.scope === null && loadRuntime().sync) this.flush();
    return dataId;
  }

  /** Number of the next node when everything pending last ran. */
  #flushedAt = engineState.nextNodeId;

  /** A new dataId (one reference) for complex numbers of two float32 graph values. */
  registerComplex(real: Value, imag: Value): DataId {
    return this.#add({ kind: "complex", real, imag });
  }

  /**
   * The graph value of a tensor, in the tensor's dtype: data stored as float16 is widened by a node.
   * @throws {@link EngineError} `ENGINE_UNSUPPORTED` for strings and complex numbers: they never enter a graph
   */
  value(dataId: DataId): Value {
    const stored = this.stored(dataId);
    return stored.storedAs === undefined ? stored : widen(stored);
  }

  /** {@link OnnxRuntimeBackend.value} as it is stored. @throws {@link EngineError} as `value` */
  stored(dataId: DataId): Value {
    const { content } = this.#entry(dataId);
    if (content.kind === "numbers") {
      this.scope?.read(content.value, dataId);
      return content.value;
    }
    throw new EngineError({
      code: "ENGINE_UNSUPPORTED",
      message: `A tensor of ${content.kind} cannot enter a graph. Use tf.setBackend("cpu") for this part.`,
    });
  }

  /**
   * Gives a record other data, if nothing but its one tensor can see it: an assignment without new objects.
   * @returns false if the record is shared; nothing has changed then
   */
  overwrite(dataId: DataId, host: HostData, shape: readonly number[], dtype: tf.DataType): boolean {
    const entry = this.#entry(dataId);
    if (entry.refCount !== 1 || entry.content.kind !== "numbers" || this.#pending.has(entry)) return false;
    entry.content = { kind: "numbers", value: hostValue(host, shape, dtype) };
    this.#count(entry);
    return true;
  }

  /**
   * Stores a computed float32 tensor as float16 from now on; everything that shares its data sees the rounded values.
   * @param bits - float16, as many as there were elements
   */
  narrow(dataId: DataId, bits: Uint16Array): void {
    const entry = this.#entry(dataId);
    const { shape } = this.stored(dataId);
    entry.content = { kind: "numbers", value: float16Value(bits, shape) };
    this.#count(entry);
  }

  /** The graph values of complex numbers. */
  complexValues(dataId: DataId): readonly [Value, Value] {
    const { content } = this.#entry(dataId);
    if (content.kind === "complex") return [content.real, content.imag];
    throw new EngineError({
      code: "ENGINE_UNSUPPORTED",
      message: `Expected a complex64 tensor, got ${content.kind}.`,
    });
  }

  override incRef(dataId: DataId): void {
    this.#entry(dataId).refCount++;
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
    this.#hostBytes -= entry.bytes;
    return true;
  }

  override numDataIds(): number {
    return this.#data.numDataIds();
  }

  /** Runs everything that live tensors wait for, as one graph. */
  flush(): void {
    this.#flushedAt = engineState.nextNodeId;
    if (this.#pending.size === 0) return;
    flushValues(pendingOf(this.#pending));
    for (const entry of this.#pending) this.#settle(entry);
  }

  /** An entry whose values have been computed. */
  #settle(entry: DataRecord): void {
    this.#pending.delete(entry);
    this.#count(entry);
  }

  /** {@link flush} for a runtime without synchronous runs; calls wait for each other. */
  async #flushLater(): Promise<void> {
    const before = this.#running;
    const run = async (): Promise<void> => {
      await before.catch(() => undefined);
      const entries = [...this.#pending];
      await flushValuesLater(pendingOf(entries));
      for (const entry of entries) this.#settle(entry);
    };
    this.#running = run();
    return this.#running;
  }

  #running: Promise<void> = Promise.resolve();

  #host(value: Value): WideData {
    if (this.scope !== null && !this.scope.isConstant(value)) throw this.scope.dataDependent();
    if (value.host === null) {
      if (engineConfig().flushScope === "all") this.flush();
      else flushValues([value]);
    }
    return value.storedAs === undefined ? (value.host as WideData) : float16ToFloat32(value.host as Uint16Array);
  }

  /** Real and imaginary parts of complex numbers. */
  readComplex(dataId: DataId): readonly [Float32Array, Float32Array] {
    const [real, imag] = this.complexValues(dataId);
    return [this.#host(real) as Float32Array, this.#host(imag) as Float32Array];
  }

  override readSync(dataId: DataId): BackendValues {
    const { content } = this.#entry(dataId);
    if (content.kind === "numbers") return this.#host(content.value);
    if (content.kind === "strings") return content.strings;
    return tf.backend_util.mergeRealAndImagArrays(...this.readComplex(dataId));
  }

  override async read(dataId: DataId): Promise<BackendValues> {
    const values = valuesOf(this.#entry(dataId).content);
    const pending = values.some((value) => value.host === null);
    if (pending && this.scope === null && !loadRuntime().sync) await this.#flushLater();
    return this.readSync(dataId);
  }

  /** The trace or compilation that is being recorded: nothing may run. */
  scope: TraceScope | null = null;

  get tracing(): boolean {
    return this.scope !== null;
  }

  #hostBytes = 0;

  /** Brings the count of an entry up to date. */
  #count(entry: DataRecord): void {
    const bytes = hostBytes(entry.content);
    this.#hostBytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** What tfjs's `tf.memory()` shows beside its own counts of tensors. */
  override memory(): EngineMemory {
    // Some may have been computed one by one (flushScope needed).
    for (const entry of this.#pending) {
      if (pendingOf([entry]).length === 0) this.#settle(entry);
      else this.#count(entry);
    }
    let sessionBytes = 0;
    for (const { bytes } of engineState.order) sessionBytes += bytes;
    return {
      unreliable: false,
      hostBytes: this.#hostBytes,
      pendingValues: this.#pending.size,
      pendingNodes: collect(pendingOf(this.#pending)).length,
      sessionBytes,
    };
  }

  /** For kernels that an application registers on this backend: a tensor of given values. */
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: BackendValues): tf.TensorInfo {
    return { dataId: this.write(values, shape, dtype), shape, dtype };
  }

  /** Its counterpart for what a kernel does not return. */
  disposeIntermediateTensorInfo({ dataId }: tf.TensorInfo): void {
    this.disposeData(dataId);
  }

  override readToGPU(): never {
    throw noDevice("readToGPU");
  }

  override createTensorFromGPUData(): never {
    throw noDevice("createTensorFromGPUData");
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

function noDevice(method: string): EngineError {
  return new EngineError({
    code: "ENGINE_UNSUPPORTED",
    op: method,
    message: `${method} is not supported: tensors of this backend live in host memory, whatever the execution provider.`,
    hint: "Use data().",
  });
}

/** Whether a backend is this engine, whichever copy of the package made it. */
export function isEngine(backend: tf.KernelBackend): backend is OnnxRuntimeBackend {
  return engineBrand in backend;
}
