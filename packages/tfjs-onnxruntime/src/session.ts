import type { Model } from "@seg/onnx";
import { warnOfSecondTfjs } from "./duplicate-tfjs.js";
import { EngineError } from "./errors.js";
import { ProfiledSession } from "./profiled-session.js";
import { currentProviders, dropProviders, providerName, strictRefusal } from "./providers.js";
import { loadSession, type NativeSession } from "./runtime.js";
import { engineConfig } from "./settings.js";
import { engineState } from "./state.js";

/** A session as the engine uses it: native, or wrapped while its kernels are measured. */
export type Session = Pick<NativeSession, "run" | "dispose">;

/**
 * Loads a recorded graph on the first provider in use that takes it. While {@link profile} runs, every session is measured; on
 * an accelerator the first run of each session is, because only the runtime's profile says which provider took which node.
 * @param threads - intra-operator threads @defaultValue as configured
 * @throws {@link EngineError} `ENGINE_PROVIDER` with `strict`, `ENGINE_GRAPH_TOO_LARGE`; otherwise the error of the last provider
 */
export function createSession(model: Model, threads: number = engineConfig().threads): Session {
  warnOfSecondTfjs();
  const { used } = currentProviders();
  const measured = engineState.profiler !== null || providerName(used[0]!) !== "cpu";
  let first: unknown = null;
  for (let skip = 0; ; skip++) {
    const providers = used.slice(skip);
    let session: Session;
    try {
      session = measured ? ProfiledSession.load(model, providers, threads) : loadSession({ model, providers, threads });
    } catch (error) {
      if (error instanceof EngineError || skip === used.length - 1) throw error;
      const refusal = strictRefusal(providerName(used[skip]!), error);
      if (refusal !== null) throw refusal;
      first ??= error;
      continue;
    }
    if (skip > 0) dropProviders(skip, first);
    if (!measured) countNodes("cpu", model.graph.nodes.length);
    return session;
  }
}

/** Adds to the number of nodes that a provider was given in this process. */
export function countNodes(provider: string, count: number): void {
  const { nodesByProvider } = engineState;
  nodesByProvider.set(provider, (nodesByProvider.get(provider) ?? 0) + count);
}
