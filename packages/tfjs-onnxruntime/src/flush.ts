import { buildSession } from "./build-session.js";
import { EngineError } from "./errors.js";
import { type HostData, type RecordedNode, storageType, type Value } from "./graph.js";
import { Promotion } from "./promotion.js";
import { runError } from "./run-error.js";
import { assertSync, resultData, runSession } from "./run-session.js";
import { isPromise, ortTensor, type RunResult } from "./runtime.js";
import { dropSession, touch } from "./session-cache.js";
import { type CachedGraph, type EngineState, engineState } from "./state.js";
import { describeGraph, type GraphStructure } from "./structure.js";

const { cache, order, statistics } = engineState;

export function cacheStatistics(): Readonly<EngineState["statistics"]> & { readonly sessions: number } {
  return { ...statistics, sessions: order.size };
}

/** A compiled graph with the values that it is about to read and to compute. */
interface Job {
  readonly compiled: CachedGraph;
  readonly nodes: readonly RecordedNode[];
  readonly roots: readonly Value[];
  readonly sources: readonly Value[];
}

/** Runs the graph that `values` (all pending) depend on and puts the results on the host. Values stay pending on failure. */
export function flushValues(values: readonly Value[]): void {
  const roots = values.filter((v) => v.node !== null);
  if (roots.length === 0) return;
  assertSync();
  const job = prepare(roots);
  store(job, start(job));
}

/** {@link flushValues} for a runtime that returns promises; one that returns at once is used as it is. */
export async function flushValuesLater(values: readonly Value[]): Promise<void> {
  const roots = values.filter((v) => v.node !== null);
  if (roots.length === 0) return;
  const job = prepare(roots);
  const results: unknown = start(job);
  if (!isPromise(results)) return store(job, results as RunResult);
  try {
    store(job, (await results) as RunResult);
  } catch (cause) {
    throw runError(cause, job.nodes);
  }
}

function prepare(roots: readonly Value[]): Job {
  const { nodes, sources, structure } = describeGraph(roots);
  let compiled = cache.get(structure.hash)?.find((c) => c.structure.equals(structure));
  const promotion = compiled?.promotion ?? new Promotion();
  const again = promotion.next(sources.length, (i) => sources[i]!.host);
  if (compiled && !again) {
    statistics.hits++;
  } else {
    statistics.misses++;
    if (compiled) dropSession(compiled);
    compiled = compile({ structure, promotion, nodes, roots, sources });
  }
  touch(compiled);
  return { compiled, nodes, roots, sources };
}

function compile({
  structure,
  promotion,
  nodes,
  roots,
  sources,
}: Omit<Job, "compiled"> & { structure: GraphStructure; promotion: Promotion }): CachedGraph {
  const key = structure.hash;
  const position = new Map(sources.map((value, i) => [value, i]));
  const { constants } = promotion;
  const constantOf = (value: Value) => (constants.has(position.get(value)!) ? value.host : null);
  const { session, bytes, feeds, outputs } = buildSession({ nodes, roots, sources, constantOf }, (lowered) => lowered);
  const compiled: CachedGraph = {
    session,
    bytes,
    structure,
    promotion,
    feeds: feeds.map(({ value, name }) => ({ name, source: position.get(value)! })),
    outputs,
    forget() {
      const rest = (cache.get(key) ?? []).filter((c) => c !== compiled);
      if (rest.length === 0) cache.delete(key);
      else cache.set(key, rest);
    },
  };
  cache.set(key, [...(cache.get(key) ?? []), compiled]);
  return compiled;
}

/** Binds the inputs and starts the run. */
function start({ compiled, nodes, sources }: Job): RunResult {
  const feeds: Record<string, ReturnType<typeof ortTensor>> = {};
  for (const { name, source } of compiled.feeds) {
    const value = sources[source]!;
    if (value.host === null) {
      throw new EngineError({
        code: "TRACE_DATA_DEPENDENT",
        message: `Graph input "${value.placeholder ?? "?"}" of a trace has no value.`,
      });
    }
    feeds[name] = ortTensor(storageType(value), value.host, value.shape);
  }
  return runSession(compiled, feeds, nodes);
}

function store({ compiled, roots }: Job, results: RunResult): void {
  for (let i = 0; i < roots.length; i++) {
    const root = roots[i]!;
    root.host = resultData(results[compiled.outputs[i]!]!.data as HostData, root);
    root.node = null;
  }
}
