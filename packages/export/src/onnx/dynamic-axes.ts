import {
  DataType,
  type Dim,
  inferShapes,
  type Model,
  type Node,
  type Tensor,
  tensorData,
  tensorFrom,
  topoSort,
} from "@seg/onnx";
import { ExportError } from "../errors.js";
import { floatValues, indexGraph } from "../graph-index.js";
import { GraphAppend } from "./graph-append.js";

const int64Values = (tensor: Tensor): number[] => Array.from(tensorData(tensor) as BigInt64Array, Number);

function cannot(node: string, reason: string): ExportError {
  return new ExportError({
    code: "UNSUPPORTED_OP",
    message: `The graph cannot become dynamic: ${node}: ${reason}. Export it with a static shape.`,
    details: { op: "dynamic", node, reason },
  });
}

/** Names of symbolic dimensions. */
const AXES = { batch: "batch", height: "height", width: "width" } as const;

/** Renames a dimension of a value. */
const withDims = (value: Model["graph"]["inputs"][number], dims: Readonly<Record<number, Dim>>) => ({
  ...value,
  shape: (value.shape ?? []).map((dim, i) => dims[i] ?? dim),
});

/** A reshape target with the batch and the last axis taken from the data. */
interface ReshapeChange {
  readonly batch: boolean;
  readonly last: boolean;
}

/** Copies each Reshape's target for itself, with 0 (as the input has it) at the batch and -1 at the last axis. */
function loosenReshapes(model: Model, change: ReshapeChange): { nodes: Node[]; initializers: Tensor[] } {
  const { initializers } = indexGraph(model.graph);
  const added: Tensor[] = [];
  const nodes = model.graph.nodes.map((node) => {
    const target = node.opType === "Reshape" ? initializers.get(node.inputs[1]!) : undefined;
    if (target === undefined || initializers.has(node.inputs[0]!)) return node;
    const dims = int64Values(target);
    if (dims[0] !== 1 && dims[0] !== 0)
      throw cannot(node.name, `its target [${dims.join(",")}] does not begin with the batch`);
    if (change.batch) dims[0] = 0;
    if (change.last) dims[dims.length - 1] = -1;
    const name = `${node.name}_${change.batch ? "batch" : "size"}_target`;
    added.push(tensorFrom({ name, dataType: DataType.INT64, dims: [dims.length], data: dims }));
    return { ...node, inputs: [node.inputs[0]!, name] };
  });
  return { nodes, initializers: added };
}

/**
 * The exported graph with a symbolic batch. `other` is the same network traced at another batch size: both must have the same nodes and, apart
 * from reshape targets, the same constants, or the batch is baked in somewhere.
 *
 * @throws ExportError `UNSUPPORTED_OP` naming what depends on the batch
 */
export function dynamicBatch(model: Model, other: Model): Model {
  const [a, b] = [model.graph, other.graph];
  if (a.nodes.length !== b.nodes.length) throw cannot("the graph", "it has other nodes at another batch size");
  const targets = new Set(a.nodes.flatMap(({ opType, inputs }) => (opType === "Reshape" ? [inputs[1]!] : [])));
  const others = indexGraph(b).initializers;
  const constants = indexGraph(a).initializers;
  for (const [i, node] of a.nodes.entries()) {
    const twin = b.nodes[i]!;
    if (node.opType !== twin.opType) throw cannot(node.name, `it is ${twin.opType} at another batch size`);
    node.inputs.forEach((name, position) => {
      const [x, y] = [constants.get(name), others.get(twin.inputs[position]!)];
      if (x === undefined || targets.has(name)) return;
      const isEqual = y?.rawData !== undefined && Buffer.compare(x.rawData!, y.rawData) === 0;
      if (!isEqual) throw cannot(node.name, `its constant ${name} depends on the batch`);
    });
  }
  const { nodes, initializers } = loosenReshapes(model, { batch: true, last: false });
  return rebuilt(model, nodes, [...a.initializers, ...initializers], { batch: true, size: false });
}

/**
 * The exported graph with symbolic height and width: anchors and strides are computed from the feature maps. Inputs must stay multiples
 * of 32. Not for TFLite.
 *
 * @throws ExportError `UNSUPPORTED_OP` when the anchors are not found
 */
