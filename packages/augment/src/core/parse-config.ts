import type { z } from "zod";
import { AugmentConfigError, nearestName } from "../errors.js";

/** `overrides[1].std` from a zod path. */
export function formatPath(base: string, path: readonly PropertyKey[]): string {
  let text = base;
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text;
}

type Issue = z.core.$ZodIssue;

/** Of the alternatives of a union the one that got furthest: its problem lies inside, not in the kind of value. */
function innermost(issue: Issue, base: readonly PropertyKey[]): { issue: Issue; at: readonly PropertyKey[] } {
  const at = [...base, ...issue.path];
  if (issue.code !== "invalid_union") return { issue, at };
  const inside = issue.errors
    .map(([first]) => first)
    .find((e) => e && (e.path.length > 0 || e.code === "unrecognized_keys"));
  return inside === undefined ? { issue, at } : innermost(inside, at);
}

/**
 * Validates by a zod schema; the first problem becomes a typed error that names the place, and for an unknown key the nearest known one.
 *
 * @param keys - known keys at the top level, for the suggestion
 * @throws {@link AugmentConfigError}
 */
export function parseConfig<T>(
  schema: z.ZodType<T>,
  value: unknown,
  path: string,
  { keys = [], replaced = {} }: { keys?: readonly string[]; replaced?: Readonly<Record<string, string>> } = {},
): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issue, at } = innermost(parsed.error.issues[0]!, []);
  const where = formatPath(path, at);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const place = where === "" ? key : `${where}.${key}`;
    const replacement = Object.hasOwn(replaced, key) ? replaced[key] : undefined;
    if (replacement !== undefined) {
      throw new AugmentConfigError({
        path: place,
        message: `"${key}" is a name of another library; use ${replacement}.`,
      });
    }
    const near = nearestName(key, keys);
    throw new AugmentConfigError({
      path: place,
      message: `unknown key "${key}".${near === null ? "" : ` Did you mean "${near}"?`}${keys.length > 0 ? ` Known: ${keys.join(", ")}.` : ""}`,
    });
  }
  throw new AugmentConfigError({ path: where, message: `${issue.message}.` });
}
