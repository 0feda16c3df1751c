import { availableParallelism, totalmem } from "node:os";
import { EngineError } from "./errors.js";
import { engineState } from "./state.js";

/** Engine settings; see {@link configure}. */
export interface EngineConfig {
  /** Intra-operator threads of every session. @defaultValue `SEG_THREADS`, else the number of cores */
  threads: number;
  /** Let idle pool threads spin. Costs CPU time and gains little on shared machines. @defaultValue false */
  spinning: boolean;
  /** Compiled sessions kept, least recently used dropped first. @defaultValue 32 */
  cacheSize: number;
  /** Estimated bytes that cached sessions may keep together; one session may exceed it. @defaultValue 40 % of the machine's memory */
  cacheBytes: number;
  /** ONNX Runtime graph optimisation of recorded graphs. @defaultValue "extended" */
  optimization: "disabled" | "basic" | "extended" | "all";
  /** Operators of `com.microsoft` (FusedMatMul, QuickGelu, Gelu) in recorded graphs; traced graphs never have them. @defaultValue true */
  contrib: boolean;
}

const environmentThreads = Number(process.env["SEG_THREADS"] ?? "");

const defaults: EngineConfig = {
  threads: Number.isInteger(environmentThreads) && environmentThreads > 0 ? environmentThreads : availableParallelism(),
  spinning: false,
  cacheSize: 32,
  cacheBytes: Math.floor(0.4 * totalmem()),
  optimization: "extended",
  contrib: true,
};

engineState.config ??= defaults;
const current = engineState.config;

/** Current settings, by reference. */
export function engineConfig(): Readonly<EngineConfig> {
  return current;
}

/** Drops every compiled session. */
export function clearCache(): void {
  for (const compiled of engineState.order) compiled.session.dispose();
  engineState.order.clear();
  engineState.cache.clear();
}

/**
 * Changes engine settings. Compiled sessions are dropped.
 * @throws {@link EngineError} `ENGINE_CONFIG` on an unknown key or a value out of range; nothing is changed then
 */
export function configure(settings: Partial<EngineConfig>): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!(key in current)) {
      const known = Object.keys(current).join(", ");
      throw new EngineError({ code: "ENGINE_CONFIG", message: `Unknown engine setting "${key}". Known: ${known}.` });
    }
    if (
      (key === "threads" || key === "cacheSize" || key === "cacheBytes") &&
      !(Number.isInteger(value) && (value as number) > 0)
    ) {
      throw new EngineError({
        code: "ENGINE_CONFIG",
        message: `${key} must be a positive integer, got ${String(value)}.`,
      });
    }
  }
  Object.assign(current, settings);
  clearCache();
}