export function dynamicSize(model: Model): Model {
  const { graph } = model;
  const { initializers } = indexGraph(graph);
  const [, , height = 0, width = 0] = (graph.inputs[0]!.shape ?? []).map(Number);
  const levels = [8, 16, 32].map((stride) => ({ stride, cells: (height / stride) * (width / stride) }));
  const total = levels.reduce((sum, { cells }) => sum + cells, 0);
  const g = new GraphAppend("anchors");
  const grids: string[] = [];
  const steps: string[] = [];
  for (const { stride, cells } of levels) {
    const flatten = graph.nodes.find((node) => {
      const target = node.opType === "Reshape" ? initializers.get(node.inputs[1]!) : undefined;
      return target !== undefined && target.dims[0] === 3 && int64Values(target)[2] === cells;
    });
    if (flatten === undefined) throw cannot("the head", `no level of ${cells} cells is flattened`);
    const shape = g.node("Shape", [flatten.inputs[0]!]);
    const side = (axis: number): string => g.node("Gather", [shape, g.int64(`axis_${axis}`, axis)], { axis: 0 });
    const [rows, columns] = [side(2), side(3)];
    const centres = (count: string): string => {
      const cast = g.node("Cast", [count], { to: DataType.FLOAT });
      const ramp = g.node("Range", [g.float("zero", 0), cast, g.float("one", 1)]);
      return g.node("Add", [ramp, g.float("half", 0.5)]);
    };
    const area = g.node(
      "Concat",
      [rows, columns].map((value) => g.node("Unsqueeze", [value, g.int64("first", [0])])),
      {
        axis: 0,
      },
    );
    const spread = (values: string, dims: readonly number[]): string => {
      const column = g.node("Reshape", [values, g.int64(`ramp_${dims.join("_")}`, dims)]);
      return g.node("Reshape", [g.node("Expand", [column, area]), g.int64("row", [1, 1, -1])]);
    };
    const x = spread(centres(columns), [1, -1]);
    const y = spread(centres(rows), [-1, 1]);
    grids.push(g.node("Concat", [x, y], { axis: 1 }));
    steps.push(g.node("Add", [g.node("Mul", [x, g.float("zero", 0)]), g.float(`stride_${stride}`, stride)]));
  }
  const anchors = g.node("Concat", grids, { axis: 2 });
  const strides = g.node("Concat", steps, { axis: 2 });
  const baked = new Map<string, string>();
  for (const tensor of graph.initializers) {
    if (tensor.dataType !== DataType.FLOAT || tensor.dims.at(-1) !== total) continue;
    const values = floatValues(tensor);
    if (values.length === 2 * total && values[0] === 0.5) baked.set(tensor.name, anchors);
    if (values.length === total && values[0] === 8 && values[total - 1] === 32) baked.set(tensor.name, strides);
  }
  if (new Set(baked.values()).size !== 2) throw cannot("the head", "its anchors and strides were not found");
  const loosened = loosenReshapes(model, { batch: false, last: true });
  const nodes = [...g.nodes, ...loosened.nodes].map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => baked.get(name) ?? name),
  }));
  const constants = [...graph.initializers, ...g.initializers, ...loosened.initializers];
  return rebuilt(model, nodes, constants, { batch: false, size: true });
}

function rebuilt(
  model: Model,
  nodes: Node[],
  initializers: Tensor[],
  { batch, size }: { batch: boolean; size: boolean },
): Model {
  const { graph } = model;
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const [first, ...others] = graph.outputs;
  const leading = batch ? { 0: AXES.batch } : {};
  const args = (value: string): string => value.replace("'dynamic': False", "'dynamic': True");
  const changed: Model = {
    ...model,
    graph: {
      ...graph,
      nodes,
      initializers: initializers.filter(({ name }) => read.has(name)),
      inputs: graph.inputs.map((value) =>
        withDims(value, { ...leading, ...(size ? { 2: AXES.height, 3: AXES.width } : {}) }),
      ),
      outputs: [
        withDims(first!, { ...leading, ...(size ? { 2: "anchors" } : {}) }),
        ...others.map((value) =>
          withDims(value, { ...leading, ...(size ? { 2: "mask_height", 3: "mask_width" } : {}) }),
        ),
      ],
      valueInfo: [],
    },
    metadataProps: model.metadataProps.map(({ key, value }) => ({ key, value: key === "args" ? args(value) : value })),
  };
  return inferShapes(topoSort(changed).model).model;
}
