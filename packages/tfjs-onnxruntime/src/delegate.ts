import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "./backend.js";
import { EngineError } from "./errors.js";

/** What the delegate needs of tfjs's cpu backend beyond {@link tf.KernelBackend}. */
interface CpuBackend extends tf.KernelBackend {
  makeTensorInfo(shape: number[], dtype: tf.DataType, values?: unknown): tf.TensorInfo;
}

const key = Symbol.for("@seg/engine/delegated");
const holder = globalThis as unknown as Record<symbol, Map<string, number> | undefined>;
holder[key] ??= new Map();
/** Calls per kernel; one map for all copies of this package in a process. */
const calls: Map<string, number> = holder[key];

/** Kernels that ran on tfjs's cpu backend so far, with the number of calls, by name. */
export function delegatedKernels(): Record<string, number> {
  return Object.fromEntries([...calls].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Runs a kernel on tfjs's cpu backend: reads the inputs (everything pending runs), computes there, holds the results here. The cpu
 * backend keeps no data id of it.
 *
 * @throws {@link EngineError} `TRACE_DATA_DEPENDENT` or `COMPILE_DATA_DEPENDENT` while a function is traced, `ENGINE_UNSUPPORTED` if the cpu backend has no such kernel
 */
export function runOnCpu(
  kernelName: string,
  backend: OnnxRuntimeBackend,
  inputs: tf.NamedTensorInfoMap,
  attrs: Record<string, unknown>,
): tf.TensorInfo | tf.TensorInfo[] {
  const tensors = Object.values(inputs)
    .flat()
    .filter((x) => x !== undefined && x !== null) as tf.TensorInfo[];
  const shapes = tensors.map((x) => x.shape);
  if (backend.scope !== null && tensors.length > 0) throw backend.scope.delegated(kernelName, shapes);
  const config = tf.getKernel(kernelName, "cpu");
  const cpu = tf.engine().findBackend("cpu") as CpuBackend | null;
  if (!config || !cpu) {
    throw new EngineError({
      code: "ENGINE_UNSUPPORTED",
      op: kernelName,
      shapes,
      message: `Kernel ${kernelName} has no ONNX form for ${tensors.map((x) => x.dtype).join(", ")}, and tfjs's cpu backend, which would take it, has none either.`,
    });
  }
  calls.set(kernelName, (calls.get(kernelName) ?? 0) + 1);
  const used = new Set<object>();
  const lend = (info: tf.TensorInfo): tf.TensorInfo => {
    const copy = toCpu(info, backend, cpu);
    used.add(copy.dataId);
    // A tensor has a rank, which some kernels of the cpu backend read.
    return Object.assign(copy, { rank: info.shape.length });
  };
  try {
    // Kernels of many tensors (Concat, Pack, AddN) get an array; RaggedGather has arrays among its named inputs.
    const lendAll = (input: unknown): unknown => {
      if (Array.isArray(input)) return input.map(lendAll);
      return input ? lend(input as tf.TensorInfo) : input;
    };
    const lent = Array.isArray(inputs)
      ? lendAll(inputs)
      : Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, lendAll(input)]));
    const results = config.kernelFunc({ inputs: lent as never, attrs: attrs as never, backend: cpu });
    const list = Array.isArray(results) ? results : [results];
    for (const { dataId } of list) used.add(dataId);
    const own = list.map(({ dataId, shape, dtype }) => {
      const values = cpu.readSync(dataId) as Float32Array;
      return { dataId: backend.write(values, shape, dtype), shape, dtype };
    });
    return Array.isArray(results) ? own : own[0]!;
  } finally {
    for (const dataId of used) cpu.disposeData(dataId, true);
  }
}

/** A copy of a tensor in the cpu backend; number arrays are shared, for no kernel writes to its inputs. */
function toCpu(info: tf.TensorInfo, backend: OnnxRuntimeBackend, cpu: CpuBackend): tf.TensorInfo {
  if (info.dtype !== "complex64") return cpu.makeTensorInfo(info.shape, info.dtype, backend.readSync(info.dataId));
  const [real, imag] = backend.readComplex(info.dataId);
  const parts = [real, imag].map((values) => cpu.makeTensorInfo(info.shape, "float32", values));
  const complex = tf.getKernel("Complex", "cpu")!.kernelFunc({
    inputs: { real: parts[0]!, imag: parts[1]! },
    backend: cpu,
  } as never) as tf.TensorInfo;
  for (const part of parts) cpu.disposeData(part.dataId, true);
  return complex;
}
