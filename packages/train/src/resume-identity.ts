import { createHash } from "node:crypto";
import { Counter, type Module } from "@seg/nn";
import type { JsonObject, JsonValue } from "./config.js";
import { ResumeMismatchError } from "./errors.js";

/** SHA-256 over the state-dict names and shapes of a model. */
export function architectureHash(model: Module): string {
  const hash = createHash("sha256");
  for (const [path, leaf] of model.namedLeaves()) {
    hash.update(`${path}:${leaf instanceof Counter ? "" : leaf.shape.join("x")}\n`);
  }
  return hash.digest("hex");
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function collect(
  saved: JsonValue | undefined,
  current: JsonValue | undefined,
  key: string,
  into: { key: string; saved: unknown; current: unknown }[],
): void {
  if (isObject(saved) && isObject(current)) {
    for (const name of new Set([...Object.keys(saved), ...Object.keys(current)])) {
      collect(saved[name], current[name], key === "" ? name : `${key}.${name}`, into);
    }
    return;
  }
  if (JSON.stringify(saved) !== JSON.stringify(current))
    into.push({ key, saved: saved ?? null, current: current ?? null });
}

/** @throws {@link ResumeMismatchError} listing every difference */
export function checkIdentity(saved: JsonObject, current: JsonObject): void {
  const differences: { key: string; saved: unknown; current: unknown }[] = [];
  collect(saved, current, "", differences);
  if (differences.length > 0) throw new ResumeMismatchError({ differences });
}
