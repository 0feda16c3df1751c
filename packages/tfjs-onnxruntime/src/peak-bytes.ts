import { type RecordedNode, sizeOf, type Value } from "./graph.js";

/**
 * Largest number of bytes alive at once when nodes run in order and values die after their last reader: about what the
 * session's arena grows to, and never gives back.
 */
export function peakBytes(nodes: readonly RecordedNode[], roots: readonly Value[]): number {
  const size = (value: Value) => sizeOf(value.shape) * (value.dtype === "bool" ? 1 : 4);
  const lastReader = new Map<Value, number>();
  nodes.forEach((node, n) => {
    for (const input of node.inputs) if (input.node !== null) lastReader.set(input, n);
  });
  for (const root of roots) lastReader.delete(root);
  const dying = new Map<number, number>();
  for (const [value, n] of lastReader) dying.set(n, (dying.get(n) ?? 0) + size(value));
  let alive = 0;
  let peak = 0;
  nodes.forEach((node, n) => {
    for (const output of node.outputs) alive += size(output);
    peak = Math.max(peak, alive);
    alive -= dying.get(n) ?? 0;
  });
  return peak;
}
