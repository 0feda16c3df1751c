import { EngineError } from "./errors.js";
import { nearestName } from "./nearest-name.js";
import { type Passes, passesProblem } from "./passes.js";
import { providerProblem, requireProviders, resetProviders } from "./providers.js";
import { clearCache } from "./session-cache.js";
import { type EngineConfig, engineConfig } from "./settings.js";

/** What is wrong with a value, null if nothing. */
type Check = (value: unknown) => string | null;

const positive: Check = (value) =>
  Number.isInteger(value) && (value as number) > 0 ? null : "must be a positive integer";
const limit: Check = (value) => (value === Number.POSITIVE_INFINITY ? null : positive(value));
const flag: Check = (value) => (typeof value === "boolean" ? null : "must be true or false");
const oneOf =
  (...known: readonly string[]): Check =>
  (value) =>
    known.includes(value as string) ? null : `must be one of ${known.join(", ")}`;

const checks: Record<keyof EngineConfig, Check> = {
  executionProviders: providerProblem,
  strict: flag,
  threads: positive,
  spinning: flag,
  cacheSize: positive,
  cacheBytes: positive,
  memoryLimit: limit,
  flushScope: oneOf("all", "needed"),
  maxPendingNodes: positive,
  maxGraphNodes: positive,
  maxGraphBytes: positive,
  nan: oneOf("exact", "fast"),
  optimization: oneOf("disabled", "basic", "extended", "all"),
  contrib: flag,
  passes: passesProblem,
  source: flag,
};

/** Argument of {@link configure}; passes that are not named stay as they are. */
export type EngineSettings = Partial<Omit<EngineConfig, "passes">> & { readonly passes?: Partial<Passes> };

/**
 * Changes engine settings. Compiled sessions are dropped.
 * @throws {@link EngineError} `ENGINE_CONFIG` on an unknown key or a value out of range, `ENGINE_PROVIDER` if `strict` and a
 *   requested provider does not start; nothing is changed then
 */
export function configure(settings: EngineSettings): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!Object.hasOwn(checks, key)) {
      const known = Object.keys(checks);
      throw new EngineError({
        code: "ENGINE_CONFIG",
        message: `Unknown engine setting "${key}".`,
        hint: `Did you mean "${nearestName(key, known)}"? Known: ${known.join(", ")}.`,
      });
    }
    const problem = checks[key as keyof EngineConfig](value);
    if (problem !== null) {
      throw new EngineError({
        code: "ENGINE_CONFIG",
        message: `${key} ${problem}, got ${typeof value === "string" ? `"${value}"` : JSON.stringify(value)}.`,
      });
    }
  }
  const current = engineConfig() as EngineConfig;
  const next = { ...current, ...settings, passes: { ...current.passes, ...settings.passes } };
  if (next.strict && (settings.strict !== undefined || settings.executionProviders !== undefined)) {
    requireProviders(next.executionProviders);
  }
  Object.assign(current, next);
  if (settings.executionProviders !== undefined) resetProviders();
  clearCache();
}

export { clearCache } from "./session-cache.js";
export { type EngineConfig, engineConfig } from "./settings.js";
