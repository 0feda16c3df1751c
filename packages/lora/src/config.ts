import { z } from "zod";
import { LoraConfigError } from "./errors.js";

const names = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/**
 * LoRA settings; the meaning and defaults are those of PEFT's `LoraConfig` (snake_case there), with two extensions, `onUnsupported` and
 * `aliases`, that decide how targets are found and are never written to files.
 */
export const loraConfigSchema = z.strictObject({
  /** Rank. */
  r: z.int().positive().default(8),
  /** Numerator of the scaling alpha / r (alpha / sqrt(r) with `useRslora`). */
  loraAlpha: z.number().positive().default(8),
  /** Probability of dropping an element of the adapter's input while training; see `LoraHandle.train`. */
  loraDropout: z.number().min(0).lt(1).default(0),
  /**
   * A string is a regular expression for the whole module path, or "all-linear". A list entry equals a path or ends one ("proj" does not
   * match "q_proj"); beyond PEFT, entries may be globs (`*` within one path component, `**` any), start with `re:` or `.*` for a
   * regular expression, and carry a trailing `.weight`.
   */
  targetModules: names,
  /** Never adapted; same two plain forms. */
  excludeModules: names.nullable().default(null),
  /** Layer indices to keep of a list of targets. */
  layersToTransform: z
    .union([z.int().min(0), z.array(z.int().min(0))])
    .nullable()
    .default(null),
  /** Name of the layer list whose index counts; needs `layersToTransform`. */
  layersPattern: names.nullable().default(null),
  /** Rank by path suffix or regular expression; the first key that matches counts. Alpha is not rescaled. */
  rankPattern: z.record(z.string(), z.int().positive()).default({}),
  /** Alpha by path suffix or regular expression. */
  alphaPattern: z.record(z.string(), z.number().positive()).default({}),
  /** Which biases of the base train: none, those of adapted layers, all. */
  bias: z.enum(["none", "lora_only", "all"]).default("none"),
  /** Scaling alpha / sqrt(r). */
  useRslora: z.boolean().default(false),
  /** Magnitude and direction apart (DoRA); not with `loraBias`. */
  useDora: z.boolean().default(false),
  /** A bias on lora_B. */
  loraBias: z.boolean().default(false),
  /**
   * true: A uniform +-1/sqrt(fan_in); "gaussian": A normal with deviation 1/r; B is zero in both. false: B is random, too, so that the adapter
   * changes the output from the start; for tests.
   */
  initLoraWeights: z.union([z.boolean(), z.literal("gaussian")]).default(true),
  /** Modules that train in full, by the end of their path; their tensors are in the adapter's file. */
  modulesToSave: z.array(z.string().min(1)).nullable().default(null),
  taskType: z.string().nullable().default("FEATURE_EXTRACTION"),
  baseModelNameOrPath: z.string().nullable().default(null),
  /** What a target of a kind that cannot be adapted does: fail, or be recorded as skipped. */
  onUnsupported: z.enum(["error", "skip"]).default("error"),
  /** Other names for path parts, tried only for list entries that match nothing, e.g. `{ q_proj: "query" }`. */
  aliases: z.record(z.string(), z.string()).default({}),
  /** Further fields of a PEFT file, passed through. */
  extra: z.record(z.string(), z.unknown()).default({}),
});

/** Parsed settings, every field present. */
export type LoraConfig = z.output<typeof loraConfigSchema>;

/** Settings as callers write them: only `targetModules` is required. */
export type LoraConfigInput = z.input<typeof loraConfigSchema>;

/** Fills in the defaults. @throws {@link LoraConfigError} naming every field at fault */
export function parseLoraConfig(settings: LoraConfigInput): LoraConfig {
  const result = loraConfigSchema.safeParse(settings);
  if (result.success) return result.data;
  throw new LoraConfigError({
    issues: result.error.issues.map(({ path, message }) => ({ field: path.join(".") || "settings", message })),
  });
}
