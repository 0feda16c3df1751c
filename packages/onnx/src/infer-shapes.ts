import { evaluateNode, isFoldable, shapeTensor } from "./evaluate.js";
import { constantValue } from "./graph-view.js";
import { type InferContext, inferNode } from "./infer-rules.js";
import type { Dim, Model, Tensor, ValueInfo } from "./model.js";
import { elementCount } from "./tensor.js";

/** Element type (0 = unknown) and shape (absent = unknown) of a value. */
export interface ValueType {
  dataType: number;
  shape?: Dim[];
}

/** Integer constants up to this many elements are computed on the way, because shapes depend on them. */
const MAX_SHAPE_ELEMENTS = 4096;

/**
 * Types of all values of the main graph, from inputs, initializers, recorded value_info and one analytic rule per operator. What no rule
 * covers is absent or partly unknown; nothing is guessed.
 */
export function inferValues(model: Model): Map<string, ValueType> {
  const { graph } = model;
  const opset = model.opsetImport.find(({ domain }) => domain === "" || domain === "ai.onnx")?.version ?? 0;
  const values = new Map<string, ValueType>();
  const declared = new Map<string, ValueInfo>();
  for (const value of [...graph.valueInfo, ...graph.outputs]) declared.set(value.name, value);
  const constants = new Map<string, Tensor>();
  for (const tensor of graph.initializers) {
    values.set(tensor.name, { dataType: tensor.dataType, shape: [...tensor.dims] });
    constants.set(tensor.name, tensor);
  }
  for (const input of graph.inputs) {
    constants.delete(input.name); // a caller may override it
    values.set(input.name, typeOf(input));
  }
  for (const node of graph.nodes) {
    const context: InferContext = {
      node,
      opset,
      inputs: node.inputs.map((name) => (name === "" ? undefined : values.get(name))),
      constants: node.inputs.map((name) => {
        const tensor = constants.get(name);
        return tensor && !tensor.externalData ? tensor : undefined;
      }),
    };
    const inferred = inferNode(context);
    for (const [i, name] of node.outputs.entries()) {
      if (name === "") continue;
      const merged = merge(inferred?.[i], declared.get(name));
      if (merged) values.set(name, merged);
    }
    const constant = smallConstant(context);
    if (constant) constants.set(node.outputs[0]!, constant);
  }
  return values;
}

function smallConstant({ node, inputs, constants }: InferContext): Tensor | null {
  if (node.outputs.length !== 1) return null;
  if (node.opType === "Constant" && node.domain === "") return constantValue(node) ?? null;
  if (!isFoldable(node)) return null;
  if (node.opType === "Shape") {
    const shape = inputs[0]?.shape;
    return shape?.every((dim): dim is number => typeof dim === "number" && dim >= 0) ? shapeTensor(node, shape) : null;
  }
  if (constants.some((tensor) => tensor && elementCount(tensor.dims) > MAX_SHAPE_ELEMENTS)) return null;
  return evaluateNode(node, constants);
}

function typeOf(value: ValueInfo): ValueType {
  return value.shape ? { dataType: value.dataType, shape: [...value.shape] } : { dataType: value.dataType };
}

/** The inferred type, completed by what the model declares where inference knows nothing. */
function merge(inferred: ValueType | null | undefined, declared: ValueInfo | undefined): ValueType | undefined {
  if (!declared) return inferred ?? undefined;
  if (!inferred) return declared.dataType === 0 && !declared.shape ? undefined : typeOf(declared);
  const dataType = inferred.dataType || declared.dataType;
  const { shape } = inferred;
  if (!shape) return declared.shape ? { dataType, shape: [...declared.shape] } : { dataType };
  if (declared.shape?.length !== shape.length) return { dataType, shape };
  return { dataType, shape: shape.map((dim, i) => dim ?? declared.shape![i]!) };
}

/**
 * Records the type of every intermediate value as value_info and completes untyped graph outputs.
 *
 * @returns `unknown`: values whose element type or shape is not fully known.
 */
export function inferShapes(model: Model): { model: Model; changed: boolean; unknown: string[] } {
  const values = inferValues(model);
  const { graph } = model;
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const recorded = new Map(graph.valueInfo.map((value) => [value.name, value]));
  const unknown: string[] = [];
  const valueInfo: ValueInfo[] = [];
  const complete = (old: ValueInfo | undefined, name: string): ValueInfo | undefined => {
    const value = values.get(name);
    if (!value?.dataType || !value.shape?.every((dim) => dim !== null)) unknown.push(name);
    if (!value) return old;
    const isSame = old?.dataType === value.dataType && JSON.stringify(old.shape) === JSON.stringify(value.shape);
    return isSame ? old : { ...old, name, ...value };
  };
  for (const node of graph.nodes)
    for (const name of node.outputs) {
      if (name === "" || outputs.has(name)) continue;
      const info = complete(recorded.get(name), name);
      if (info) valueInfo.push(info);
      recorded.delete(name);
    }
  valueInfo.push(...[...recorded.values()].filter(({ name }) => !outputs.has(name)));
  const newOutputs = graph.outputs.map((output) =>
    output.rawType ? output : (complete(output, output.name) ?? output),
  );
  const changed =
    valueInfo.length !== graph.valueInfo.length ||
    valueInfo.some((value, i) => value !== graph.valueInfo[i]) ||
    newOutputs.some((value, i) => value !== graph.outputs[i]);
  if (!changed) return { model, changed, unknown };
  return { model: { ...model, graph: { ...graph, valueInfo, outputs: newOutputs } }, changed, unknown };
}
