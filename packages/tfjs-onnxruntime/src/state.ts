import type { EngineConfig } from "./config.js";
import type { NativeSession } from "./runtime.js";

/** A session with what is needed to run it again. */
export interface Compiled {
  readonly session: NativeSession;
  /** Structure in full: a hash hit with another structure must not give wrong results. */
  readonly structure: Int32Array;
  /** Position of each graph input among the values without producer, in the order in which the structure meets them. */
  readonly feeds: readonly { name: string; source: number }[];
  readonly outputs: readonly string[];
  /** Estimated memory that the session keeps for intermediate values. */
  readonly bytes: number;
}

/** Everything that changes while the engine runs. */
export interface EngineState {
  config: EngineConfig | null;
  /** Structural descriptions by number; equal numbers mean equal structure. */
  readonly interned: Map<string, number>;
  nextNodeId: number;
  readonly cache: Map<number, Compiled[]>;
  /** Least recently used first. */
  readonly order: Set<Compiled>;
  readonly statistics: { hits: number; misses: number; runs: number; compileMs: number; runMs: number };
}

/** Marks the backend object, so that another copy of this package recognises it. */
export const engineBrand = Symbol.for("@seg/engine/backend");

const key = Symbol.for("@seg/engine");
const holder = globalThis as unknown as Record<symbol, EngineState | undefined>;

holder[key] ??= {
  config: null,
  interned: new Map(),
  nextNodeId: 1,
  cache: new Map(),
  order: new Set(),
  statistics: { hits: 0, misses: 0, runs: 0, compileMs: 0, runMs: 0 },
};

/**
 * One state for all copies of this package in a process: an application may load it by `import` and by `require`, and tfjs has one
 * kernel registry for both.
 */
export const engineState: EngineState = holder[key];
