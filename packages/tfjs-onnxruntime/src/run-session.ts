import { EngineError } from "./errors.js";
import { type HostData, type RecordedNode, sizeOf, type Value } from "./graph.js";
import { runError } from "./run-error.js";
import { loadRuntime, type ortTensor, type RunResult, runtimeVersion } from "./runtime.js";
import type { Session } from "./session.js";
import { engineState } from "./state.js";

/** @throws {@link EngineError} `ENGINE_NO_SYNC` */
export function assertSync(): void {
  if (loadRuntime().sync) return;
  throw new EngineError({
    code: "ENGINE_NO_SYNC",
    message: `onnxruntime-node ${runtimeVersion()} runs asynchronously only: values cannot be read with dataSync().`,
    hint: "Use await tensor.data(), or install onnxruntime-node@1.30.0.",
  });
}

/**
 * Runs a session for all of its outputs; a promise where the runtime is asynchronous.
 * @param given - tensors that outputs are written into, by name; the others are made by the runtime
 * @throws {@link EngineError} `ENGINE_RUN`
 */
export function runSession(
  {
    session,
    outputs,
    given,
  }: {
    readonly session: Session;
    readonly outputs: readonly string[];
    readonly given?: ReadonlyMap<string, ReturnType<typeof ortTensor>>;
  },
  feeds: Record<string, ReturnType<typeof ortTensor>>,
  nodes: readonly RecordedNode[],
): RunResult {
  const fetches: Record<string, ReturnType<typeof ortTensor> | null> = {};
  for (const name of outputs) fetches[name] = given?.get(name) ?? null;
  const { profiler, statistics } = engineState;
  if (profiler !== null) profiler.kernels = nodes;
  const begin = performance.now();
  let results: RunResult;
  try {
    results = session.run(feeds, fetches, {});
  } catch (cause) {
    throw runError(cause, nodes);
  }
  statistics.runMs += performance.now() - begin;
  statistics.runs++;
  return results;
}

/**
 * Data that a run gave for a value.
 * @throws {@link EngineError} `ENGINE_SHAPE` if it has another number of elements than was inferred
 */
export function resultData(data: HostData, { node, shape }: Value): HostData {
  if (data.length === sizeOf(shape)) return data;
  throw new EngineError({
    code: "ENGINE_SHAPE",
    op: node?.op ?? null,
    source: node?.source ?? null,
    message: `${node?.op} yielded ${data.length} elements, inferred [${shape.join()}].`,
  });
}
