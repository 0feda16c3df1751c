import { parseConfig } from "../core/parse-config.js";
import type { AnyTransform } from "../core/transform.js";
import { AugmentConfigError, UnknownTransformError } from "../errors.js";
import { BUILT_IN } from "../transforms/built-in.js";
import { MIX_TYPES } from "./mixing.js";
import type { Params } from "./plan.js";
import { REPLACED } from "./spec.js";

/** On globalThis, so that the ESM and the CJS copy of this package share what was registered. */
const KEY = Symbol.for("@seg/augment/transforms");

function custom(): Map<string, AnyTransform> {
  const holder = globalThis as unknown as Record<symbol, Map<string, AnyTransform> | undefined>;
  holder[KEY] ??= new Map();
  return holder[KEY];
}

/**
 * Makes a transform of your own known by its type, for plans, YAML files and profiles. A worker thread needs the call too.
 * @throws AugmentConfigError when the type is built in
 */
export function registerTransform(definition: AnyTransform): void {
  const { type } = definition;
  if (BUILT_IN.some((known) => known.type === type) || MIX_TYPES.includes(type as never)) {
    throw new AugmentConfigError({ path: "type", message: `"${type}" is built in; choose another name.` });
  }
  custom().set(type, definition);
}

/** Every known type, built-in first. */
export function transformTypes(): string[] {
  return [...BUILT_IN.map(({ type }) => type), ...custom().keys()];
}

/** @throws UnknownTransformError */
export function findTransform(type: string, path: string): AnyTransform {
  const found = BUILT_IN.find((known) => known.type === type) ?? custom().get(type);
  if (found === undefined) throw new UnknownTransformError({ type, available: transformTypes(), path });
  return found;
}

/**
 * Parameters with defaults, checked by the transform's own schema.
 * @throws UnknownTransformError, AugmentConfigError
 */
export function resolveParams(type: string, params: Params, path: string): Params {
  const { schema, keys } = findTransform(type, path);
  return parseConfig(schema, params, path, { keys: [...keys, "type", "p", "enabled"], replaced: REPLACED }) as Params;
}

const KIND_SLOT = {
  geometric: "VerticalFlip",
  field: "PiecewiseAffine",
  pointwise: "CLAHE",
  image: "MotionBlur",
} as const;

/** Place in the execution order of a translated plan; custom types come last among their kind. */
export function executionRank(type: string): number {
  const index = BUILT_IN.findIndex((known) => known.type === type);
  if (index >= 0) return index;
  const { kind } = findTransform(type, type);
  return BUILT_IN.findIndex((known) => known.type === KIND_SLOT[kind]) + 0.5;
}
