import type { ProfiledRun, ProfiledSession } from "./profiled-session.js";
import type { Promotion } from "./promotion.js";
import type { ProviderState } from "./providers.js";
import type { Session } from "./session.js";
import type { EngineConfig } from "./settings.js";
import type { GraphStructure } from "./structure.js";

/** What a profile says about a recorded kernel. */
export interface ProfiledKernel {
  readonly op: string;
  readonly source: string | null;
}

/** Set while `profile` runs. */
export interface Profiler {
  /** Sessions whose measurement has not been read yet. */
  readonly sessions: Set<ProfiledSession>;
  readonly runs: ProfiledRun[];
  /** Kernels of the run that is about to start, in the order of the graph. */
  kernels: readonly ProfiledKernel[];
}

/** A session in the cache. */
export interface Compiled {
  readonly session: Session;
  /** Estimated memory that the session keeps for intermediate values. */
  readonly bytes: number;
  /** Told when the session is dropped. */
  readonly forget: () => void;
}

/** A session that flushes of equal structure share. */
export interface CachedGraph extends Compiled {
  /** Compared in full: a hash hit with another structure must not give wrong results. */
  readonly structure: GraphStructure;
  /** Which of the values without producer are constants of the session. */
  readonly promotion: Promotion;
  /** Position of each graph input among the values without producer, in the order in which the structure meets them. */
  readonly feeds: readonly { name: string; source: number }[];
  readonly outputs: readonly string[];
}

/** Everything that changes while the engine runs. */
export interface EngineState {
  config: EngineConfig | null;
  /** Structural descriptions by number; equal numbers mean equal structure. */
  readonly interned: Map<string, number>;
  nextNodeId: number;
  readonly cache: Map<number, readonly CachedGraph[]>;
  /** Least recently used first. */
  readonly order: Set<Compiled>;
  readonly statistics: { hits: number; misses: number; runs: number; compileMs: number; runMs: number };
  /** What is known about execution providers; null before the first session and after `configure({ executionProviders })`. */
  providers: ProviderState | null;
  /** Nodes given to each provider so far. */
  readonly nodesByProvider: Map<string, number>;
  profiler: Profiler | null;
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
  providers: null,
  nodesByProvider: new Map(),
  profiler: null,
};

/**
 * One state for all copies of this package in a process: an application may load it by `import` and by `require`, and tfjs has one
 * kernel registry for both.
 */
export const engineState: EngineState = holder[key];
