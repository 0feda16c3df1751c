import { DataType, inferShapes, inferValues, intAttribute, type Model, type Node } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatTensor, makeNode } from "../graph-index.js";

/** Value that holds boxes as fractions of the image, before it is joined with the rest. */
export const NORMALIZED_BOXES = "boxes";

/** Names of separate outputs, in order. */
export const SPLIT_OUTPUTS = [NORMALIZED_BOXES, "scores", "mask_coefs", "protos"] as const;

function notDecodable(reason: string): ExportError {
  return new ExportError({
    code: "NOT_DECODABLE",
    message: `The graph cannot become a TFLite detector: ${reason}. Export it with exportOnnx().`,
    details: { reason },
  });
}

/**
 * The graph with the outputs of the TFLite contract, still ONNX: boxes cx, cy, w, h divided by the width and height of the input. Rows of pixels
 * (0..640) beside rows of probabilities (0..1) would leave nothing of the latter in any shared scale.
 *
 * @param splitOutputs - outputs `boxes`, `scores`, `mask_coefs`, `protos` instead of `output0` and `output1`
 * @throws ExportError `NOT_DECODABLE` when `output0` is no Concat of boxes, scores (and mask coefficients)
 */
export function deploymentGraph(model: Model, { splitOutputs = false }: { splitOutputs?: boolean } = {}): Model {
  const { graph } = model;
  const join = graph.nodes.find(({ outputs }) => outputs[0] === "output0");
  const shapes = inferValues(model);
  const [boxes = "", scores = "", coefficients = ""] = join?.inputs ?? [];
  if (join?.opType !== "Concat" || intAttribute(join, "axis", 0) !== 1 || shapes.get(boxes)?.shape?.[1] !== 4) {
    throw notDecodable("output0 is no Concat of [1,4,A] boxes with scores");
  }
  const [, , height, width] = graph.inputs[0]?.shape ?? [];
  if (typeof height !== "number" || typeof width !== "number") throw notDecodable("its input has no fixed size");
  const factor =
    height === width
      ? floatTensor("boxes/factor", Float32Array.of(1 / width), [])
      : floatTensor("boxes/factor", Float32Array.of(1 / width, 1 / height, 1 / width, 1 / height), [1, 4, 1]);
  const divide = makeNode("Mul", "boxes/normalize", [boxes, factor.name], [NORMALIZED_BOXES]);
  const joined: Node = { ...join, inputs: [NORMALIZED_BOXES, ...join.inputs.slice(1)] };
  const nodes = graph.nodes.flatMap((node) => (node === join ? [divide, ...(splitOutputs ? [] : [joined])] : [node]));
  let outputs = graph.outputs;
  let named = nodes;
  if (splitOutputs) {
    const names = new Map<string, string>([
      [scores, "scores"],
      [coefficients, "mask_coefs"],
      ["output1", "protos"],
    ]);
    const rename = (list: readonly string[]): string[] => list.map((name) => names.get(name) ?? name);
    named = nodes.map((node) => ({ ...node, inputs: rename(node.inputs), outputs: rename(node.outputs) }));
    const made = new Set(named.flatMap((node) => node.outputs));
    outputs = SPLIT_OUTPUTS.filter((name) => made.has(name)).map((name) => ({ name, dataType: DataType.FLOAT }));
  }
  const rewritten: Model = {
    ...model,
    graph: { ...graph, nodes: named, outputs, valueInfo: [], initializers: [...graph.initializers, factor] },
  };
  return inferShapes(rewritten).model;
}
