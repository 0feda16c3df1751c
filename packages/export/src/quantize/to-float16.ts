import {
  type Attribute,
  DataType,
  float32ToFloat16,
  inferShapes,
  inferValues,
  type Model,
  type Node,
  type Tensor,
  tensorFrom,
  topoSort,
} from "@seg/onnx";
import { floatValues, makeNode } from "../graph-index.js";
import { headNodes } from "./head.js";

/** What stays float32 in a float16 model. */
export interface Float16Options {
  /** Inputs and outputs stay float32, with Casts inside. @defaultValue true */
  keepIO?: boolean;
  /** Operators that stay float32 beside those that have no float16 form. @defaultValue [] */
  block?: readonly string[];
  /** Largest magnitude; larger values are cut. @defaultValue 1e4 */
  largest?: number;
  /** Smallest magnitude of a value that is not 0; smaller ones are raised. @defaultValue 1e-7 */
  smallest?: number;
}

/** Operators whose float16 form is missing or loses positions. */
const FLOAT_ONLY: readonly string[] =
  "NonMaxSuppression TopK RoiAlign Resize Range CumSum Min Max Upsample QuantizeLinear DequantizeLinear".split(" ");

/** Inputs that stay float32 whatever the node computes in: sizes and regions of a Resize. */
const LITERAL_INPUTS: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/**
 * The model with weights and activations of its body in float16. The decode head stays float32, because float16 steps by half a pixel at
 * 512 to 1024 pixels, and so do operators without a float16 form. Half the size; CPUs compute it no faster.
 *
 * @returns the model, and how many values of which tensors were cut to the limits
 */
export function toFloat16(
  model: Model,
  { keepIO = true, block = [], largest = 1e4, smallest = 1e-7 }: Float16Options = {},
): { model: Model; clamped: Readonly<Record<string, number>> } {
  const { graph } = model;
  const types = inferValues(model);
  const isFloat = (name: string): boolean => types.get(name)?.dataType === DataType.FLOAT;
  const kept = new Set([...FLOAT_ONLY, ...block]);
  const head = new Set([...headNodes(graph).values()].flat());
  const isHalf = (node: Node): boolean => {
    if (node.domain !== "" || kept.has(node.opType) || head.has(node.name)) return false;
    return [...node.inputs, ...node.outputs].some((name) => name !== "" && isFloat(name));
  };
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  /** Values that exist in float16 after their producer. */
  const halfValues = new Set<string>();
  const clamped: Record<string, number> = {};
  const initializers: Tensor[] = [];
  const known = new Set<string>();
  const nodes: Node[] = [];

  const toHalf = (tensor: Tensor, name: string): Tensor => {
    let count = 0;
    const values = floatValues(tensor).map((value) => {
      const size = Math.abs(value);
      if (size > largest) count++;
      else if (size === 0 || size >= smallest) return value;
      return Math.sign(value) * (size > largest ? largest : smallest);
    });
    if (count > 0) clamped[tensor.name] = count;
    return tensorFrom({ name, dataType: DataType.FLOAT16, dims: tensor.dims, data: float32ToFloat16(values) });
  };
  const keep = (tensor: Tensor): string => {
    if (!known.has(tensor.name)) {
      known.add(tensor.name);
      initializers.push(tensor);
    }
    return tensor.name;
  };
  /** A constant in float16; one that float32 nodes read as well exists twice. */
  const halfConstant = (tensor: Tensor): string => {
    const name = `${tensor.name}_float16`;
    if (!known.has(name)) keep(toHalf(tensor, name));
    return name;
  };
  /** The value in the wanted type, through one Cast that all such consumers share. */
  const cast = (value: string, half: boolean): string => {
    const name = `${value}_${half ? "float16" : "float32"}`;
    if (!known.has(name)) {
      known.add(name);
      const to: Attribute = { name: "to", type: "INT", value: half ? DataType.FLOAT16 : DataType.FLOAT };
      nodes.push(makeNode("Cast", `${name}_Cast`, [value], [name], [to]));
    }
    return name;
  };

  if (!keepIO) for (const { name } of graph.inputs) if (isFloat(name)) halfValues.add(name);
  for (const node of graph.nodes) {
    const half = isHalf(node);
    const literals = LITERAL_INPUTS[node.opType] ?? [];
    const inputs = node.inputs.map((name, position) => {
      if (name === "" || !isFloat(name)) return constants.has(name) ? keep(constants.get(name)!) : name;
      const constant = constants.get(name);
      const wantsHalf = half && !literals.includes(position);
      if (constant !== undefined) return wantsHalf ? halfConstant(constant) : keep(constant);
      return halfValues.has(name) === wantsHalf ? name : cast(name, wantsHalf);
    });
    const changed = node.outputs.map((name) => {
      if (!half || !isFloat(name)) return name;
      // A graph output keeps its name and, with keepIO, its type.
      if (keepIO && outputs.has(name)) return `${name}_half`;
      halfValues.add(name);
      return name;
    });
    nodes.push({
      ...node,
      inputs,
      outputs: changed,
      attributes: half ? node.attributes.map(halfAttribute) : node.attributes,
    });
    changed.forEach((name, i) => {
      if (name === node.outputs[i]) return;
      const to: Attribute = { name: "to", type: "INT", value: DataType.FLOAT };
      nodes.push(makeNode("Cast", `${node.outputs[i]}_Cast`, [name], [node.outputs[i]!], [to]));
    });
  }
  const typed = (value: Model["graph"]["inputs"][number]) =>
    halfValues.has(value.name) ? { ...value, dataType: DataType.FLOAT16 } : value;
  const converted: Model = {
    ...model,
    graph: {
      ...graph,
      nodes,
      initializers,
      inputs: graph.inputs.map(typed),
      outputs: graph.outputs.map(typed),
      valueInfo: [],
    },
  };
  return { model: inferShapes(topoSort(converted).model).model, clamped };

  function halfAttribute(attribute: Attribute): Attribute {
    if (attribute.type === "TENSOR" && attribute.value.dataType === DataType.FLOAT) {
      return { ...attribute, value: toHalf(attribute.value, attribute.value.name) };
    }
    const isType = attribute.type === "INT" && (attribute.name === "to" || attribute.name === "dtype");
    return isType && attribute.value === DataType.FLOAT ? { ...attribute, value: DataType.FLOAT16 } : attribute;
  }
}
