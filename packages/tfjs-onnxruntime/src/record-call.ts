import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "./backend.js";
import type { HostData, Value } from "./graph.js";
import { rememberSources } from "./source.js";
import { mapTensors, tensorsOf } from "./tensor-tree.js";
import { TraceScope } from "./trace-scope.js";

/** Where a value that a graph needs or returns comes from in a later call. */
export interface Recording<Result> {
  /** Values of the arguments' tensors, by position. */
  readonly placeholders: readonly Value[];
  /** What a value held when the recording began. */
  readonly variables: ReadonlyMap<Value, tf.Variable>;
  readonly captures: ReadonlyMap<Value, object>;
  readonly effects: readonly (() => void)[];
  /** The result with its tensors; only their order, shapes and dtypes are used. */
  readonly result: Result;
  /** Of the result's tensors, in order. */
  readonly outputs: readonly {
    readonly value: Value;
    readonly shape: readonly number[];
    readonly dtype: tf.DataType;
  }[];
  readonly assigned: readonly { readonly variable: tf.Variable; readonly value: Value }[];
  /** Values to compute, each once. */
  readonly roots: readonly Value[];
}

/** One recorded call, not yet decided upon. */
export interface RecordedCall<Result> {
  readonly scope: TraceScope;
  readonly recording: Recording<Result>;
  /** Variables that did not exist before the call. */
  readonly newVariables: number;
  /** Makes the recorded call an ordinary one: variables stay assigned, values are computed. */
  finish(): Result;
  /** Undoes every assignment and disposes the result. */
  rollBack(): void;
}

const registered = () => Object.values(tf.engine().registeredVariables);

/** Runs `fn` on placeholders: nothing is computed. Assignments to variables happen and can be undone. */
export function recordCall<Args extends readonly unknown[], Result>({
  backend,
  fn,
  args,
  watch,
}: {
  backend: OnnxRuntimeBackend;
  fn: (...args: Args) => Result;
  args: Args;
  watch?: number;
}): RecordedCall<Result> {
  backend.flush();
  const variables = variablesByValue(backend);
  const before = new Map(registered().map((variable) => [variable, tf.keep(variable.clone())]));
  const tensors = tensorsOf(args);
  const placeholders: Value[] = tensors.map(({ shape, dtype }, i) => {
    return { node: null, index: 0, shape: [...shape], dtype, host: null, placeholder: `argument ${i}` };
  });
  const scope = new TraceScope("COMPILE_DATA_DEPENDENT", watch);
  const rollBackVariables = () => {
    for (const [variable, value] of before) {
      if (!variable.isDisposed && variable.dataId !== value.dataId) variable.assign(value);
      value.dispose();
    }
  };
  let result: Result;
  try {
    result = tf.tidy(() => {
      let next = 0;
      const inputs = mapTensors(args, ({ shape, dtype }) => {
        const dataId = backend.register(placeholders[next++]!);
        return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype });
      });
      backend.scope = scope;
      try {
        return rememberSources(() => fn(...inputs)) as tf.TensorContainer;
      } finally {
        backend.scope = null;
      }
    }) as Result;
  } catch (error) {
    rollBackVariables();
    throw error;
  }

  const outputs = tensorsOf(result).map(({ dataId, shape, dtype }) => ({ value: backend.value(dataId), shape, dtype }));
  const assigned = [...before]
    .filter(([variable, value]) => !variable.isDisposed && variable.dataId !== value.dataId)
    .map(([variable]) => ({ variable, value: backend.value(variable.dataId) }));
  const roots = new Set<Value>();
  for (const { value } of [...outputs, ...assigned]) if (value.node !== null) roots.add(value);
  return {
    scope,
    newVariables: registered().filter((variable) => !before.has(variable)).length,
    recording: {
      placeholders,
      variables,
      captures: scope.captures,
      effects: scope.effects,
      result,
      outputs,
      assigned,
      roots: [...roots],
    },
    finish() {
      placeholders.forEach((value, i) => {
        value.host = wideHostOf(backend, tensors[i]!);
      });
      for (const value of scope.generated) value.host = generate(value);
      backend.flush();
      for (const value of before.values()) value.dispose();
      for (const callback of scope.effects) callback();
      return result;
    },
    rollBack() {
      tf.dispose(result as tf.TensorContainer);
      rollBackVariables();
    },
  };
}

/** Host data of a generated value whose inputs have theirs. */
function generate({ generator }: Value): HostData {
  return generator!.run(generator!.inputs.map((input) => input.host as HostData));
}

/** Variables by the values that they hold; two that hold one value get a copy each. Everything pending must have run. */
function variablesByValue(backend: OnnxRuntimeBackend): Map<Value, tf.Variable> {
  const result = new Map<Value, tf.Variable>();
  for (const variable of registered()) {
    if (variable.dtype === "string" || variable.dtype === "complex64") continue;
    let value = backend.stored(variable.dataId);
    if (result.has(value)) {
      value = { ...value };
      const own = tf.engine().makeTensorFromTensorInfo({
        dataId: backend.register(value),
        shape: variable.shape,
        dtype: variable.dtype,
      });
      variable.assign(own);
      own.dispose();
    }
    result.set(value, variable);
  }
  return result;
}

/** Current data of a tensor as it is stored; what it waits for runs. */
export function hostOf(backend: OnnxRuntimeBackend, tensor: tf.Tensor): HostData {
  const value = backend.stored(tensor.dataId);
  if (value.host === null) backend.flush();
  return value.host as HostData;
}

/** {@link hostOf} in the dtype of the tensor, as a graph input of that dtype takes it. */
export function wideHostOf(backend: OnnxRuntimeBackend, tensor: tf.Tensor): HostData {
  const { storedAs } = backend.stored(tensor.dataId);
  return storedAs === undefined ? hostOf(backend, tensor) : tensor.dataSync<"float32">();
}
