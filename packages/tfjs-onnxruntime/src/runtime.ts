import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataType, encodeModel, externalizeTensors, type Model, ModelTooLargeError } from "@seg/onnx";
import type { Tensor as OrtTensor } from "onnxruntime-node";
import { EngineError } from "./errors.js";
import type { HostData } from "./graph.js";
import type { ProviderRequest } from "./providers.js";
import { engineConfig } from "./settings.js";
import { writeChunks } from "./write-chunks.js";

/** What `run` yields: named tensors, at once or (newer bindings) later. */
export type RunResult = Record<string, OrtTensor>;

/** The synchronous session of onnxruntime-node's native binding; the public wrapper only defers the same call. */
export interface NativeSession {
  loadModel(path: string, options: object): void;
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor | null>, options: object): RunResult;
  dispose(): void;
  /** Ends profiling and returns the path of the profile. */
  endProfiling(): string;
  readonly inputMetadata: readonly { name: string }[];
  readonly outputMetadata: readonly { name: string; shape: readonly number[] }[];
}

interface Binding {
  InferenceSession: new () => NativeSession;
  listSupportedBackends(): { name: string; bundled: boolean }[];
}

interface Ort {
  Tensor: new (type: string, data: ArrayLike<number>, dims: readonly number[]) => OrtTensor;
  env: { logLevel?: string };
}

/** Facts about the runtime, found at its first use. */
export interface Runtime {
  readonly binding: Binding;
  readonly ort: Ort;
  readonly version: string;
  /** Whether `run` returns its results at once; without it nothing can be read synchronously. */
  readonly sync: boolean;
}

let loaded: Runtime | null = null;

/** Identity on one float: asks the runtime how it behaves, and a provider whether it starts. */
export const probeModel: Model = {
  irVersion: 8,
  producerName: "@seg/tfjs-onnxruntime",
  opsetImport: [{ domain: "", version: 17 }],
  metadataProps: [],
  graph: {
    name: "probe",
    nodes: [{ opType: "Neg", domain: "", name: "probe", inputs: ["x"], outputs: ["y"], attributes: [] }],
    initializers: [],
    inputs: [{ name: "x", dataType: DataType.FLOAT, shape: [1] }],
    outputs: [{ name: "y", dataType: DataType.FLOAT, shape: [1] }],
    valueInfo: [],
  },
};

/** Everything of onnxruntime-node that is not public lives here; its version is pinned for that reason. */
export function loadRuntime(): Runtime {
  if (loaded) return loaded;
  try {
    const require = createRequire(import.meta.url);
    const native = require("onnxruntime-node/dist/binding.js") as { binding: Binding; initOrt: () => void };
    const ort = require("onnxruntime-node") as Ort;
    const { version } = require("onnxruntime-node/package.json") as { version: string };
    // The process-wide logger prints what exceptions say as well (a provider that does not load); it is set once, here.
    const { logLevel } = ort.env;
    if (logLevel === undefined || logLevel === "warning") ort.env.logLevel = "fatal";
    native.initOrt();
    if (logLevel !== undefined) ort.env.logLevel = logLevel;
    loaded = { binding: native.binding, ort, version, sync: runsAtOnce(native.binding, ort) };
    return loaded;
  } catch (cause) {
    throw new EngineError({
      code: "ENGINE_BINDING",
      message:
        `onnxruntime-node's native library did not load on ${process.platform}-${process.arch}, Node ${process.version} ` +
        `(ABI ${process.versions.modules}): ${(cause as Error).message}.`,
      hint: "Reinstall with ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1.30.0, or use SEG_ENGINE=cpu.",
      cause,
    });
  }
}

