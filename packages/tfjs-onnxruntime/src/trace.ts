import type { Model } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";
import { EngineError } from "./errors.js";
import { collect, type Value } from "./graph.js";
import { backendName } from "./kernels/define.js";
import { LowerContext, makeModel, onnxType } from "./lower/context.js";
import { TraceScope } from "./trace-scope.js";

/** Shape and type of an input that is not known when a function is traced. */
export interface TraceInput {
  readonly shape: readonly number[];
  /** @defaultValue "float32" */
  readonly dtype?: "float32" | "int32" | "bool";
}

/**
 * The graph of a tfjs function as an ONNX model (opset 17, IR 8, standard operators only), without running it. Tensors that
 * do not come from an input become initializers.
 *
 * @param fn - maps placeholder tensors to named outputs; must not read values
 * @param inputs - graph inputs in order
 * @param constants - names for initializers, for example state-dict paths of weights
 * @throws {@link EngineError} `TRACE_DATA_DEPENDENT` if fn reads a value, `ENGINE_CONFIG` if another backend is active
 */
export function trace(
  fn: (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
  inputs: Readonly<Record<string, TraceInput>>,
  { constants = {}, name = "traced" }: { constants?: Readonly<Record<string, tf.Tensor>>; name?: string } = {},
): Model {
  const backend = tf.backend();
  if (!isEngine(backend)) {
    throw new EngineError({
      code: "ENGINE_CONFIG",
      message: `trace() needs the ${backendName} backend, "${tf.getBackend()}" is active. Call await tf.setBackend("${backendName}").`,
    });
  }
  // What is pending becomes data first, so that the trace holds nothing but the function.
  backend.flush();
  const names = new Map<Value, string>();
  for (const [constantName, tensor] of Object.entries(constants))
    names.set(backend.stored(tensor.dataId), constantName);
  let model: Model | null = null;
  tf.tidy(() => {
    const placeholders: Record<string, tf.Tensor> = {};
    const known = new Map<Value, string>();
    for (const [inputName, { shape, dtype = "float32" }] of Object.entries(inputs)) {
      const value: Value = { node: null, index: 0, shape: [...shape], dtype, host: null, placeholder: inputName };
      known.set(value, inputName);
      const dataId = backend.register(value);
      placeholders[inputName] = tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype });
    }
    backend.scope = new TraceScope("TRACE_DATA_DEPENDENT");
    let outputs: Record<string, tf.Tensor>;
    try {
      outputs = fn(placeholders);
    } finally {
      backend.scope = null;
    }
    const results = Object.entries(outputs).map(([outputName, tensor]) => {
      const value = backend.value(tensor.dataId);
      return { outputName, value, shape: tensor.shape, dtype: tensor.dtype };
    });
    const usedNames = new Set([...known.values(), ...results.map((r) => r.outputName)]);
    let unnamed = 0;
    const context: LowerContext = new LowerContext({
      contrib: new Set(),
      bind: (value) => {
        const input = known.get(value);
        if (input !== undefined) return input;
        let constant = names.get(value);
        if (constant === undefined || usedNames.has(constant)) {
          do constant = `constant_${unnamed++}`;
          while (usedNames.has(constant));
        }
        usedNames.add(constant);
        return context.weight(constant, value);
      },
    });
    context.lower(collect(results.map((r) => r.value)));
    /** Tensors that carry a public name by now, under the one they were emitted with. */
    const renamed = new Map<string, string>();
    for (const { outputName, value, shape } of results) {
      const same = value.shape.length === shape.length && value.shape.every((d, i) => d === shape[i]);
      const plain = context.plain(value);
      const source = renamed.get(plain) ?? plain;
      const produced = same ? source : context.emit("Reshape", [source, context.int64(shape)]);
      const producer = context.nodes.find((n) => n.outputs.includes(produced));
      if (producer === undefined || results.some((r) => r.outputName === produced)) {
        context.nodes.push({
          opType: "Identity",
          domain: "",
          name: "",
          inputs: [produced],
          outputs: [outputName],
          attributes: [],
        });
        continue;
      }
      renamed.set(produced, outputName);
      // Give the tensor its public name wherever it is mentioned.
      for (const node of context.nodes) {
        node.inputs = node.inputs.map((n) => (n === produced ? outputName : n));
        node.outputs = node.outputs.map((n) => (n === produced ? outputName : n));
      }
    }
    model = makeModel({
      context,
      name,
      inputs: Object.entries(inputs).map(([inputName, { shape, dtype = "float32" }]) => ({
        name: inputName,
        dataType: onnxType(dtype),
        shape: [...shape],
      })),
      outputs: results.map((r) => ({ name: r.outputName, dataType: onnxType(r.dtype), shape: [...r.shape] })),
    });
  });
  return model as unknown as Model;
}
