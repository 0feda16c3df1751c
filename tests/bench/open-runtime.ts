import { createRequire } from "node:module";

/** The native session of onnxruntime-node, as the engine uses it: synchronous. */
export interface NativeSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: object): void;
  run(feeds: object, fetches: object, options: object): Record<string, { data: ArrayLike<number> }>;
  dispose(): void;
}

/** onnxruntime-node without the engine: what benchmarks compare with. */
export interface BareRuntime {
  /** One thread, cpu, not spinning: the engine's options. */
  load(bytes: Uint8Array, optimization: "basic" | "extended"): NativeSession;
  tensor(values: Float32Array, shape?: readonly number[]): object;
  readonly version: string;
}

export function openRuntime(): BareRuntime {
  const require = createRequire(import.meta.resolve("@seg/tfjs-onnxruntime"));
  const { binding, initOrt } = require("onnxruntime-node/dist/binding.js") as {
    binding: { InferenceSession: new () => NativeSession };
    initOrt(): void;
  };
  const { Tensor } = require("onnxruntime-node") as {
    Tensor: new (type: string, data: unknown, dims: readonly number[]) => object;
  };
  const { version } = require("onnxruntime-node/package.json") as { version: string };
  initOrt();
  return {
    version,
    load(bytes, graphOptimizationLevel) {
      const session = new binding.InferenceSession();
      session.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, {
        executionProviders: ["cpu"],
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        graphOptimizationLevel,
        logSeverityLevel: 4,
        extra: { session: { intra_op: { allow_spinning: "0" } } },
      });
      return session;
    },
    tensor: (values, shape = [values.length]) => new Tensor("float32", values, shape),
  };
}
