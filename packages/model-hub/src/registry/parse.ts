import { z } from "zod";
import { HubError, type HubErrorCode } from "../errors.js";
import { isSafeRelativePath } from "../internal/safe-path.js";
import { VERSION_NAME } from "./version-name.js";

const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** An alias is no version name and none of the words that mean something by themselves. */
const RESERVED_ALIASES: ReadonlySet<string> = new Set(["latest", "active", "none", "all"]);

const json: z.ZodType = z.lazy(() =>
  z.union([z.null(), z.boolean(), z.number(), z.string(), z.array(json), z.record(z.string(), json)]),
);
const jsonObject = z.record(z.string(), json);

export const modelName = z
  .string()
  .regex(MODEL_NAME, "a model name has 1-128 letters, digits, dots, dashes or underscores, a letter or digit first");
const hex = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${digits}}$`), `expected ${digits} hexadecimal digits`)
    .transform((value) => value.toLowerCase());
const relativePath = z.string().refine(isSafeRelativePath, "a relative path inside the version's folder");
const shortText = z.string().max(256);
export const alias = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "an alias has 1-64 letters, digits, dots, dashes or underscores")
  .refine(
    (value) => !VERSION_NAME.test(value) && !RESERVED_ALIASES.has(value),
    "a version name or reserved word is no alias",
  );
const tags = z.array(z.string().min(1).max(64)).max(64);
const description = z.string().max(10_000);
const nullable = <Schema extends z.ZodType>(schema: Schema) => schema.nullable().optional();
const unique = (values: readonly string[]) => new Set(values).size === values.length;

const file = z.union([
  z.strictObject({ path: relativePath, source: z.string().min(1) }),
  z.strictObject({ path: relativePath, content: z.instanceof(Uint8Array) }),
  z.strictObject({ path: relativePath, sha256: hex(64), md5: hex(32), bytes: z.number().int().nonnegative() }),
]);

export const registerInput = z.strictObject({
  model: modelName.default("default"),
  files: z
    .array(file)
    .max(10_000)
    .default([])
    .refine((files) => unique(files.map(({ path }) => path)), "two files have one path"),
  // Checked by checkMetrics, which names the metric.
  metrics: z.looseObject({}).default({}),
  metric_definition_id: nullable(shortText),
  dataset: z
    .strictObject({ id: nullable(shortText), fingerprint: nullable(shortText), split_hash: nullable(shortText) })
    .default({}),
  parents: z
    .strictObject({ teacher: nullable(shortText), adapter: nullable(shortText), base: nullable(shortText) })
    .default({}),
  params: jsonObject.default({}),
  env: jsonObject.default({}),
  code_commit: nullable(shortText),
  run_id: nullable(shortText.min(1)),
  created_by: nullable(shortText),
  description: description.default(""),
  tags: tags.default([]),
  aliases: z.array(alias).max(16).default([]).refine(unique, "one alias twice"),
});
export type ParsedRegister = z.infer<typeof registerInput>;

export const versionPatch = z.strictObject({
  description: description.optional(),
  tags: tags.optional(),
  aliases: z.array(alias).max(16).refine(unique, "one alias twice").optional(),
});

/** Parses `value`. @throws {@link HubError} `code` with one entry per problem in `details.errors` */
export function parseOrThrow<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
  code: HubErrorCode = "INVALID_REQUEST",
): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const known = schema instanceof z.ZodObject ? `; known: ${Object.keys(schema.shape).join(", ") || "none"}` : "";
  const errors = parsed.error.issues.map((issue) => ({
    path: issue.path.join("."),
    message: `${issue.message}${issue.code === "unrecognized_keys" && issue.path.length === 0 ? known : ""}`,
  }));
  throw new HubError({
    code,
    message: `${what} is not valid: ${errors.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ")}`,
    details: { errors },
  });
}

/** A page's cursor: the sequence number below which it starts. */
export function parseCursor(cursor: string | null | undefined): number | null {
  if (cursor === null || cursor === undefined) return null;
  const decoded = Buffer.from(cursor, "base64url").toString("latin1");
  if (!/^\d{1,15}$/.test(decoded)) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: "The cursor is not one that this service gave. Leave it out to start at the newest entry.",
      details: { errors: [{ path: "cursor", message: "not a cursor" }] },
    });
  }
  return Number(decoded);
}
export const writeCursor = (before: number): string => Buffer.from(String(before), "latin1").toString("base64url");

/** @throws {@link HubError} INVALID_REQUEST outside 1-1000 */
export function parseLimit(limit: number | undefined, fallback = 50): number {
  return parseOrThrow(z.number().int().min(1).max(1000), limit ?? fallback, "limit");
}
