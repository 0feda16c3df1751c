/**
 * TensorFlow.js on ONNX Runtime. Importing this module registers the backend `onnxruntime` (not activated before
 * `await tf.setBackend("onnxruntime")` unless nothing better is registered).
 *
 * @example
 * import "@seg/tfjs-onnxruntime";
 * import * as tf from "@tensorflow/tfjs";
 * await tf.setBackend("onnxruntime");
 * tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).print(); // [[3, 3], [3, 3]]
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isEngine, OnnxRuntimeBackend } from "./backend.js";
import { registerMissingGradients } from "./gradients.js";
import "./kernels/all.js";
import { backendName } from "./kernels/define.js";

registerMissingGradients();
if (!tf.engine().registryFactory[backendName]) tf.registerBackend(backendName, () => new OnnxRuntimeBackend(), 4);

/** Runs everything that live tensors of the active backend wait for. */
export function flush(): void {
  const backend = tf.backend();
  if (isEngine(backend)) backend.flush();
}

export { assignValues } from "./assign-values.js";
export type { EngineMemory } from "./backend.js";
export { type CompiledFunction, type CompileOptions, type CompileStats, compile } from "./compile.js";
export { clearCache, configure, type EngineConfig, type EngineSettings } from "./config.js";
export { delegatedKernels } from "./delegate.js";
export { effect } from "./effect.js";
export { type EngineInfo, engineInfo } from "./engine-info.js";
export { EngineError, type EngineErrorCode } from "./errors.js";
export { type Float16Storage, storeAsFloat16 } from "./float16-storage.js";
export * as ops from "./ops/index.js";
export { ALL_PASSES, type Passes } from "./passes.js";
export { type Profile, type ProfileRow, profile, type TraceEvent } from "./profile.js";
export { freeze } from "./promotion.js";
export type { ExecutionProvider, ProviderRequest, RefusedProvider } from "./providers.js";
export * as random from "./random.js";
export { type EngineName, selectEngine } from "./select-engine.js";
export type { TensorTree } from "./tensor-tree.js";
export { type TraceInput, trace } from "./trace.js";
