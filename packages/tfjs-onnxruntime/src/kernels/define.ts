import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.js";
import { runOnCpu } from "../delegate.js";
import { type Attrs, type HostData, hostValue, record, sizeOf, type Value } from "../graph.js";
import { type Lowering, lowerings } from "../lower/registry.js";
import { operandError } from "../operand-error.js";

export const backendName = "onnxruntime";

/**
 * How a kernel computes: `native` one ONNX operator (with casts and layout), `composed` several, `view` shares the input's data,
 * `host` JavaScript on shapes and constants, `delegated` tfjs's cpu backend.
 */
export type KernelStatus = "native" | "composed" | "view" | "host" | "delegated";

const statuses = new Map<string, KernelStatus>();

/** Names of the kernels that this backend implements itself, sorted. */
export const kernelNames = (): string[] =>
  [...statuses].flatMap(([name, status]) => (status === "delegated" ? [] : [name])).sort();

/** Every registered kernel and how it computes, by name. */
export const kernelStatuses = (): ReadonlyMap<string, KernelStatus> =>
  new Map([...statuses].sort(([a], [b]) => (a < b ? -1 : 1)));

/** The same value under another shape. While tracing, the view stays connected to the value that a later call replaces. */
function reshaped(value: Value, shape: readonly number[], { tracing }: OnnxRuntimeBackend): Value {
  if (value.shape.length === shape.length && value.shape.every((d, i) => d === shape[i])) return value;
  if (value.host !== null && !tracing) return hostValue(value.host, shape, value.dtype);
  return record({ op: "Reshape", inputs: [value], outputs: [{ shape, dtype: value.dtype }] })[0]!;
}

const isEmpty = ({ shape }: { readonly shape: readonly number[] }): boolean => shape.includes(0);

/** Host data of a tensor without elements. */
function empty(dtype: tf.DataType): HostData {
  if (dtype === "float32") return new Float32Array(0);
  return dtype === "int32" ? new Int32Array(0) : new Uint8Array(0);
}

/** One kernel call as tfjs makes it. A class, because one is made per call: its methods are not. */
export class Call {
  readonly inputs: tf.NamedTensorInfoMap;
  readonly attrs: Record<string, unknown>;
  readonly backend: OnnxRuntimeBackend;
  readonly #kernelName: string;

  constructor(
    kernelName: string,
    backend: OnnxRuntimeBackend,
    inputs: tf.NamedTensorInfoMap,
    attrs: Record<string, unknown>,
  ) {
    this.#kernelName = kernelName;
    this.backend = backend;
    this.inputs = inputs;
    this.attrs = attrs;
  }

  /** The graph value of an input, in the shape of its tensor (views share data under another shape). */
  value(info: tf.TensorInfo): Value {
    return reshaped(this.backend.value(info.dataId), info.shape, this.backend);
  }

  /** Records a node and returns its values. */
  record(
    op: string,
    inputs: readonly Value[],
    outputs: readonly { shape: readonly number[]; dtype: tf.DataType }[],
    attrs?: Attrs,
  ): Value[] {
    // Without elements there is nothing to compute; several operators refuse such shapes.
    if (outputs.every(isEmpty)) return outputs.map(({ shape, dtype }) => hostValue(empty(dtype), shape, dtype));
    return record(attrs === undefined ? { op, inputs, outputs } : { op, inputs, outputs, attrs });
  }

  /** A fed float32 scalar: for numbers that may change from call to call without a new compilation. */
  scalar(value: number, dtype: tf.DataType = "float32"): Value {
    return hostValue(dtype === "float32" ? Float32Array.of(value) : Int32Array.of(value), [], dtype);
  }

  /** A value of zeros; the scalar is fed. */
  zeros(shape: readonly number[], dtype: tf.DataType = "float32"): Value {
    const zero = this.scalar(0, dtype === "int32" ? "int32" : "float32");
    return this.record("Fill", [zero], [{ shape, dtype }])[0]!;
  }

  /** Real and imaginary part of a complex64 tensor, in its shape. */
  parts(info: tf.TensorInfo): [Value, Value] {
    const [real, imag] = this.backend.complexValues(info.dataId);
    return [reshaped(real, info.shape, this.backend), reshaped(imag, info.shape, this.backend)];
  }

  /** The complex64 tensor of two float32 values. */
  complex(real: Value, imag: Value): tf.TensorInfo {
    return { dataId: this.backend.registerComplex(real, imag), shape: [...real.shape], dtype: "complex64" };
  }

  /** Runs this call on tfjs's cpu backend instead, and counts it as delegated. */
  onCpu(): tf.TensorInfo | tf.TensorInfo[] {
    return runOnCpu(this.#kernelName, this.backend, this.inputs, this.attrs);
  }

  /** The tensor of a value: a new data id. */
  tensor(value: Value, shape: readonly number[] = value.shape): tf.TensorInfo {
    return { dataId: this.backend.register(value), shape: [...shape], dtype: value.dtype };
  }

  /** A tensor that shares the data of `info` under another shape. */
  view(info: tf.TensorInfo, shape: readonly number[]): tf.TensorInfo {
    this.backend.incRef(info.dataId);
    return { dataId: info.dataId, shape: [...shape], dtype: info.dtype };
  }
}

export type Kernel = (call: Call) => tf.TensorInfo | tf.TensorInfo[];

/** Strings and complex numbers never enter a graph. */
function hasForeignInput(inputs: tf.NamedTensorInfoMap): boolean {
  for (const name in inputs) {
    const dtype = inputs[name]?.dtype;
    if (dtype === "string" || dtype === "complex64") return true;
  }
  return false;
}

/**
 * Registers a tfjs kernel of this backend. Called with strings or complex numbers it runs on the cpu backend, unless `anyDtype`
 * says that `run` takes them.
 */
export function kernel(
  kernelName: string,
  run: Kernel,
  { status = "native", anyDtype = false }: { status?: KernelStatus; anyDtype?: boolean } = {},
): void {
  statuses.set(kernelName, status);
  // Another copy of this package may have registered it; both record into one graph.
  if (tf.getKernel(kernelName, backendName)) return;
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: (call) => {
      const inputs = (call.inputs ?? {}) as tf.NamedTensorInfoMap;
      const attrs = (call.attrs ?? {}) as unknown as Record<string, unknown>;
      const backend = call.backend as OnnxRuntimeBackend;
      try {
        if (!anyDtype && hasForeignInput(inputs)) return runOnCpu(kernelName, backend, inputs, attrs);
        return run(new Call(kernelName, backend, inputs, attrs));
      } catch (error) {
        throw operandError(error, kernelName, inputs);
      }
    },
  });
}

/** Registers a kernel that always runs on tfjs's cpu backend. */
export function delegated(kernelName: string): void {
  kernel(kernelName, (call) => call.onCpu(), { status: "delegated", anyDtype: true });
}

/** Registers every kernel that the cpu backend has and this one has not as delegated. Call it after all others. */
export function delegateTheRest(): void {
  for (const { kernelName } of tf.getKernelsForBackend("cpu")) if (!statuses.has(kernelName)) delegated(kernelName);
}

/** Declares how a recorded op becomes ONNX. */
export function lowering(op: string, lower: Lowering): void {
  lowerings.set(op, lower);
}

export { sizeOf };
