import { z } from "zod";

/** Names of models and data sets: also file names on every system. */
export const Name = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/, "use 1 to 128 of A-Z a-z 0-9 . _ -")
  .refine((name) => name !== "." && name !== "..", "is no name");

/** `vYYYYMMDD_HHMMSS`, or an alias of a version. */
export const VersionRef = z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, "name a version, such as v20251111_153045");

export const Instant = z.string().describe("UTC, ISO 8601");
export const Sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe("SHA-256, lower-case hex");
export const Count = z.number().int().min(0);

/** `true` and `false` in a query. */
export const Flag = z.enum(["true", "false"]).transform((text) => text === "true");

/** A whole number in a query. */
export const whole = ({ min, max }: { min: number; max: number }) =>
  z
    .string()
    .regex(/^\d{1,15}$/, "give a whole number")
    .transform(Number)
    .refine((n) => n >= min && n <= max, `give ${min} to ${max}`)
    .describe(`${min} to ${max}`);

export const ModelQuery = z.strictObject({
  model: Name.optional().describe('Which model. Default: "default"'),
});
export const PageQuery = {
  limit: whole({ min: 1, max: 1000 }).optional(),
  cursor: z.string().min(1).max(512).optional().describe("`next_cursor` of the page before"),
};
export const NextCursor = z.string().nullable().describe("Null on the last page");

/** Shared parts of the OpenAPI document; a schema without an id is written where it is used. */
export const components: z.core.$ZodRegistry<{ id: string; description?: string }> = z.registry<{
  id: string;
  description?: string;
}>();

/** Registers `schema` as `#/components/schemas/{id}`. */
export function component<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  components.add(schema, { id });
  return schema;
}

type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
/** Any JSON; named, because it refers to itself. */
const JsonSchema: z.ZodType<JsonValue> = component(
  "Json",
  z.lazy(() =>
    z.union([z.null(), z.boolean(), z.number(), z.string(), z.array(JsonSchema), z.record(z.string(), JsonSchema)]),
  ),
);

/** Any JSON object; its keys belong to a trainer, a tool or the run. */
export const JsonObject = z.record(z.string(), JsonSchema);

component(
  "Problem",
  z.object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.string().describe("Stable; match on this"),
    detail: z.string(),
    request_id: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
);

export const Done = component("Done", z.object({ success: z.literal(true), message: z.string() }));
