import { intsAttribute } from "../attributes.js";
import { toAttribute } from "../builder.js";
import { transposeTensor } from "../evaluate.js";
import type { GraphView } from "../graph-view.js";
import type { Model, Node } from "../model.js";
import { elementCount } from "../tensor.js";
import { editGraph, type PassResult } from "./pass.js";

const elementwise = new Set(
  "Relu LeakyRelu Sigmoid HardSigmoid HardSwish Tanh Elu Softplus Softsign Clip Neg Abs Exp Log Sqrt Reciprocal Erf Floor Ceil Sin Cos Not Cast Add Sub Mul Div Pow Max Min Sum Equal Greater Less Where".split(
    " ",
  ),
);

function permutation(node: Node | undefined): number[] | undefined {
  return node?.opType === "Transpose" && node.domain === "" ? intsAttribute(node, "perm") : undefined;
}

/** Axes of two transposes one after the other: out axis i = first[second[i]]. */
function compose(first: readonly number[], second: readonly number[]): number[] {
  return second.map((axis) => first[axis]!);
}

const isInOrder = (perm: readonly number[]): boolean => perm.every((axis, i) => axis === i);

/**
 * Merges consecutive Transposes and removes pairs that undo each other, also around a region of elementwise nodes
 * (T -> SiLU -> T inverse becomes SiLU). Transposes with a `perm` attribute only.
 */
export function cancelTransposes(model: Model): PassResult {
  return editGraph(model, (view) => {
    for (const node of view.walk()) {
      const perm = permutation(node);
      if (!perm) continue;
      if (mergeWithProducer(view, node, perm)) continue;
      cancelRegion(view, node, perm);
    }
  });
}

function mergeWithProducer(view: GraphView, node: Node, perm: readonly number[]): boolean {
  const before = view.producer(node.inputs[0]!);
  const first = permutation(before);
  if (!before || !first || first.length !== perm.length) return false;
  const source = before.inputs[0]!;
  const both = compose(first, perm);
  if (isInOrder(both) && view.bypass(node, source)) return true;
  view.replace(node, { ...node, inputs: [source], attributes: [toAttribute("perm", both)] });
  return true;
}

/** Elementwise nodes between `last` and Transposes that it undoes; null if the region does not close. */
function cancelRegion(view: GraphView, last: Node, perm: readonly number[]): boolean {
  const region = new Set<Node>();
  const sources = new Map<string, string>(); // output of an inner Transpose -> its input
  const constants = new Set<string>();
  const pending = [last.inputs[0]!];
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (sources.has(name) || constants.has(name)) continue;
    if (view.constant(name)) {
      constants.add(name);
      continue;
    }
    const node = view.producer(name);
    if (!node) return false;
    if (region.has(node)) continue;
    const first = permutation(node);
    if (first) {
      if (first.length !== perm.length || !isInOrder(compose(first, perm))) return false;
      sources.set(name, node.inputs[0]!);
      continue;
    }
    if (node.domain !== "" || !elementwise.has(node.opType) || node.outputs.length !== 1 || view.isOutput(name))
      return false;
    region.add(node);
    for (const input of node.inputs) if (input !== "") pending.push(input);
  }
  if (region.size === 0 || sources.size === 0) return false;
  const trailing = new Set<Node>();
  for (const node of region)
    for (const user of view.consumers(node.outputs[0]!)) {
      if (region.has(user)) continue;
      const other = permutation(user);
      if (!other || other.length !== perm.length || other.some((axis, i) => axis !== perm[i])) return false;
      // Without a name of its own to give away, a graph output must keep its Transpose.
      trailing.add(user);
    }
  for (const node of trailing) {
    const siblings = [...trailing].filter((t) => t.inputs[0] === node.inputs[0]);
    if (siblings.length > 1 && siblings.some((t) => view.isOutput(t.outputs[0]!))) return false;
  }
  // Constants of a lower rank broadcast from the right, so their axes move: pad them to full rank first.
  const moved = new Map<string, string>();
  const additions = [];
  for (const name of constants) {
    const tensor = view.constant(name)!;
    if (elementCount(tensor.dims) === 1) continue;
    if (tensor.dims.length > perm.length || !tensor.rawData) return false;
    const dims = [...new Array<number>(perm.length - tensor.dims.length).fill(1), ...tensor.dims];
    const turned = transposeTensor({ ...tensor, dims }, perm);
    if (!turned) return false;
    additions.push({ name, turned });
  }
  for (const { name, turned } of additions) {
    const fresh = view.freshName(`${name}_transposed`);
    moved.set(name, fresh);
    view.setInitializer({ ...turned, name: fresh });
  }
  for (const node of region) {
    const inputs = node.inputs.map((input) => sources.get(input) ?? moved.get(input) ?? input);
    view.replace(node, { ...node, inputs });
    view.forgetShape(node.outputs[0]!);
  }
  for (const node of view.nodes()) if (trailing.has(node)) view.bypass(node, node.inputs[0]!);
  return true;
}
