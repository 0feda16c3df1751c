import { EngineError, type EngineErrorCode } from "./errors.js";
import type { RecordedNode } from "./graph.js";

/** The kernel that a message of the runtime speaks of: ONNX nodes are named after the position of their kernel. */
function culprit(message: string, nodes: readonly RecordedNode[]): RecordedNode | null {
  const position = /\bk(\d+)_\d+/.exec(message)?.[1];
  return position === undefined ? null : (nodes[Number(position)] ?? null);
}

function describe(cause: unknown, nodes: readonly RecordedNode[], code: EngineErrorCode, what: string): EngineError {
  const message = (cause as Error).message ?? String(cause);
  const node = culprit(message, nodes);
  const shapes = node?.inputs.map((value) => value.shape) ?? [];
  const at = node === null ? "" : ` in ${node.op}(${shapes.map((s) => `[${s.join()}]`).join(", ")})`;
  return new EngineError({
    code,
    op: node?.op ?? null,
    shapes,
    dtypes: node?.inputs.map((value) => value.dtype) ?? [],
    source: node?.source ?? null,
    message: `${what} of ${nodes.length} kernels failed${at}: ${message.trim()}`,
    hint: node?.source === null ? "configure({ source: true }) adds the line that recorded the kernel." : null,
    cause,
  });
}

/** A graph that the runtime did not load. Typed errors pass through. */
export function compileError(cause: unknown, nodes: readonly RecordedNode[]): EngineError {
  if (cause instanceof EngineError) return cause;
  return describe(cause, nodes, "ENGINE_COMPILE", "Loading a graph");
}

/** A run that failed: inputs are unchanged and pending values stay pending. Typed errors pass through. */
export function runError(cause: unknown, nodes: readonly RecordedNode[]): EngineError {
  if (cause instanceof EngineError) return cause;
  const message = (cause as Error).message ?? "";
  if (message.includes("Session already disposed")) {
    return new EngineError({
      code: "ENGINE_DISPOSED",
      message: "The session of this graph was disposed (clearCache() or configure()) while it was in use.",
      cause,
    });
  }
  const memory = /bad_alloc|Failed to allocate memory|out of memory/i.test(message);
  return describe(cause, nodes, memory ? "ENGINE_MEMORY" : "ENGINE_RUN", "Running a graph");
}
