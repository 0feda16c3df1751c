import { countMacs, DataType, foldConstants, inferShapes, type Model, type Tensor, tensorFrom } from "@seg/onnx";
import { floatTensor, floatValues } from "../graph-index.js";
import { type PrunedGroup, type PruneOptions, planPruning } from "./plan-pruning.js";
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

/**
 * Removes whole channels from a convolutional graph, with everything that depends on them. The result computes what the original would with
 * those channels at zero; accuracy must be won back by fine-tuning (`pruneAndFineTune`).
 *
 * @throws ExportError `PRUNE_CONFIG`
 */
export function pruneStructured(model: Model, options: PruneOptions): { model: Model; report: PruneReport } {
  // A bias that is reshaped to [1, C, 1, 1] would need two edits; folded it needs one.
  const source = foldConstants(model).model;
  const { groups, keep, splits } = planPruning(source, options);
  const initializers: Tensor[] = source.graph.initializers.map((tensor) => {
    const axes = keep.get(tensor.name);
    if (axes === undefined) return tensor;
    const { data, dims } = selectChannels(floatValues(tensor), tensor.dims, axes);
    return floatTensor(tensor.name, data, dims);
  });
  const names = new Set(initializers.map(({ name }) => name));
  const nodes = source.graph.nodes.map((node) => {
    const sizes = node.opType === "Split" ? splits.get(node.name) : undefined;
    if (sizes === undefined) return node;
    // One constant may serve several splits, which now differ.
    const name = `${node.name}_sizes`;
    if (!names.has(name)) {
      names.add(name);
      initializers.push(tensorFrom({ name, dataType: DataType.INT64, dims: [sizes.length], data: sizes }));
    }
    return { ...node, inputs: [node.inputs[0]!, name] };
  });
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const pruned = inferShapes({
    ...source,
    graph: {
      ...source.graph,
      nodes,
      initializers: initializers.filter(({ name }) => read.has(name)),
      valueInfo: [],
    },
  }).model;
  const before = inferShapes(source).model;
  return {
    model: pruned,
    report: {
      groups,
      parametersBefore: elements(before),
      parametersAfter: elements(pruned),
      macsBefore: countMacs(before).total,
      macsAfter: countMacs(pruned).total,
    },
  };
}
