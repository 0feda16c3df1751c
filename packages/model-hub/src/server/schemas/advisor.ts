import { z } from "zod";
import { MODEL_KINDS } from "../../sources/model-kinds.js";
import { Count, component, Instant, Name, Sha256 } from "./common.js";

const Fact = z.union([z.string().max(256), z.number(), z.boolean(), z.null()]);
const Facts = z.record(z.string().max(64), Fact);
const Id = z.string().min(1).max(256);
const Priority = z.enum(["quality", "balanced", "speed", "memory"]);
const Stars = z.number().int().min(1).max(5).nullable().optional();

export const FingerprintBody = z.strictObject({ dataset_name: Name });
export const Fingerprint = component(
  "Fingerprint",
  z.looseObject({
    schema: z.literal(1),
    images: Count,
    annotations: Count,
    classes: Count,
    has_bbox: z.boolean(),
    has_segmentation: z.boolean(),
    dataset_sha256: Sha256,
  }),
);

const Words = z.array(z.string().max(256)).max(256).optional();
/** Loose: a hit of a search is one as it is. */
const Adapter = z.looseObject({
  id: Id,
  name: z.string().min(1).max(256),
  kind: z.enum(MODEL_KINDS).optional(),
  base_model: z.string().max(256).nullish(),
  licence: z.string().max(256).nullish(),
  owner: z.string().max(256).nullish(),
  downloads: z.number().min(0).nullish(),
  rating: z.number().min(0).max(5).nullish(),
  tags: Words,
  description: z.string().max(20_000).optional(),
  trigger_words: Words,
  target_modules: Words,
  class_names: Words,
  exclusive_group: z.string().max(64).optional(),
  safety: z.looseObject({ safe_format: z.boolean().nullish(), pickle_scan: z.string().max(64).nullish() }).optional(),
});

export const RecommendBody = z.strictObject({
  dataset_name: Name,
  task: z.string().max(2000).optional(),
  mode: z.enum(["auto", "assisted", "manual"]).optional(),
  priority: Priority.optional(),
  precision: z.number().min(0).max(1).optional(),
  domain: z.string().max(64).optional(),
  constraints: z
    .strictObject({
      device: z.enum(["cpu", "accelerator"]).optional(),
      free_bytes: z.number().positive().optional(),
      max_latency_ms: z.number().positive().optional(),
      gflops_per_second: z.number().positive().optional(),
      max_model_bytes: z.number().positive().optional(),
      permissive_only: z.boolean().optional(),
    })
    .optional(),
  overrides: Facts.optional(),
  adapters: z
    .array(Adapter)
    .max(1000)
    .optional()
    .describe("Adapters to choose from, such as the hits of a search; the plan says which suit the task and why"),
});

export const ConfirmBody = z.strictObject({ plan_id: Id, changes: Facts.optional() });

export const ExplainBody = z.strictObject({
  plan_id: Id,
  level: z.enum(["minimal", "standard", "detailed", "technical"]).optional(),
});

const Value = z.union([Fact, z.array(Fact)]);

export const Plan = component(
  "Plan",
  z.looseObject({
    id: Id,
    mode: z.enum(["auto", "assisted", "manual"]),
    state: z.enum(["proposed", "confirmed"]),
    expires_at: Instant.nullable(),
    fingerprint_sha256: Sha256,
    choices: z.record(z.string(), Value),
    estimates: z.looseObject({ steps: Count, training_seconds: z.number().nullable() }),
    trace: z.array(z.looseObject({ output: z.string(), rule_id: z.string(), reason: z.string(), value: Value })),
    counterfactuals: z.array(z.looseObject({ output: z.string(), fact: z.string(), to: Value })),
    warnings: z.array(z.string()),
  }),
);

export const Explanation = z.strictObject({ plan_id: Id, level: z.string(), text: z.string() });

export const FeedbackBody = z.strictObject({
  run_id: Id,
  rating: Stars,
  quality: Stars,
  accuracy: Stars,
  aesthetic: Stars,
  comment: z.string().max(10_000).nullable().optional(),
  tags: z.array(z.string().min(1).max(64)).max(32).optional(),
  actions: z
    .array(z.enum(["saved", "shared", "regenerated", "exported", "deployed"]))
    .max(5)
    .optional(),
});

export const Feedback = component("Feedback", z.looseObject({ id: Count, run_id: Id, at: Instant }));

export const OwnFeedback = component(
  "OwnFeedback",
  z.strictObject({
    runs: z.array(z.looseObject({ run_id: Id })).describe("Runs that the caller began, with the facts of their data"),
    feedback: z.array(Feedback),
  }),
);
export const ForgottenFeedback = z.strictObject({ runs: Count, feedback: Count });

const Rating = z.number().nullable();
export const FeedbackStatistics = component(
  "FeedbackStatistics",
  z.strictObject({
    runs: Count,
    succeeded: Count,
    failed: Count,
    feedback: Count,
    ratings: z.strictObject({ rating: Rating, quality: Rating, accuracy: Rating, aesthetic: Rating }),
    trend: z.array(z.strictObject({ month: z.string(), count: Count, rating: Rating })),
    top_adapters: z.array(z.looseObject({ adapter: z.string(), runs: Count, successes: Count })),
    most_adjusted: z.array(z.strictObject({ output: z.string(), count: Count, to: Fact })),
    actions: z.record(z.string(), Count),
    tags: z.record(z.string(), Count),
  }),
);

export const Insights = z.strictObject({ insights: z.array(z.string()) });

export const PoolStatus = component(
  "PoolStatus",
  z.looseObject({
    devices: z.array(z.looseObject({ id: z.string(), budget_bytes: z.number(), used_bytes: z.number() })),
    models: z.array(z.looseObject({ key: z.string(), state: z.string(), bytes: z.number(), leases: Count })),
    waiting: Count,
    metrics: z.record(z.string(), Count),
  }),
);

export const CleanupBody = z.strictObject({ target: z.number().min(0).max(1).optional() });
export const Cleaned = z.strictObject({ dropped: z.array(z.string()) });
