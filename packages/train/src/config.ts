import { distance } from "fastest-levenshtein";
import { ConfigError } from "./errors.js";

/** Values that JSON can hold. Typed arrays and class instances are excluded on purpose. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: JsonValue };

/** The known name nearest to `name`; the first of equals, null if `known` is empty. */
export function nearestName(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

/** @throws {@link ConfigError} naming the nearest known key */
export function checkKeys(config: object, known: readonly string[], prefix = ""): void {
  for (const key of Object.keys(config)) {
    if (known.includes(key)) continue;
    const nearest = nearestName(key, known);
    throw new ConfigError({
      key: `${prefix}${key}`,
      nearest: nearest === null ? null : `${prefix}${nearest}`,
      message: `Unknown configuration key "${prefix}${key}".${nearest === null ? "" : ` Did you mean "${prefix}${nearest}"?`}`,
    });
  }
}

/** @throws {@link ConfigError} unless `value` is an integer of at least `min` */
export function checkInteger(key: string, value: unknown, min: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min) {
    throw new ConfigError({
      key,
      message: `${key} is ${JSON.stringify(value)}, expected an integer of at least ${min}.`,
    });
  }
  return value;
}

/** @throws {@link ConfigError} unless `value` is a finite number of at least 0 */
export function checkNonNegative(key: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw new ConfigError({ key, message: `${key} is ${JSON.stringify(value)}, expected a number of at least 0.` });
  }
  return value;
}

/** @throws {@link ConfigError} unless `value` is a boolean */
export function checkBoolean(key: string, value: unknown): boolean {
  if (typeof value !== "boolean") {
    throw new ConfigError({ key, message: `${key} is ${JSON.stringify(value)}, expected true or false.` });
  }
  return value;
}
