import { createRequire } from "node:module";
import type { Tensor as OrtTensor } from "onnxruntime-node";
import { engineConfig } from "./config.js";
import { EngineError } from "./errors.js";

/** The synchronous session of onnxruntime-node's native binding; the public wrapper only defers the same call. */
export interface NativeSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  run(
    feeds: Record<string, OrtTensor>,
    fetches: Record<string, OrtTensor | null>,
    options: object,
  ): Record<string, OrtTensor>;
  dispose(): void;
  readonly inputMetadata: readonly { name: string }[];
  readonly outputMetadata: readonly { name: string; shape: readonly number[] }[];
}

interface Binding {
  InferenceSession: new () => NativeSession;
}

interface Ort {
  Tensor: new (type: string, data: ArrayLike<number>, dims: readonly number[]) => OrtTensor;
}

let loaded: { binding: Binding; ort: Ort; version: string } | null = null;

/** Everything of onnxruntime-node that is not public lives here; its version is pinned for that reason. */
function load(): { binding: Binding; ort: Ort; version: string } {
  if (loaded) return loaded;
  try {
    const require = createRequire(import.meta.url);
    const native = require("onnxruntime-node/dist/binding.js") as { binding: Binding; initOrt: () => void };
    const ort = require("onnxruntime-node") as Ort;
    const { version } = require("onnxruntime-node/package.json") as { version: string };
    native.initOrt();
    loaded = { binding: native.binding, ort, version };
    return loaded;
  } catch (cause) {
    throw new EngineError({
      code: "ENGINE_BINDING",
      message:
        `onnxruntime-node's native library did not load on ${process.platform}-${process.arch}, Node ${process.version}: ` +
        `${(cause as Error).message}. Reinstall with ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1.30.0.`,
      cause,
    });
  }
}

export function runtimeVersion(): string {
  return load().version;
}

/** Loads serialised ONNX into a session with the engine's settings. */
export function createSession(bytes: Uint8Array): NativeSession {
  const { binding } = load();
  const { threads, spinning, optimization } = engineConfig();
  const session = new binding.InferenceSession();
  session.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: optimization,
    executionMode: "sequential",
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: spinning ? "1" : "0" } } },
  });
  return session;
}

/** A CPU tensor over `data`, without a copy. */
export function ortTensor(
  dtype: string,
  data: Float32Array | Int32Array | Uint8Array,
  dims: readonly number[],
): OrtTensor {
  const { ort } = load();
  return new ort.Tensor(dtype, data, dims);
}
