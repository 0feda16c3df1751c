import { DataType, inferValues, type Model, type Node, type Tensor } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatTensor, floatValues, indexGraph, makeNode } from "../graph-index.js";
import { NORMALIZED_BOXES } from "./deployment-graph.js";
import { isRamp } from "./is-ramp.js";

/** A rewritten graph and the ranges of its new values, which no calibration has seen. */
export interface CompactDecode {
  model: Model;
  ranges: Record<string, [min: number, max: number]>;
}

/** Strides of the three levels, in the order of the anchors. */
function anchorStrides(values: Float32Array, anchors: number): Float32Array {
  return values.length === 1 ? new Float32Array(anchors).fill(values[0]!) : values.slice(-anchors);
}

/**
 * Box decoding in numbers of one magnitude, for graphs that are int8 to the end: distances become fractions of the image before anything is added,
 * n = distance * stride / size in [0, 1]; then w, h = left + right, top + bottom; x, y = anchor + (right - left) / 2. Every value is in [-1, 1], so
 * a step of any scale is at most 1/128 of the image, whatever the stride.
 *
 * @param model - of `deploymentGraph`
 * @throws ExportError `NOT_DECODABLE` when the decoder is not the one of `exportOnnx`
 */
export function compactDecode(model: Model): CompactDecode {
  const { graph } = model;
  const index = indexGraph(graph);
  const shapes = inferValues(model);
  const refuse = (reason: string): ExportError =>
    new ExportError({
      code: "NOT_DECODABLE",
      message: `The box decoder cannot become int8: ${reason}. Export the graph with exportOnnx(), or use the flavour int8.`,
      details: { reason },
    });
  const [, , height = 0, width = 0] = (graph.inputs[0]?.shape ?? []).map(Number);
  const normalize = index.producers.get(NORMALIZED_BOXES);
  const scaled = index.producers.get(normalize?.inputs[0] ?? "");
  const strides = scaled?.inputs.map((name) => index.initializers.get(name)).find((tensor) => tensor !== undefined);
  const anchors = graph.initializers.find(
    ({ name, dims }) =>
      dims.length === 3 && dims[1] === 2 && index.consumers.get(name)?.some(({ opType }) => opType === "Sub"),
  );
  const expectation = graph.nodes.find(
    ({ opType, inputs }) => opType === "Conv" && isRampTensor(index.initializers.get(inputs[1] ?? "")),
  );
  const reshape = index.consumers.get(expectation?.outputs[0] ?? "")?.[0];
  if (normalize === undefined || strides === undefined || anchors === undefined || reshape?.opType !== "Reshape") {
    throw refuse("anchors, strides or the expectation over bins were not found");
  }
  const distances = reshape.outputs[0]!;
  const count = anchors.dims[2]!;
  if (shapes.get(distances)?.shape?.join(",") !== `1,4,${count}`) throw refuse(`distances are not [1,4,${count}]`);

  const perAnchor = anchorStrides(floatValues(strides), count);
  const grid = floatValues(anchors);
  const factors = new Float32Array(4 * count);
  const centres = new Float32Array(2 * count);
  for (let a = 0; a < count; a++) {
    for (let row = 0; row < 4; row++) factors[row * count + a] = perAnchor[a]! / (row % 2 === 0 ? width : height);
    centres[a] = (grid[a]! * perAnchor[a]!) / width;
    centres[count + a] = (grid[count + a]! * perAnchor[a]!) / height;
  }
  const split: Tensor = {
    name: "boxes/halves",
    dataType: DataType.INT64,
    dims: [2],
    rawData: new Uint8Array(BigInt64Array.of(2n, 2n).buffer),
  };
  const constants = [
    floatTensor("boxes/factors", factors, [1, 4, count]),
    floatTensor("boxes/centres", centres, [1, 2, count]),
    floatTensor("boxes/half", Float32Array.of(0.5), []),
    split,
  ];
  const axis = [{ name: "axis", type: "INT", value: 1 } as const];
  const nodes: Node[] = [
    makeNode("Mul", "boxes/scale", [distances, "boxes/factors"], ["boxes/sides"]),
    makeNode("Split", "boxes/split", ["boxes/sides", split.name], ["boxes/low", "boxes/high"], axis),
    makeNode("Add", "boxes/extent", ["boxes/low", "boxes/high"], ["boxes/size"]),
    makeNode("Sub", "boxes/difference", ["boxes/high", "boxes/low"], ["boxes/shift"]),
    makeNode("Mul", "boxes/halve", ["boxes/shift", "boxes/half"], ["boxes/offset"]),
    makeNode("Add", "boxes/place", ["boxes/centres", "boxes/offset"], ["boxes/centre"]),
    makeNode("Concat", "boxes/join", ["boxes/centre", "boxes/size"], [NORMALIZED_BOXES], axis),
  ];
  const bins = index.initializers.get(expectation!.inputs[1]!)!.dims[1]!;
  const ranges: CompactDecode["ranges"] = {
    [expectation!.outputs[0]!]: [0, bins - 1],
    // A box ends at the edge of the image, so no side is farther away than the image is wide.
    "boxes/sides": [0, 1],
    "boxes/size": [0, 1],
    "boxes/shift": [-1, 1],
    "boxes/offset": [-0.5, 0.5],
    "boxes/centre": [0, 1],
    [NORMALIZED_BOXES]: [0, 1],
  };
  return {
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: graph.nodes.flatMap((node) => (node === normalize ? nodes : [node])),
        initializers: [...graph.initializers, ...constants],
        valueInfo: [],
      },
    },
    ranges,
  };
}

function isRampTensor(tensor: Tensor | undefined): boolean {
  return tensor?.dataType === DataType.FLOAT && isRamp(floatValues(tensor));
}
