import { EngineError } from "./errors.js";
import { type RecordedNode, sizeOf, type Value } from "./graph.js";
import { engineConfig } from "./settings.js";

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/**
 * Refuses a graph before it is compiled.
 * @param bytes - estimated peak of intermediates and outputs
 * @throws {@link EngineError} `ENGINE_GRAPH_TOO_LARGE` above `maxGraphNodes`, `ENGINE_MEMORY` above `memoryLimit`
 */
export function assertWithinLimits({
  nodes,
  sources,
  bytes,
}: {
  nodes: readonly RecordedNode[];
  sources: readonly Value[];
  bytes: number;
}): void {
  const { maxGraphNodes, memoryLimit } = engineConfig();
  if (nodes.length > maxGraphNodes) {
    throw new EngineError({
      code: "ENGINE_GRAPH_TOO_LARGE",
      message: `${nodes.length} kernels were recorded before a value was read; one graph holds at most ${maxGraphNodes}.`,
      hint: "Call flush() or read a value in between.",
    });
  }
  if (memoryLimit === Number.POSITIVE_INFINITY) return;
  const total = sources.reduce((sum, { host }) => sum + (host?.byteLength ?? 0), bytes);
  if (total <= memoryLimit) return;
  const largest = nodes.reduce((best, node) => (nodeBytes(node) > nodeBytes(best) ? node : best), nodes[0]!);
  throw new EngineError({
    code: "ENGINE_MEMORY",
    op: largest.op,
    shapes: largest.outputs.map((value) => value.shape),
    dtypes: largest.outputs.map((value) => value.dtype),
    source: largest.source,
    message:
      `A graph of ${nodes.length} kernels needs about ${megabytes(total)}, memoryLimit is ${megabytes(memoryLimit)}; ` +
      `its largest result is ${largest.op} [${largest.outputs[0]!.shape.join()}].`,
    hint: "Use a smaller batch, dispose tensors (tf.tidy), or raise memoryLimit.",
  });
}

const nodeBytes = (node: RecordedNode): number =>
  node.outputs.reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * (dtype === "bool" ? 1 : 4), 0);
