import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parse } from "yaml";
import { z } from "zod";
import { HubError } from "../errors.js";

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

/** A comparison with a fact; of several in one condition all must hold. */
const condition = z.strictObject({
  below: z.number().optional(),
  at_least: z.number().optional(),
  is: scalar.optional(),
  one_of: z.array(scalar).optional(),
});

const bounds = { min: z.number().optional(), max: z.number().optional() };

/** How an output is computed from facts and outputs before it, which are named. */
const formula = z.discriminatedUnion("op", [
  /** Product of numbers and named values. */
  z.strictObject({ op: z.literal("product"), of: z.array(z.union([z.number(), z.string()])).min(1) }),
  /** of x (by / at)^exponent. */
  z.strictObject({
    op: z.literal("power"),
    of: z.string(),
    by: z.string(),
    at: z.number().positive(),
    exponent: z.number(),
  }),
  /** at_0 + (at_1 - at_0) x value, rounded to whole numbers. */
  z.strictObject({ op: z.literal("linear"), of: z.string(), at_0: z.number(), at_1: z.number() }),
  /** The same, not rounded. */
  z.strictObject({ op: z.literal("range"), of: z.string(), at_0: z.number(), at_1: z.number() }),
  /** value - less. */
  z.strictObject({ op: z.literal("difference"), of: z.string(), less: z.number(), ...bounds }),
  /** The multiple of `multiple` at or above pixels / value. */
  z.strictObject({
    op: z.literal("pixels_over"),
    pixels: z.number().positive(),
    of: z.string(),
    multiple: z.number().int().positive(),
    ...bounds,
  }),
  /**
   * `pixels_over` with `usual_min`, made smaller by `multiple` until `epochs` of `model` fit into a share of the time budget, but not below what
   * `pixels_over` gives with `min`.
   */
  z.strictObject({
    op: z.literal("pixels_in_time"),
    pixels: z.number().positive(),
    of: z.string(),
    multiple: z.number().int().positive(),
    min: z.number().int().positive(),
    usual_min: z.number().int().positive(),
    max: z.number().int().positive(),
    model: z.string(),
    epochs: z.number().int().positive(),
    share: z.number().gt(0).max(1),
  }),
  /** times x value, rounded; where facts give a time budget at most the epochs of the student that fit into its share, but `min`. */
  z.strictObject({
    op: z.literal("epochs_in_time"),
    of: z.string(),
    times: z.number().positive(),
    share: z.number().gt(0).max(1),
    min: z.number().int().positive(),
  }),
  /** Largest power of two whose training fits in the memory, at most a share of the images. */
  z.strictObject({
    op: z.literal("batch_by_memory"),
    data_share: z.number().positive(),
    /** Images wanted in a step even if that is more than the share of the data. */
    min: z.number().int().positive(),
    max: z.number().int().positive(),
    max_cpu: z.number().int().positive(),
  }),
]);

const rule = z
  .strictObject({
    id: z.string().min(1),
    kind: z.enum(["fixed", "rule", "empirical"]),
    when: z.record(z.string(), condition).default({}),
    value: scalar.optional(),
    /** Names of models, tried in order until one is within the limits. */
    prefer: z.array(z.string()).min(1).optional(),
    formula: formula.optional(),
    reason: z.string().min(1),
  })
  .refine((given) => [given.value, given.prefer, given.formula].filter((way) => way !== undefined).length === 1, {
    message: "a rule has exactly one of value, prefer and formula",
  });

const model = z.strictObject({
  role: z.enum(["detector_teacher", "mask_teacher", "student"]),
  /** Bytes at float32. */
  weights: z.number().positive(),
  licence: z.string().optional(),
  official_weights_licence: z.string().optional(),
  /** Of one image of 640 px. */
  gflops: z.number().positive().optional(),
  /** Published box mAP50-95 on COCO val2017; null: none published. */
  quality: z.number().nullable().optional(),
  training_bytes: z.strictObject({ fixed: z.number().nonnegative(), per_pixel: z.number().positive() }).optional(),
});

const limit = z.strictObject({ value: z.number().positive(), kind: z.enum(["fixed", "rule", "empirical"]) });

const rules = z
  .strictObject({
    version: z.literal(1),
    models: z.record(z.string(), model),
    limits: z.strictObject({
      teacher_memory_factor: limit,
      memory_share: limit,
      training_seconds_per_gflop: limit.optional(),
    }),
    collect: z.array(z.string()).default([]),
    outputs: z.record(z.string(), z.array(rule).min(1)),
  })
  .superRefine(({ models, outputs }, context) => {
    const ids = new Set<string>();
    for (const [output, list] of Object.entries(outputs)) {
      for (const [at, { id, prefer = [] }] of list.entries()) {
        const path = ["outputs", output, at];
        if (ids.has(id)) context.addIssue({ code: "custom", path, message: `the id "${id}" is used twice` });
        ids.add(id);
        for (const name of prefer) {
          if (!Object.hasOwn(models, name)) {
            context.addIssue({ code: "custom", path, message: `"${name}" is not among the models` });
          }
        }
      }
    }
  });

/** The rules of the advisor: data, replaceable as a whole. */
export type AdvisorRules = z.infer<typeof rules>;
/** One rule of an output. */
export type AdvisorRule = z.infer<typeof rule>;
/** A comparison with a fact. */
export type Condition = z.infer<typeof condition>;
/** What the rules know about a model. */
export type AdvisedModel = z.infer<typeof model>;

/**
 * Reads rules from YAML.
 * @param source - where they come from, for messages
 * @throws HubError `INVALID_REQUEST` naming the place
 */
export function parseRules(text: string, source = "the rules"): AdvisorRules {
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `${source} are no YAML: ${(cause as Error).message}`,
      cause,
    });
  }
  const result = rules.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new HubError({
    code: "INVALID_REQUEST",
    message: `${source} are wrong at ${issue!.path.join(".") || "the top"}: ${issue!.message}.`,
    details: { issues: result.error.issues.map(({ path, message }) => ({ path: path.join("."), message })) },
  });
}

let shipped: AdvisorRules | null = null;

/** The rules of this package, `rules/advisor.yaml`. */
export function defaultRules(): AdvisorRules {
  const path = createRequire(import.meta.url).resolve("@seg/model-hub/advisor-rules.yaml");
  shipped ??= parseRules(readFileSync(path, "utf8"), path);
  return shipped;
}
