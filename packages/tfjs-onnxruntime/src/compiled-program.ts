import type { Model } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import type { OnnxRuntimeBackend } from "./backend.js";
import { buildSession, lowerGraph } from "./build-session.js";
import { engineConfig } from "./config.js";
import { EngineError } from "./errors.js";
import { collect, type HostData, hostValue, type RecordedNode, type Value } from "./graph.js";
import { type PackedGraph, packState } from "./pack-state.js";
import { Promotion } from "./promotion.js";
import { hostOf, type Recording } from "./record-call.js";
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
  | {
      readonly kind: "generated";
      readonly inputs: readonly Binding[];
      readonly run: (inputs: readonly HostData[]) => HostData;
    };

/** What a call gives: a value of the run, or data that the graph does not touch. */
type Output = { readonly kind: "computed"; readonly index: number } | Binding;

interface Loaded extends Compiled {
  readonly graph: PackedGraph;
  /** Names of everything that is fetched. */
  readonly outputs: readonly string[];
  /** Filled with the small inputs before each run: the runtime reads it during the run only. */
  readonly vector: Float32Array;
}

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
  #loaded: Loaded | null = null;

  constructor(recording: Recording<Result>, name: string) {
    this.#name = name;
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

  /** Runs the graph on the arguments' tensors and the current variables. */
  run(backend: OnnxRuntimeBackend, args: readonly tf.Tensor[]): Result {
    // First: what is pending may need sessions of its own and push this one out of the cache.
    backend.flush();
    assertSync();
    const data = new Map<Binding, HostData>();
    const hostOfBinding = (binding: Binding): HostData => {
      let host = data.get(binding);
      if (host === undefined) {
        host = this.#data(backend, binding, args, hostOfBinding);
        data.set(binding, host);
      }
      return host;
    };
    const computed = this.#recording.roots.length === 0 ? [] : this.#compute(hostOfBinding);
    const dataOf = (output: Output) => (output.kind === "computed" ? computed[output.index]! : hostOfBinding(output));
    const { result, effects } = this.#recording;
    const tensor = (host: HostData, shape: readonly number[], dtype: tf.DataType) =>
      tf.engine().makeTensorFromTensorInfo({
        dataId: backend.register(hostValue(host, shape, dtype)),
        shape: [...shape],
        dtype,
      });
    // All data is taken before the first assignment: an output may be the old value of a variable.
    const values = this.#outputs.map(dataOf);
    const news = this.#assigned.map(({ output }) => dataOf(output));
    this.#assigned.forEach(({ variable }, i) => {
      if (backend.overwrite(variable.dataId, news[i]!, variable.shape, variable.dtype)) return;
      const next = tensor(news[i]!, variable.shape, variable.dtype);
      variable.assign(next);
      next.dispose();
    });
    let next = 0;
    const given = mapTensors(result, ({ shape, dtype }) => tensor(values[next++]!, shape, dtype));
    for (const callback of effects) callback();
    return given;
  }

  /** Data of the roots. */
  #compute(hostOfBinding: (binding: Binding) => HostData): HostData[] {
    const loaded = this.#load(hostOfBinding);
    const { graph, outputs, vector } = loaded;
    const { input, output } = graph;
    const hostOfValue = (value: Value) => hostOfBinding(this.#bind(value));
    const feeds: Record<string, ReturnType<typeof ortTensor>> = {};
    for (const { name, value } of graph.feeds) feeds[name] = ortTensor(value.dtype, hostOfValue(value), value.shape);
    if (input) {
      for (const { key, offset } of input.parts) vector.set(hostOfValue(key), offset);
      feeds[input.name] = ortTensor("float32", vector, [input.length]);
    }
    const results = runSession({ session: loaded.session, outputs }, feeds, this.#nodes);
    const { roots } = this.#recording;
    const computed = new Array<HostData>(roots.length);
    for (const { name, root } of graph.fetches) computed[root] = resultData(results, name, roots[root]!);
    if (output) {
      const values = results[output.name]!.data as Float32Array;
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

  #load(hostOfBinding: (binding: Binding) => HostData): Loaded {
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
      );
      this.#loaded = {
        session,
        bytes,
        graph,
        outputs: [...graph.fetches.map(({ name }) => name), ...(graph.output ? [graph.output.name] : [])],
        vector: new Float32Array(graph.input?.length ?? 0),
        forget: () => {
          this.#loaded = null;
        },
      };
    }
    touch(this.#loaded);
    return this.#loaded;
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

  #data(
    backend: OnnxRuntimeBackend,
    binding: Binding,
    args: readonly tf.Tensor[],
    hostOfBinding: (binding: Binding) => HostData,
  ): HostData {
    switch (binding.kind) {
      case "argument":
        return hostOf(backend, args[binding.index]!);
      case "variable":
        if (binding.variable.isDisposed) throw this.#captureDisposed(`variable ${binding.variable.name}`);
        return hostOf(backend, binding.variable);
      case "capture":
        if (backend.refCount(binding.dataId) === 0) throw this.#captureDisposed(`tensor [${binding.value.shape}]`);
        return binding.value.host as HostData;
      case "constant":
        return binding.value.host as HostData;
      case "generated":
        return binding.run(binding.inputs.map(hostOfBinding));
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
