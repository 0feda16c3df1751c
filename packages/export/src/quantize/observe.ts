import { DataType, type Model } from "@seg/onnx";
import { makeNode } from "../graph-index.js";

/** Names of the two outputs that {@link withExtremes} adds for a tensor. */
export const extremeNames = (tensor: string): { min: string; max: string } => ({
  min: `${tensor}__range_min`,
  max: `${tensor}__range_max`,
});

/** The model with the named intermediate tensors as further outputs; inputs and present outputs are left as they are. */
export function withOutputs(model: Model, tensors: readonly string[]): Model {
  const known = new Set([...model.graph.outputs, ...model.graph.inputs].map(({ name }) => name));
  const added = tensors.filter((name) => !known.has(name)).map((name) => ({ name, dataType: DataType.FLOAT }));
  return { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...added] } };
}

/** The model with minimum and maximum of each named tensor as further outputs: a few bytes leave the session per tensor. */
export function withExtremes(model: Model, tensors: readonly string[]): Model {
  const nodes = [...model.graph.nodes];
  const outputs = [...model.graph.outputs];
  for (const tensor of tensors) {
    const { min, max } = extremeNames(tensor);
    for (const [opType, name] of [
      ["ReduceMin", min],
      ["ReduceMax", max],
    ] as const) {
      nodes.push(makeNode(opType, name, [tensor], [name], [{ name: "keepdims", type: "INT", value: 1 }]));
      outputs.push({ name, dataType: DataType.FLOAT });
    }
  }
  return { ...model, graph: { ...model.graph, nodes, outputs } };
}
