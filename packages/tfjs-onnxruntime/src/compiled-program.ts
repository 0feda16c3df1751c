import type { Model } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "./backend.js";
import { buildSession, lowerGraph } from "./build-session.js";
import { engineConfig } from "./config.js";
import { EngineError } from "./errors.js";
import { freeBuffers } from "./free-buffers.js";
import { collect, type HostData, hostValue, type RecordedNode, sizeOf, storageType, type Value } from "./graph.js";
import { assertLanes, LaneSession } from "./lane.js";
import { type PackedGraph, packState } from "./pack-state.js";
import { Promotion } from "./promotion.js";
import { currentProviders, providerName } from "./providers.js";
import { hostOf, type Recording, wideHostOf } from "./record-call.js";
import { runError } from "./run-error.js";
import { assertSync, resultData, runSession } from "./run-session.js";
import { ortTensor } from "./runtime.js";
import { dropSession, touch } from "./session-cache.js";
import type { Compiled } from "./state.js";
import { mapTensors } from "./tensor-tree.js";

/** How to find the data of a value in a later call. */
type Binding =
  | { readonly kind: "argument"; readonly index: number }
  | { readonly kind: "variable"; readonly variable: tf.Variable }
  | { readonly kind: "capture"; readonly value: Value; readonly dataId: object }
  | { readonly kind: "constant"; readonly value: Value }
  | Generated;

interface Generated {
  readonly kind: "generated";
  readonly inputs: readonly Binding[];
  readonly run: (inputs: readonly HostData[]) => HostData;
}

/** What a call gives: a value of the run, or data that the graph does not touch. */
type Output = { readonly kind: "computed"; readonly index: number } | Binding;

/** A graph input that is bound by itself. */
interface Feed {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly binding: Binding;
}

interface Loaded extends Compiled {
  readonly graph: PackedGraph;
  readonly feeds: readonly Feed[];
  /** Pieces of `vector`; offsets are elements. */
  readonly parts: readonly { readonly binding: Binding; readonly offset: number }[];
  /** Names of everything that is fetched. */
  readonly outputs: readonly string[];
  /** Filled with the small inputs before each run: the runtime reads it during the run only. */
  readonly vector: Float32Array;
  /** What outputs are written into, by name. */
  readonly given: ReadonlyMap<string, ReturnType<typeof ortTensor>>;
  /** For all argument lists but the first. */
  readonly lanes: readonly LaneSession[];
}

/** Gives the array that the output at `position` of a call's result is written into. */
export type AllocateOutput = (length: number, position: number) => Float32Array;

/** Elements from which an output is worth an array that is used again: below, the runtime's own costs less than binding one. */
const LARGE_OUTPUT = 4096;

/** Finds the data of a binding in one call. */
type HostOf = (binding: Binding) => HostData;

/** A recorded call that can be repeated with other data. */
export class CompiledProgram<Result> {
  readonly #name: string;
  readonly #recording: Recording<Result>;
  readonly #nodes: readonly RecordedNode[];
  readonly #outputs: readonly Output[];
  readonly #assigned: readonly { readonly variable: tf.Variable; readonly output: Output }[];
  readonly #bindings = new Map<Value, Binding>();
  readonly #sources: readonly Value[];
  /** Frozen variables and captures that the session has as constants, by position in `#sources`. */
  readonly #promotion = new Promotion();
  /** Argument lists of a run, one session each. */
  readonly #lanes: number;
  readonly #allocate: AllocateOutput | null;
  #loaded: Loaded | null = null;

