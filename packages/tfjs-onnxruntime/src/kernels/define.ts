import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "../backend.js";
import { type Attrs, hostValue, record, sizeOf, type Value } from "../graph.js";
import { type Lowering, lowerings } from "../lower/registry.js";

export const backendName = "onnxruntime";

const own: string[] = [];

/** Names of the kernels that this backend implements, sorted. */
export const kernelNames = (): string[] => own.toSorted();

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
      if (value.host !== null) return hostValue(value.host, info.shape, value.dtype);
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

/** Registers a tfjs kernel of this backend. */
export function kernel(kernelName: string, run: Kernel): void {
  own.push(kernelName);
  // Another copy of this package may have registered it; both record into one graph.
  if (tf.getKernel(kernelName, backendName)) return;
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      run(makeCall(backend as OnnxRuntimeBackend, (inputs ?? {}) as tf.NamedTensorInfoMap, (attrs ?? {}) as never)),
  });
}

/** Declares how a recorded op becomes ONNX. */
export function lowering(op: string, lower: Lowering): void {
  lowerings.set(op, lower);
}

export { sizeOf };
