import { availableParallelism, totalmem } from "node:os";
import { ALL_PASSES, type Passes } from "./passes.js";
import type { ProviderRequest } from "./providers.js";
import { engineState } from "./state.js";

/** Engine settings; see {@link configure}. */
export interface EngineConfig {
  /**
   * Execution providers in order of preference; `cpu` always follows. One that does not start is skipped and reported by
   * `engineInfo().refused`. @defaultValue `["cpu"]`
   */
  executionProviders: readonly ProviderRequest[];
  /** A requested provider that does not start, or refuses a graph, is an error (`ENGINE_PROVIDER`). @defaultValue false */
  strict: boolean;
  /** Intra-operator threads of every session. @defaultValue `SEG_THREADS`, else the number of cores */
  threads: number;
  /**
   * Let pool threads spin between operators. A training step on two idle cores takes 377 ms of wall time with it and 432 without, for
   * the same CPU time; switch it off where other work wants the cores. Means nothing with one thread. @defaultValue true
   */
  spinning: boolean;
  /** Compiled sessions kept, least recently used dropped first. @defaultValue 32 */
  cacheSize: number;
  /** Estimated bytes that cached sessions may keep together; one session may exceed it. @defaultValue 40 % of the machine's memory */
  cacheBytes: number;
  /** Estimated peak bytes of one graph (inputs, intermediates, outputs) above which it is refused. @defaultValue no limit */
  memoryLimit: number;
  /**
   * What a read computes: `all` that live tensors wait for (later reads then share the work), or only the value `needed` (right where
   * many live tensors are never read; whoever reads them later computes shared parts again). @defaultValue "all"
   */
  flushScope: "all" | "needed";
  /** Kernels recorded since the last run after which everything pending runs, so that a loop without reads does not grow for ever. @defaultValue 50000 */
  maxPendingNodes: number;
  /** Recorded kernels in one graph, at most. @defaultValue 200000 */
  maxGraphNodes: number;
  /** Bytes of one serialised graph; frozen weights beyond go to a file beside it. @defaultValue 2 GiB - 1, protobuf's limit */
  maxGraphBytes: number;
  /**
   * NaN in Max, Min, ArgMax and ArgMin: "exact" as tfjs has it, "fast" as ONNX Runtime has it (dropped or kept by position; Max up to
   * three times as fast). @defaultValue "exact"
   */
  nan: "exact" | "fast";
  /** ONNX Runtime graph optimisation of recorded graphs. @defaultValue "extended" */
  optimization: "disabled" | "basic" | "extended" | "all";
  /** Operators of `com.microsoft` (FusedMatMul, QuickGelu, Gelu) in recorded graphs; traced graphs never have them. @defaultValue true */
  contrib: boolean;
  /** Rewrites of recorded graphs. @defaultValue all */
  passes: Passes;
  /** Remember the source line of every kernel: errors name it. 5 to 20 microseconds a kernel. @defaultValue false */
  source: boolean;
}

const environmentThreads = Number(process.env["SEG_THREADS"] ?? "");

const defaults: EngineConfig = {
  executionProviders: ["cpu"],
  strict: false,
  threads: Number.isInteger(environmentThreads) && environmentThreads > 0 ? environmentThreads : availableParallelism(),
  spinning: true,
  cacheSize: 32,
  cacheBytes: Math.floor(0.4 * totalmem()),
  memoryLimit: Number.POSITIVE_INFINITY,
  flushScope: "all",
  maxPendingNodes: 50_000,
  maxGraphNodes: 200_000,
  maxGraphBytes: 0x7fffffff,
  nan: "exact",
  optimization: "extended",
  contrib: true,
  passes: ALL_PASSES,
  source: false,
};

engineState.config ??= defaults;
const current: EngineConfig = engineState.config;

/** Current settings, by reference. */
export function engineConfig(): Readonly<EngineConfig> {
  return current;
}
