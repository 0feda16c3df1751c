import { engineConfig } from "./config.js";
import { EngineError } from "./errors.js";
import { collect, type HostData, type RecordedNode, sizeOf, type Value } from "./graph.js";
import { assertWithinLimits } from "./limits.js";
import { LowerContext, makeModel, onnxType } from "./lower/context.js";
import { contribSupported } from "./providers.js";
import { compileError, runError } from "./run-error.js";
import { isPromise, loadRuntime, ortTensor, type RunResult, runtimeVersion } from "./runtime.js";
import { createSession, type Session } from "./session.js";
import { type Compiled, type EngineState, engineState } from "./state.js";

const { cache, order, statistics } = engineState;

export function cacheStatistics(): Readonly<EngineState["statistics"]> & { readonly sessions: number } {
  return { ...statistics, sessions: order.size };
}

/** int32 description of the graph: per node its key and, per input, where it comes from; then feeds; then the outputs. */
function describe(
  nodes: readonly RecordedNode[],
  roots: readonly Value[],
): { structure: Int32Array; sources: Value[] } {
  const nodeIndex = new Map<RecordedNode, number>();
  const sourceIndex = new Map<Value, number>();
  const sources: Value[] = [];
  const words: number[] = [];
  const dtypeCode: Record<string, number> = { float32: 1, int32: 2, bool: 3 };
  for (let n = 0; n < nodes.length; n++) {
    const node = nodes[n]!;
    nodeIndex.set(node, n);
    words.push(node.key, node.inputs.length);
    for (const input of node.inputs) {
      if (input.node !== null) {
        words.push(nodeIndex.get(input.node)!, input.index);
        continue;
      }
      let at = sourceIndex.get(input);
      if (at === undefined) {
        at = sources.length;
        sourceIndex.set(input, at);
        sources.push(input);
        words.push(-1, at, dtypeCode[input.dtype] ?? 0, input.shape.length, ...input.shape);
      } else {
        words.push(-2, at);
      }
    }
  }
  words.push(-3);
  for (const root of roots) words.push(nodeIndex.get(root.node!)!, root.index);
  return { structure: Int32Array.from(words), sources };
}

function hash(structure: Int32Array): number {
  let h = 0x811c9dc5;
  let g = 0x9e3779b9;
  for (let i = 0; i < structure.length; i++) {
    h = Math.imul(h ^ structure[i]!, 0x01000193);
    g = Math.imul(g + structure[i]!, 0x85ebca6b) ^ (g >>> 15);
  }
  // 52 bits in one exact double
  return (h >>> 0) * 0x100000 + ((g >>> 0) & 0xfffff);
}

function equal(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A compiled graph with the values that it is about to read and to compute. */
interface Job {
  readonly compiled: Compiled;
  readonly nodes: readonly RecordedNode[];
  readonly roots: readonly Value[];
  readonly sources: readonly Value[];
}

/** Runs the graph that `values` (all pending) depend on and puts the results on the host. Values stay pending on failure. */
export function flushValues(values: readonly Value[]): void {
  const roots = values.filter((v) => v.node !== null);
  if (roots.length === 0) return;
  if (!loadRuntime().sync) {
    throw new EngineError({
      code: "ENGINE_NO_SYNC",
      message: `onnxruntime-node ${runtimeVersion()} runs asynchronously only: values cannot be read with dataSync().`,
      hint: "Use await tensor.data(), or install onnxruntime-node@1.30.0.",
    });
  }
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
  const nodes = collect(roots);
  const { structure, sources } = describe(nodes, roots);
  const key = hash(structure);
  let compiled = cache.get(key)?.find((c) => equal(c.structure, structure));
  if (compiled) {
    statistics.hits++;
    order.delete(compiled);
  } else {
    statistics.misses++;
    const bytes = peakBytes(nodes, roots);
    assertWithinLimits({ nodes, sources, bytes });
    evict(bytes);
    compiled = { ...compile(nodes, roots, sources), structure, bytes };
    const list = cache.get(key);
    if (list) list.push(compiled);
    else cache.set(key, [compiled]);
  }
  order.add(compiled);
  return { compiled, nodes, roots, sources };
}

/**
 * Largest number of bytes alive at once when nodes run in order and values die after their last reader: about what the
 * session's arena grows to, and never gives back.
 */
function peakBytes(nodes: readonly RecordedNode[], roots: readonly Value[]): number {
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

/** Drops least recently used sessions until another one of `incoming` bytes fits the limits. */
function evict(incoming: number): void {
  let total = incoming;
  for (const compiled of order) total += compiled.bytes;
  const { cacheSize, cacheBytes } = engineConfig();
  while (order.size > 0 && (order.size >= cacheSize || total > cacheBytes)) {
    const oldest = order.values().next().value as Compiled;
    order.delete(oldest);
    total -= oldest.bytes;
    oldest.session.dispose();
    for (const [key, list] of cache) {
      const rest = list.filter((c) => c !== oldest);
      if (rest.length === list.length) continue;
      if (rest.length === 0) cache.delete(key);
      else cache.set(key, rest);
      break;
    }
  }
}

function compile(
  nodes: readonly RecordedNode[],
  roots: readonly Value[],
  sources: readonly Value[],
): Pick<Compiled, "session" | "feeds" | "outputs"> {
  const start = performance.now();
  const context = new LowerContext({ contrib: engineConfig().contrib && contribSupported(), named: true });
  context.lower(nodes);
  const names = roots.map((root) => context.plain(root));
  const inputNames = new Set(context.feeds.map((f) => f.name));
  const used = new Set<string>();
  const outputs = names.map((name) => {
    // An output must be produced by a node, once.
    const fresh = used.has(name) || inputNames.has(name) ? context.emit("Identity", [name]) : name;
    used.add(fresh);
    return fresh;
  });
  const model = makeModel({
    context,
    name: "recorded",
    inputs: context.feeds.map(({ value, name }) => ({
      name,
      dataType: onnxType(value.dtype),
      shape: [...value.shape],
    })),
    outputs: roots.map((root, i) => ({ name: outputs[i]!, dataType: onnxType(root.dtype), shape: [...root.shape] })),
  });
  let session: Session;
  try {
    session = createSession(model);
  } catch (cause) {
    throw compileError(cause, nodes);
  }
  const sourceIndex = new Map(sources.map((value, i) => [value, i]));
  const feeds = context.feeds.map(({ value, name }) => ({ name, source: sourceIndex.get(value)! }));
  statistics.compileMs += performance.now() - start;
  return { session, feeds, outputs };
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
    feeds[name] = ortTensor(value.dtype, value.host, value.shape);
  }
  const fetches: Record<string, null> = {};
  for (const name of compiled.outputs) fetches[name] = null;
  if (engineState.profiler !== null) engineState.profiler.kernels = nodes;
  const begin = performance.now();
  let results: RunResult;
  try {
    results = compiled.session.run(feeds, fetches, {});
  } catch (cause) {
    throw runError(cause, nodes);
  }
  statistics.runMs += performance.now() - begin;
  statistics.runs++;
  return results;
}

function store({ compiled, roots }: Job, results: RunResult): void {
  for (let i = 0; i < roots.length; i++) {
    const root = roots[i]!;
    const data = results[compiled.outputs[i]!]!.data as HostData;
    if (data.length !== sizeOf(root.shape)) {
      throw new EngineError({
        code: "ENGINE_SHAPE",
        op: root.node?.op ?? null,
        source: root.node?.source ?? null,
        message: `${root.node?.op} yielded ${data.length} elements, inferred [${root.shape.join()}].`,
      });
    }
    root.host = data;
    root.node = null;
  }
}