  constructor(
    recording: Recording<Result>,
    { name, lanes, allocate }: { name: string; lanes: number; allocate: AllocateOutput | null },
  ) {
    this.#name = name;
    this.#lanes = lanes;
    this.#allocate = allocate;
    this.#recording = recording;
    this.#nodes = collect(recording.roots);
    const sources = new Set<Value>();
    for (const node of this.#nodes) for (const input of node.inputs) if (input.node === null) sources.add(input);
    this.#sources = [...sources];
    const position = new Map(recording.roots.map((value, i) => [value, i]));
    const output = (value: Value): Output => {
      const index = position.get(value);
      return index === undefined ? this.#bind(value) : { kind: "computed", index };
    };
    this.#outputs = recording.outputs.map(({ value }) => output(value));
    this.#assigned = recording.assigned.map(({ variable, value }) => ({ variable, output: output(value) }));
  }

  /**
   * Runs the graph on each list of arguments' tensors and the current variables, all at once. Assigned variables get what the list gave,
   * of several lists the mean (integers: what the first gave).
   * @param lists - as many as there are lanes
   */
  run(backend: OnnxRuntimeBackend, lists: readonly (readonly tf.Tensor[])[]): Result[] {
    // First: what is pending may need sessions of its own and push this one out of the cache.
    backend.flush();
    assertSync();
    const hosts = lists.map((args): HostOf => {
      // Numbers are drawn once for every list; all else is where it is.
      const drawn = new Map<Binding, HostData>();
      const hostOfBinding: HostOf = (binding) => {
        if (binding.kind !== "generated") return this.#data(backend, binding, args);
        const host = drawn.get(binding) ?? binding.run(binding.inputs.map(hostOfBinding));
        drawn.set(binding, host);
        return host;
      };
      return hostOfBinding;
    });
    const computed = this.#recording.roots.length === 0 ? lists.map(() => []) : this.#compute(hosts);
    const dataOf = (output: Output, list: number) =>
      output.kind === "computed" ? computed[list]![output.index]! : hosts[list]!(output);
    const { result, effects } = this.#recording;
    const tensor = (host: HostData, shape: readonly number[], dtype: tf.DataType) =>
      tf.engine().makeTensorFromTensorInfo({
        dataId: backend.register(hostValue(host, shape, dtype)),
        shape: [...shape],
        dtype,
      });
    // All data is taken before the first assignment: an output may be the old value of a variable.
    const values = lists.map((_, list) => this.#outputs.map((output) => dataOf(output, list)));
    const news = this.#assigned.map(({ output }) => mean(lists.map((_, list) => dataOf(output, list))));
    this.#assigned.forEach(({ variable }, i) => {
      if (backend.overwrite(variable.dataId, news[i]!, variable.shape, variable.dtype)) return;
      const next = tensor(news[i]!, variable.shape, variable.dtype);
      variable.assign(next);
      next.dispose();
    });
    const given = values.map((list) => {
      let next = 0;
      return mapTensors(result, ({ shape, dtype }) => tensor(list[next++]!, shape, dtype));
    });
    for (const callback of effects) callback();
    return given;
  }

