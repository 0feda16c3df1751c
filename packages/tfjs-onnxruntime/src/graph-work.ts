import { type RecordedNode, sizeOf, type Value } from "./graph.js";

/** Kernels whose work is that of a product: each element of the result is a sum over many of the operands. */
const PRODUCT = /Conv|MatMul|Einsum/;

/**
 * Rough number of operations of a graph. An elementwise kernel, a reduction or a copy takes the elements of its largest operand or result; a
 * product of a [M, K] by b [K, N] takes M K N = sqrt(|a| |b| |result|), which for a convolution is low by the side of its filter.
 */
export function graphWork(nodes: readonly RecordedNode[]): number {
  let work = 0;
  for (const { op, inputs, outputs } of nodes) {
    const size = (value: Value | undefined) => (value === undefined ? 1 : sizeOf(value.shape));
    work += PRODUCT.test(op)
      ? Math.sqrt(size(inputs[0]) * size(inputs[1]) * size(outputs[0]))
      : Math.max(0, ...inputs.map(size), ...outputs.map(size));
  }
  return work;
}
