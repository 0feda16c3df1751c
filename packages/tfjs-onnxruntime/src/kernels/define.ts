import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.js";
import { runOnCpu } from "../delegate.js";
import { type Attrs, hostValue, record, sizeOf, type Value } from "../graph.js";
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

/** One kernel call as tfjs makes it. */
export interface Call {
  readonly inputs: tf.NamedTensorInfoMap;
  readonly attrs: Record<string, unknown>;
  readonly backend: OnnxRuntimeBackend;
  /** The graph value of an input, in the shape of its tensor (views share data under another shape). */
  value(info: tf.TensorInfo): Value;
  /** Records a node and returns its values. */
  record(
    op: string,
    inputs: readonly Value[],
    outputs: readonly { shape: readonly number[]; dtype: tf.DataType }[],
    attrs?: Attrs,
  ): Value[];
  /** A fed float32 scalar: for numbers that may change from call to call without a new compilation. */
  scalar(value: number, dtype?: tf.DataType): Value;
  /** The tensor of a value: a new data id. */
  tensor(value: Value, shape?: readonly number[]): tf.TensorInfo;
  /** A tensor that shares the data of `info` under another shape. */
  view(info: tf.TensorInfo, shape: readonly number[]): tf.TensorInfo;
}

export type Kernel = (call: Call) => tf.TensorInfo | tf.TensorInfo[];

function makeCall(backend: OnnxRuntimeBackend, inputs: tf.NamedTensorInfoMap, attrs: Record<string, unknown>): Call {
  return {
    inputs,
    attrs,
    backend,
    value(info) {
      const value = backend.value(info.dataId);
      if (value.shape.length === info.shape.length && value.shape.every((d, i) => d === info.shape[i])) return value;
      // While tracing, the view must stay connected to the value that a later call replaces.
      if (value.host !== null && !backend.tracing) return hostValue(value.host, info.shape, value.dtype);
      return record({ op: "Reshape", inputs: [value], outputs: [{ shape: info.shape, dtype: value.dtype }] })[0]!;
    },
    record: (op, values, outputs, nodeAttrs) =>
      record({ op, inputs: values, outputs, ...(nodeAttrs === undefined ? {} : { attrs: nodeAttrs }) }),
    scalar: (value, dtype = "float32") =>
      hostValue(dtype === "float32" ? Float32Array.of(value) : Int32Array.of(value), [], dtype),
    tensor(value, shape = value.shape) {
      return { dataId: backend.register(value), shape: [...shape], dtype: value.dtype };
    },
    view(info, shape) {
      backend.incRef(info.dataId);
      return { dataId: info.dataId, shape: [...shape], dtype: info.dtype };
    },
  };
}

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
        return run(makeCall(backend, inputs, attrs));
      } catch (error) {
        throw operandError(error, kernelName, inputs);
      }
    },
  });
}

/** Registers a kernel that always runs on tfjs's cpu backend. */
export function delegated(kernelName: string): void {
  kernel(kernelName, ({ backend, inputs, attrs }) => runOnCpu(kernelName, backend, inputs, attrs), {
    status: "delegated",
    anyDtype: true,
  });
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