  /** Whether a variable or captured tensor is stored in another element type than when this was recorded. */
  isStale(backend: OnnxRuntimeBackend): boolean {
    return this.#sources.some((source) => {
      const binding = this.#bind(source);
      if (binding.kind === "variable" && !binding.variable.isDisposed)
        return backend.stored(binding.variable.dataId).storedAs !== source.storedAs;
      if (binding.kind === "capture" && backend.refCount(binding.dataId) > 0)
        return backend.stored(binding.dataId).storedAs !== source.storedAs;
      return false;
    });
  }

  /** Data of the roots, by list of arguments. */
  #compute(hosts: readonly HostOf[]): HostData[][] {
    const loaded = this.#load(hosts[0]!);
    const { graph, outputs, given, vector, lanes } = loaded;
    const { input } = graph;
    const fillVector = (hostOfBinding: HostOf) => {
      for (const { binding, offset } of loaded.parts) vector.set(hostOfBinding(binding), offset);
      return vector;
    };
    const begun: LaneSession[] = [];
    let results: ReadonlyMap<string, HostData>[] = [];
    let failure: unknown = null;
    try {
      lanes.forEach((lane, i) => {
        const hostOfBinding = hosts[i + 1]!;
        const data = loaded.feeds.map(({ binding }) => hostOfBinding(binding));
        lane.begin(input ? [...data, fillVector(hostOfBinding)] : data);
        begun.push(lane);
      });
      const feeds: Record<string, ReturnType<typeof ortTensor>> = {};
      for (const { name, dtype, shape, binding } of loaded.feeds) {
        feeds[name] = ortTensor(dtype, hosts[0]!(binding), shape);
      }
      if (input) feeds[input.name] = ortTensor("float32", fillVector(hosts[0]!), [input.length]);
      const tensors = runSession(loaded, feeds, this.#nodes);
      results = [new Map(outputs.map((name) => [name, (given.get(name) ?? tensors[name]!).data as HostData]))];
      // The runtime's binding copies outputs into arrays of its own even where it was given some.
      if (given.size > 0)
        freeBuffers([...given.keys()].map((name) => (tensors[name]!.data as HostData).buffer as ArrayBuffer));
    } catch (error) {
      failure = error;
    }
    // Whatever failed here: a lane that was begun is waited for, or its next request would overtake this one.
    for (const lane of begun) {
      try {
        results.push(lane.end({ isShared: this.#allocate !== null }));
      } catch (cause) {
        failure ??= runError(cause, this.#nodes);
      }
    }
    if (failure !== null) throw failure;
    return results.map((data) => this.#rootsOf(graph, data));
  }

  /** Puts what a session gave in the order of the roots. */
  #rootsOf({ fetches, output }: PackedGraph, data: ReadonlyMap<string, HostData>): HostData[] {
    const { roots } = this.#recording;
    const computed = new Array<HostData>(roots.length);
    for (const { name, root } of fetches) computed[root] = resultData(data.get(name)!, roots[root]!);
    if (output) {
      const values = data.get(output.name)!;
      for (const { key, offset, length } of output.parts) computed[key] = values.subarray(offset, offset + length);
    }
    return computed;
  }

  /** The graph with standard operators only. */
  toOnnx(): Model {
    const constantOf = (value: Value) => (this.#bind(value).kind === "constant" ? value.host : null);
    return lowerGraph({ nodes: this.#nodes, roots: this.#recording.roots, constantOf, contrib: new Set() }).model;
  }

  dispose(): void {
    if (this.#loaded) dropSession(this.#loaded);
  }

  #load(hostOfBinding: HostOf): Loaded {
    const frozenHost = (position: number): HostData | null => {
      const binding = this.#bind(this.#sources[position]!);
      return binding.kind === "variable" || binding.kind === "capture" ? hostOfBinding(binding) : null;
    };
    const again = this.#promotion.next(this.#sources.length, frozenHost);
    if (again && this.#loaded !== null) dropSession(this.#loaded);
    if (this.#loaded === null) {
      const { constants } = this.#promotion;
      const promoted = new Set(this.#sources.filter((_, position) => constants.has(position)));
      const constantOf = (value: Value): HostData | null => {
        const binding = this.#bind(value);
        if (binding.kind === "constant") return engineConfig().passes.constants ? value.host : null;
        return promoted.has(value) ? hostOfBinding(binding) : null;
      };
      const { roots } = this.#recording;
      const { session, bytes, ...graph } = buildSession(
        { nodes: this.#nodes, roots, sources: this.#sources, constantOf },
        (lowered) => packState(lowered, roots),
        this.#lanes,
      );
      this.#loaded = {
        session,
        lanes: this.#loadLanes(graph),
        bytes,
        graph,
        feeds: graph.feeds.map(({ name, value }) => {
          return { name, dtype: storageType(value), shape: value.shape, binding: this.#bind(value) };
        }),
        parts: (graph.input?.parts ?? []).map(({ key, offset }) => ({ binding: this.#bind(key), offset })),
        outputs: [...graph.fetches.map(({ name }) => name), ...(graph.output ? [graph.output.name] : [])],
        vector: new Float32Array(graph.input?.length ?? 0),
        given: this.#givenOutputs(graph),
        forget: () => {
          for (const lane of this.#loaded!.lanes) lane.dispose();
          this.#loaded = null;
        },
      };
    }
    touch(this.#loaded);
    return this.#loaded;
  }

  /** Tensors for the large float32 outputs that belong to results alone: an assigned variable keeps what it was given. */
  #givenOutputs({ fetches }: PackedGraph): ReadonlyMap<string, ReturnType<typeof ortTensor>> {
    const given = new Map<string, ReturnType<typeof ortTensor>>();
    if (this.#allocate === null) return given;
    const assigned = new Set(this.#assigned.map(({ output }) => (output.kind === "computed" ? output.index : null)));
    for (const { name, root } of fetches) {
      const value = this.#recording.roots[root]!;
      const position = this.#outputs.findIndex((output) => output.kind === "computed" && output.index === root);
      const length = sizeOf(value.shape);
      if (position < 0 || assigned.has(root) || value.dtype !== "float32" || length < LARGE_OUTPUT) continue;
      const data = this.#allocate(length, position);
      if (data.length !== length) {
        throw new EngineError({
          code: "ENGINE_SHAPE",
          message: `allocate(${length}, ${position}) of ${this.#name} gave an array of ${data.length} elements.`,
        });
      }
      given.set(name, ortTensor("float32", data, value.shape));
    }
    return given;
  }

  /** Sessions of the same graph on other cores, loaded at the same time. */
  #loadLanes({ model, feeds, fetches, input, output }: PackedGraph): LaneSession[] {
    if (this.#lanes === 1) return [];
    assertLanes(providerName(currentProviders().used[0]!));
    const { roots } = this.#recording;
    const packed = (vector: { readonly name: string; readonly length: number } | null) =>
      vector === null ? [] : [{ name: vector.name, dtype: "float32" as const, shape: [vector.length] }];
    const inputs = [
      ...feeds.map(({ name, value }) => ({ name, dtype: storageType(value), shape: value.shape })),
      ...packed(input),
    ];
    const outputs = [...fetches.map(({ name, root }) => ({ ...roots[root]!, name })), ...packed(output)];
    const lanes = Array.from({ length: this.#lanes - 1 }, (_, index) => {
      return new LaneSession({ index, model, inputs, outputs });
    });
    for (const lane of lanes) lane.loaded();
    return lanes;
  }

  #bind(value: Value): Binding {
    let binding = this.#bindings.get(value);
    if (binding === undefined) {
      binding = this.#origin(value);
      this.#bindings.set(value, binding);
    }
    return binding;
  }

  #origin(value: Value): Binding {
    const { placeholders, variables, captures } = this.#recording;
    if (value.generator) {
      const { inputs, run } = value.generator;
      return { kind: "generated", inputs: inputs.map((input) => this.#bind(input)), run };
    }
    const index = placeholders.indexOf(value);
    if (index >= 0) return { kind: "argument", index };
    const variable = variables.get(value);
    if (variable) return { kind: "variable", variable };
    const dataId = captures.get(value);
    return dataId ? { kind: "capture", value, dataId } : { kind: "constant", value };
  }

  #data(backend: OnnxRuntimeBackend, binding: Exclude<Binding, Generated>, args: readonly tf.Tensor[]): HostData {
    switch (binding.kind) {
      case "argument":
        return wideHostOf(backend, args[binding.index]!);
      case "variable":
        if (binding.variable.isDisposed) throw this.#captureDisposed(`variable ${binding.variable.name}`);
        return hostOf(backend, binding.variable);
      case "capture":
        if (backend.refCount(binding.dataId) === 0) throw this.#captureDisposed(`tensor [${binding.value.shape}]`);
        return binding.value.host as HostData;
      case "constant":
        return binding.value.host as HostData;
    }
  }

  #captureDisposed(what: string): EngineError {
    return new EngineError({
      code: "COMPILE_CAPTURE_DISPOSED",
      message: `${this.#name} captured a ${what} that has been disposed since.`,
      hint: "Keep it with tf.keep, or pass it as an argument.",
    });
  }
}

/** Element by element; integers and flags have none: those of the first list. */
function mean(lists: readonly HostData[]): HostData {
  const [first] = lists as readonly [HostData];
  if (lists.length === 1 || !(first instanceof Float32Array)) return first;
  const result = new Float32Array(first.length);
  for (let i = 0; i < result.length; i++) {
    let sum = 0;
    for (const list of lists) sum += list[i]!;
    result[i] = sum / lists.length;
  }
  return result;
}
