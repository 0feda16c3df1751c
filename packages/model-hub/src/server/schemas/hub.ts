import { z } from "zod";
import { MODEL_KINDS, SORT_KEYS } from "../../sources/model-kinds.js";
import { Count, component, Flag, NextCursor, whole } from "./common.js";

/** `a,b`: every part one of `values`. */
const listOf = <Value extends string>(values: readonly [Value, ...Value[]]) =>
  z
    .string()
    .max(500)
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(values)).min(1))
    .describe(`Comma separated: ${values.join(", ")}`);

const text = (max: number) => z.string().min(1).max(max).optional();

export const SearchParameters = z.strictObject({
  text: text(500),
  sources: listOf(["hf", "civitai", "url", "local", "catalogue"]).optional(),
  kinds: listOf([...MODEL_KINDS] as [string, ...string[]]).optional(),
  task: text(100),
  base_model: text(200),
  licence: text(100),
  owner: text(100),
  tags: z
    .string()
    .max(2000)
    .transform((list) => list.split(",").filter((tag) => tag !== ""))
    .optional()
    .describe("Comma separated"),
  library: text(100),
  format: text(50),
  min_downloads: whole({ min: 0, max: 1_000_000_000 }).optional(),
  gated: Flag.optional(),
  nsfw: Flag.optional(),
  permissive_only: Flag.optional(),
  sort: z.enum(SORT_KEYS).optional(),
  limit: whole({ min: 1, max: 1000 }).optional(),
  cursor: text(4000),
});

export const Hit = component(
  "ModelHit",
  z.looseObject({
    source: z.string(),
    id: z.string().describe("Canonical: hf:owner/name, civitai:model@version, url:..., local:..., catalogue:..."),
    name: z.string(),
    kind: z.string(),
    kinds: z.array(z.string()),
    licence: z.string().nullable(),
    downloads: z.number().nullable(),
    gated: z.boolean(),
    tags: z.array(z.string()),
    origins: z.array(z.string()),
  }),
);

export const SearchPage = component(
  "SearchPage",
  z.object({
    hits: z.array(Hit),
    warnings: z.array(z.object({ source: z.string(), code: z.string(), message: z.string() })),
    next_cursor: NextCursor,
  }),
);

export const Catalogue = component(
  "Catalogue",
  z.object({
    entries: z.array(
      z.looseObject({ id: z.string(), family: z.string(), licence: z.string(), files: z.array(z.looseObject({})) }),
    ),
  }),
);

export const HubStatus = component(
  "HubStatus",
  z.object({ models: z.array(z.looseObject({ state: z.enum(["absent", "partial", "installed", "corrupt"]) })) }),
);

export const InstallBody = component(
  "InstallRequest",
  z.strictObject({
    id: z.string().min(1).max(500).describe("A catalogue id or a canonical model id"),
    revision: z.string().min(1).max(200).optional(),
    allow: z.array(z.string().min(1).max(200)).max(100).optional().describe("Globs of files to fetch"),
    ignore: z.array(z.string().min(1).max(200)).max(100).optional(),
    verify: z.enum(["require", "pin", "warn"]).optional(),
    accept_licence: z.boolean().optional().describe("Needed for unknown, non-commercial and gated licences"),
    allow_pickle: z.boolean().optional(),
  }),
);

export const LayerName = z.string().regex(/^layer-[1-9]\d{0,3}$/, "name a layer, such as layer-1");

export const Layers = component(
  "Layers",
  z.object({
    layers: z.array(
      z.looseObject({
        layer: z.string(),
        purpose: z.string(),
        tasks: z.array(z.string()),
        models: z.array(z.looseObject({})),
      }),
    ),
  }),
);

export const ResolvedModel = component("ResolvedModel", z.looseObject({ path: z.string(), sha256: z.string() }));

export const PulledBody = component(
  "LayerPullRequest",
  z.strictObject({
    models: z.array(z.string().min(1).max(200)).max(100).optional().describe("Default: all of the layer"),
    accept_licence: z.boolean().optional(),
  }),
);

/** Text fields of a model upload; they may come before or after `file`. */
export const PushFields = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, "use 1 to 128 of A-Z a-z 0-9 . _ -"),
  architecture: text(128),
  task: text(128),
  licence: text(128),
  source_url: z.url().max(2000).optional(),
  training_data: text(2000),
  input_spec: text(2000),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, "64 hex digits")
    .optional()
    .describe("What the file must have"),
  metrics: z
    .string()
    .max(10_000)
    .transform((json, context) => {
      try {
        return JSON.parse(json) as unknown;
      } catch {
        context.addIssue({ code: "custom", message: "is no JSON" });
        return z.NEVER;
      }
    })
    .pipe(z.record(z.string().max(100), z.number()))
    .optional()
    .describe('JSON object of numbers, such as {"psnr": 40.3}'),
  as_new_version: Flag.optional(),
  accept_licence: Flag.optional().describe("Needed for unknown and non-commercial licences"),
});

export const PushReport = component(
  "PushReport",
  z.looseObject({ skipped: z.boolean().describe("The same bytes were there already"), bytes: Count.optional() }),
);
