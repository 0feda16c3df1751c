import type { Model } from "@seg/onnx";
import { type HostData, type RecordedNode, storageType, type Value } from "./graph.js";
import { graphWork } from "./graph-work.js";
import { assertWithinLimits } from "./limits.js";
import { LowerContext, makeModel, onnxType } from "./lower/context.js";
import { peakBytes } from "./peak-bytes.js";
import { contribOperators } from "./providers.js";
import { compileError } from "./run-error.js";
import { createSession, type Session } from "./session.js";
import { makeRoom } from "./session-cache.js";
import { engineConfig } from "./settings.js";
import { engineState } from "./state.js";

/** Operations below which a graph runs on one thread: it takes less than a millisecond (measured: a second thread saves nothing). */
const SMALL_GRAPH = 1e6;

/** A recorded graph as ONNX. */
export interface LoweredGraph {
  readonly model: Model;
  /** Values that are fed, with the names of their graph inputs. */
  readonly feeds: readonly { readonly name: string; readonly value: Value }[];
  /** Names of the graph outputs, in the order of the roots. */
  readonly outputs: readonly string[];
}

/**
 * Lowers recorded nodes.
 * @param nodes - in topological order, all that `roots` depend on
 * @param constantOf - data of a value without producer that becomes an initializer; null: it is fed
 * @param contrib - operators of `com.microsoft` allowed @defaultValue as configured and implemented by the providers
 */
export function lowerGraph({
  nodes,
  roots,
  constantOf = () => null,
  contrib = contribOperators(),
}: {
  nodes: readonly RecordedNode[];
  roots: readonly Value[];
  constantOf?: (value: Value) => HostData | null;
  contrib?: ReadonlySet<string>;
}): LoweredGraph {
  let constants = 0;
  const context: LowerContext = new LowerContext({
    contrib,
    named: true,
    bind: (value) => {
      const host = constantOf(value);
      return host === null ? null : context.weight(`k${constants++}`, { ...value, host });
    },
  });
  context.lower(nodes);
  const names = roots.map((root) => context.plain(root));
  const taken = new Set([...context.feeds.map((f) => f.name), ...context.initializers.map((t) => t.name)]);
  const outputs = names.map((name) => {
    // An output must be produced by a node, once.
    const fresh = taken.has(name) ? context.emit("Identity", [name]) : name;
    taken.add(fresh);
    return fresh;
  });
  const describe = (name: string, value: Value) => {
    return { name, dataType: onnxType(storageType(value)), shape: [...value.shape] };
  };
  const model = makeModel({
    context,
    name: "recorded",
    inputs: context.feeds.map(({ value, name }) => describe(name, value)),
    outputs: roots.map((root, i) => describe(outputs[i]!, root)),
  });
  return { model, feeds: context.feeds, outputs };
}

/**
 * Lowers recorded nodes, makes room in the cache and loads a session.
 * @param finish - last rewrite of the lowered graph
 * @param lanes - sessions of this graph that run at once; with more than one each has one thread @defaultValue 1
 * @throws {@link EngineError} `ENGINE_COMPILE`, `ENGINE_GRAPH_TOO_LARGE`, `ENGINE_MEMORY`, `ENGINE_UNSUPPORTED`, `ENGINE_PROVIDER`
 */
export function buildSession<Graph extends { readonly model: Model }>(
  graph: {
    nodes: readonly RecordedNode[];
    roots: readonly Value[];
    sources: readonly Value[];
    constantOf?: (value: Value) => HostData | null;
  },
  finish: (lowered: LoweredGraph) => Graph,
  lanes = 1,
): Graph & { readonly session: Session; readonly bytes: number } {
  const start = performance.now();
  const { constantOf = () => null } = graph;
  const constantBytes = graph.sources.reduce((sum, value) => sum + (constantOf(value)?.byteLength ?? 0), 0);
  const bytes = (peakBytes(graph.nodes, graph.roots) + constantBytes) * lanes;
  assertWithinLimits({ nodes: graph.nodes, sources: graph.sources, bytes });
  makeRoom(bytes);
  const lowered = finish(lowerGraph(graph));
  let session: Session;
  try {
    // A pool per session: threads that a small graph never uses cost milliseconds and memory where there are many.
    const threads = lanes > 1 || graphWork(graph.nodes) < SMALL_GRAPH ? 1 : engineConfig().threads;
    session = createSession(lowered.model, threads);
  } catch (cause) {
    throw compileError(cause, graph.nodes);
  }
  engineState.statistics.compileMs += performance.now() - start;
  return { ...lowered, session, bytes };
}
