import type { z } from "zod";
import { HubError } from "../errors.js";

/** What a fault's place is called: `body.params.lora[0]`. */
function placeOf(root: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}.${String(part)}`),
    root,
  );
}

/**
 * Parses `value`, a part of a request.
 *
 * @param root - `body`, `query` or `path`: begins the place of each fault
 * @throws HubError INVALID_REQUEST with `details.issues`
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, value: unknown, root: string): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => ({ path: placeOf(root, path).slice(0, 200), message }));
  const [first] = issues;
  throw new HubError({
    code: "INVALID_REQUEST",
    message: `${first?.path ?? root}: ${first?.message ?? "is not valid"}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ""}`,
    details: { issues },
  });
}