/** Runs {@link probeModel}: newer sources of the binding return a promise. */
function runsAtOnce(binding: Binding, ort: Ort): boolean {
  const session = new binding.InferenceSession();
  const bytes = encodeModel(probeModel);
  session.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, { logSeverityLevel: 4, intraOpNumThreads: 1 });
  const result: unknown = session.run({ x: new ort.Tensor("float32", Float32Array.of(1), [1]) }, { y: null }, {});
  if (!isPromise(result)) {
    session.dispose();
    return true;
  }
  // The session may only go once its run has ended; what the probe computes is of no interest.
  const release = () => session.dispose();
  result.then(release, release);
  return false;
}

export function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

export function runtimeVersion(): string {
  return loadRuntime().version;
}

/** Session options of the engine; the binding ignores unknown keys silently, so all of them are spelled here and nowhere else. */
function sessionOptions(providers: readonly ProviderRequest[], threads: number, profilePrefix: string | null): object {
  const { spinning, optimization } = engineConfig();
  return {
    executionProviders: providers,
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: optimization,
    executionMode: "sequential",
    // The planned block of all intermediates would be mapped, zeroed page by page and given back with every run: without it a training
    // step takes 20 % less time and 25 % less memory (docs/decisions/0007).
    enableMemPattern: false,
    logSeverityLevel: 4,
    ...(profilePrefix === null ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
    extra: { session: { intra_op: { allow_spinning: spinning ? "1" : "0" } } },
  };
}

/** Session options of a lane: one thread of the cpu provider. */
export function laneOptions(): object {
  return sessionOptions(["cpu"], 1, null);
}

/**
 * Loads a model into a native session. A model above `maxGraphBytes` goes through files in a temporary folder (weights as
 * external data, loaded by path), which are removed once the runtime has read them.
 * @param threads - intra-operator threads @defaultValue as configured
 * @throws what the runtime throws; {@link EngineError} `ENGINE_GRAPH_TOO_LARGE` if the graph without its weights is above the limit
 */
export function loadSession({
  model,
  providers,
  threads = engineConfig().threads,
  profilePrefix = null,
}: {
  model: Model;
  providers: readonly ProviderRequest[];
  threads?: number;
  profilePrefix?: string | null;
}): NativeSession {
  const { binding } = loadRuntime();
  const options = sessionOptions(providers, threads, profilePrefix);
  const session = new binding.InferenceSession();
  const bytes = encodeWithin(model, engineConfig().maxGraphBytes);
  if (bytes !== null) {
    session.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, options);
    return session;
  }
  const external = externalizeTensors(model, { location: "weights.data" });
  const graph = encodeWithin(external.model, engineConfig().maxGraphBytes);
  if (graph === null) {
    throw new EngineError({
      code: "ENGINE_GRAPH_TOO_LARGE",
      message: `A graph of ${model.graph.nodes.length} ONNX nodes is above ${engineConfig().maxGraphBytes} bytes without its weights.`,
      hint: "Split the computation: read a value in between, or raise maxGraphBytes (2 GiB - 1 is protobuf's limit).",
    });
  }
  const folder = mkdtempSync(join(tmpdir(), "seg-engine-"));
  try {
    writeChunks(join(folder, "weights.data"), external.chunks);
    writeFileSync(join(folder, "model.onnx"), graph);
    session.loadModel(join(folder, "model.onnx"), options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return session;
}

/** The serialised model, or null above `limit` bytes. Payloads alone above the limit are not copied first. */
function encodeWithin(model: Model, limit: number): Uint8Array | null {
  const payload = model.graph.initializers.reduce((sum, { rawData }) => sum + (rawData?.length ?? 0), 0);
  if (payload > limit) return null;
  try {
    const bytes = encodeModel(model);
    return bytes.length > limit ? null : bytes;
  } catch (error) {
    if (error instanceof ModelTooLargeError) return null;
    throw error;
  }
}

/** A CPU tensor over `data`, without a copy unless its memory is shared between threads: the runtime refuses that. */
export function ortTensor(dtype: string, data: HostData, dims: readonly number[]): OrtTensor {
  const { ort } = loadRuntime();
  return new ort.Tensor(dtype, data.buffer instanceof SharedArrayBuffer ? data.slice() : data, dims);
}
