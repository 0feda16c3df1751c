import * as tf from "@tensorflow/tfjs";
import { delegatedKernels } from "./delegate.js";
import { cacheStatistics } from "./flush.js";
import { kernelNames } from "./kernels/define.js";
import { currentProviders, type ProviderRequest, providerName, type RefusedProvider } from "./providers.js";
import { loadRuntime } from "./runtime.js";
import { engineConfig } from "./settings.js";
import { engineState } from "./state.js";

/** What the engine runs on and what it has done so far. Times are milliseconds since the process began. */
export interface EngineInfo {
  /** Of onnxruntime-node. */
  readonly version: string;
  readonly versions: { readonly onnxruntime: string; readonly tfjs: string; readonly node: string };
  /** Whether values can be read synchronously. */
  readonly sync: boolean;
  readonly threads: number;
  readonly spinning: boolean;
  /** As configured. */
  readonly requestedProviders: readonly ProviderRequest[];
  /** Names of the providers that sessions are given, in order; nodes that the first cannot take go to the next, with copies. */
  readonly executionProviders: readonly string[];
  /** Providers that were asked for and are not used, with the reason. */
  readonly refusedProviders: readonly RefusedProvider[];
  /**
   * Nodes per provider, summed over sessions: as emitted where cpu is the only provider, as run (after the runtime's fusions, from
   * the profile of each session's first run) otherwise.
   */
  readonly nodesByProvider: Readonly<Record<string, number>>;
  /** Providers that this build of the runtime knows; `bundled` ones came with the package. */
  readonly knownProviders: readonly { readonly name: string; readonly bundled: boolean }[];
  /** Kernels that the engine computes itself. */
  readonly kernels: readonly string[];
  /** Calls of kernels that ran on tfjs's cpu backend instead, by name. */
  readonly delegated: Readonly<Record<string, number>>;
  /** Limit of `sessionBytes`. */
  readonly cacheBytes: number;
  /** Estimated memory that cached sessions keep for intermediate values. */
  readonly sessionBytes: number;
  readonly sessions: number;
  readonly hits: number;
  readonly misses: number;
  readonly runs: number;
  readonly compileMs: number;
  readonly runMs: number;
}

/**
 * What the engine runs on and what it has done so far. Loads the runtime and asks the requested providers, if no session did yet.
 * @throws {@link EngineError} `ENGINE_BINDING`, or `ENGINE_PROVIDER` with `strict`
 */
export function engineInfo(): EngineInfo {
  const { version, sync, binding } = loadRuntime();
  const { threads, spinning, cacheBytes, executionProviders } = engineConfig();
  const { used, refused } = currentProviders();
  let sessionBytes = 0;
  for (const { bytes } of engineState.order) sessionBytes += bytes;
  return {
    version,
    versions: { onnxruntime: version, tfjs: tf.version_core, node: process.version },
    sync,
    threads,
    spinning,
    requestedProviders: executionProviders,
    executionProviders: used.map(providerName),
    refusedProviders: refused,
    nodesByProvider: Object.fromEntries(engineState.nodesByProvider),
    knownProviders: binding.listSupportedBackends(),
    kernels: kernelNames(),
    delegated: delegatedKernels(),
    cacheBytes,
    sessionBytes,
    ...cacheStatistics(),
  };
}
