import type { LiteGraph, LiteOp, LiteTensor } from "../graph.js";

/** Operators that keep values as they are: their quantised inputs and outputs have one scale and zero point. */
export const SAME_SCALE_OPS: ReadonlySet<string> = new Set([
  "AVERAGE_POOL_2D",
  "CONCATENATION",
  "GATHER",
  "MAXIMUM",
  "MAX_POOL_2D",
  "MINIMUM",
  "PAD",
  "RESHAPE",
  "RESIZE_NEAREST_NEIGHBOR",
  "SLICE",
  "SPLIT",
  "STRIDED_SLICE",
  "TRANSPOSE",
]);

/**
 * How the inputs of a concatenation get its scale. `requant`: each input is converted. `widen`: each producer takes the union of the ranges.
 * `auto`: widen where nothing else reads the input with its tighter range, requant elsewhere.
 */
export type ConcatRule = "auto" | "requant" | "widen";

/** Sets of tensors that share parameters, with the inputs of concatenations that must be converted instead. */
export interface ScaleGroups {
  /** Representative of a tensor's set. */
  find(tensor: LiteTensor): LiteTensor;
  /** True where this operand of this concatenation gets a converted copy. */
  needsRequant(concat: LiteOp, operand: number): boolean;
}

/** Activations among the operands. */
function activations({ inputs }: LiteOp): LiteTensor[] {
  return inputs.filter((tensor): tensor is LiteTensor => tensor !== null && tensor.data === undefined);
}

/**
 * Finds which tensors share scale and zero point.
 *
 * @param ops - operators that will be quantised
 * @param isFixed - tensors whose parameters an operator dictates (LOGISTIC, SOFTMAX): they are never widened
 * @param rangeOf - calibrated range of a tensor, where there is one; equal ranges need no conversion
 */
export function scaleGroups({
  graph,
  ops,
  isFixed,
  rangeOf,
  concat: rule = "auto",
}: {
  graph: LiteGraph;
  ops: readonly LiteOp[];
  isFixed: (tensor: LiteTensor) => boolean;
  rangeOf: (tensor: LiteTensor) => readonly [number, number] | undefined;
  concat?: ConcatRule;
}): ScaleGroups {
  const quantized = new Set(ops);
  const parents = new Map<LiteTensor, LiteTensor>();
  const find = (tensor: LiteTensor): LiteTensor => {
    let root = tensor;
    for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root)) root = parent;
    return root;
  };
  const join = (a: LiteTensor, b: LiteTensor): void => {
    const [x, y] = [find(a), find(b)];
    if (x !== y) parents.set(x, y);
  };
  for (const op of ops) {
    if (!SAME_SCALE_OPS.has(op.op) || op.op === "CONCATENATION") continue;
    for (const tensor of [...activations(op), ...op.outputs.slice(1)]) join(tensor, op.outputs[0]!);
  }

  /** Readers of each set before concatenations join sets: those for which a tighter range is worth something. */
  const readers = new Map<LiteTensor, Set<LiteOp>>();
  const fixed = new Set<LiteTensor>();
  const ranges = new Map<LiteTensor, [number, number]>();
  for (const op of graph.ops) {
    for (const tensor of activations(op)) {
      if (SAME_SCALE_OPS.has(op.op) && op.op !== "CONCATENATION" && quantized.has(op)) continue;
      const set = readers.get(find(tensor)) ?? new Set();
      readers.set(find(tensor), set.add(op));
    }
    for (const tensor of op.outputs) if (isFixed(tensor)) fixed.add(find(tensor));
  }
  const seen = new Set([...graph.inputs, ...graph.ops.flatMap((op) => op.outputs)]);
  for (const tensor of seen) {
    const range = rangeOf(tensor);
    if (range === undefined) continue;
    const known = ranges.get(find(tensor));
    ranges.set(
      find(tensor),
      known ? [Math.min(known[0], range[0]), Math.max(known[1], range[1])] : [range[0], range[1]],
    );
  }

  const converted = new Map<LiteOp, Set<number>>();
  for (const op of ops) {
    if (op.op !== "CONCATENATION") continue;
    const roots = op.inputs.map((tensor) => (tensor === null || tensor.data !== undefined ? null : find(tensor)));
    const bounds = roots.map((root) => (root === null ? undefined : ranges.get(root)));
    const low = Math.min(...bounds.map((range) => range?.[0] ?? 0));
    const high = Math.max(...bounds.map((range) => range?.[1] ?? 0));
    const set = new Set<number>();
    for (const [i, root] of roots.entries()) {
      if (root === null) continue;
      const isOwn = [...(readers.get(root) ?? [])].every((reader) => reader === op);
      const isUnion = bounds[i] !== undefined && bounds[i][0] === low && bounds[i][1] === high;
      const widens = rule === "widen" || (rule === "auto" && (isOwn || isUnion));
      if (!widens || fixed.has(root)) set.add(i);
    }
    converted.set(op, set);
    // Sets of other readers than this one stay as they are: joining comes last.
    for (const [i, tensor] of op.inputs.entries()) {
      if (tensor !== null && tensor.data === undefined && !set.has(i)) join(tensor, op.outputs[0]!);
    }
  }
  return { find, needsRequant: (concat, operand) => converted.get(concat)?.has(operand) ?? false };
}
