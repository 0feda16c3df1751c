import { countMacs, DataType, inferShapes, type Model, type Node, type Tensor, tensorFrom } from "@seg/onnx";
import { floatTensor, floatValues } from "../graph-index.js";
import { type PrunedGroup, type PruneOptions, type PruningPlan, planPruning } from "./plan-pruning.js";
import { selectChannels } from "./select-channels.js";

/** What a pruning removed. */
export interface PruneReport {
  readonly groups: readonly PrunedGroup[];
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  /** Multiply-accumulates of convolutions and products; FLOPs are twice as many. */
  readonly macsBefore: number;
  readonly macsAfter: number;
}

const elements = ({ graph }: Model): number =>
  graph.initializers
    .filter(({ dataType }) => dataType === DataType.FLOAT)
    .reduce((sum, { dims }) => sum + dims.reduce((all, size) => all * size, 1), 0);

/** The graph without the channels that a plan made from it removes. */
export function applyPruning(model: Model, { keep, splits, shapes }: PruningPlan): Model {
  const { graph } = model;
  const initializers: Tensor[] = graph.initializers.map((tensor) => {
    const axes = keep.get(tensor.name);
    if (axes === undefined) return tensor;
    const { data, dims } = selectChannels(floatValues(tensor), tensor.dims, axes);
    return floatTensor(tensor.name, data, dims);
  });
  /** Sizes of its own for a node: one constant may serve several nodes, which now differ. */
  const withSizes = (node: Node, sizes: readonly number[]): Node => {
    const name = `${node.outputs[0]}_sizes`;
    initializers.push(tensorFrom({ name, dataType: DataType.INT64, dims: [sizes.length], data: sizes }));
    return { ...node, inputs: [node.inputs[0]!, name] };
  };
  const nodes = graph.nodes.map((node) => {
    const [output = ""] = node.outputs;
    if (node.opType === "Split" && splits.has(output)) return withSizes(node, splits.get(output)!);
    if (node.opType === "Reshape" && shapes.has(output)) return withSizes(node, [1, shapes.get(output)!, 1, 1]);
    return node;
  });
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const kept = initializers.filter(({ name }) => read.has(name));
  return inferShapes({ ...model, graph: { ...graph, nodes, initializers: kept, valueInfo: [] } }).model;
}

/** Sizes of a graph before and after. */
export function pruneReport(before: Model, after: Model, groups: readonly PrunedGroup[]): PruneReport {
  return {
    groups,
    parametersBefore: elements(before),
    parametersAfter: elements(after),
    macsBefore: countMacs(before).total,
    macsAfter: countMacs(after).total,
  };
}

/**
 * Removes whole channels from a convolutional graph, with everything that depends on them. The result computes what the original would with
 * those channels at zero; accuracy must be won back by fine-tuning (`pruneAndFineTune`).
 *
 * @throws ExportError `PRUNE_CONFIG`
 */
export function pruneStructured(model: Model, options: PruneOptions): { model: Model; report: PruneReport } {
  const plan = planPruning(model, options);
  const pruned = applyPruning(model, plan);
  return { model: pruned, report: pruneReport(model, pruned, plan.groups) };
}
