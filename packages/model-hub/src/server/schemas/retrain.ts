import { z } from "zod";
import { SweepPruning, SweepVariationInput } from "../../training/sweep-service.js";
import { Count, component, JsonObject, Name, VersionRef } from "./common.js";
import { Comparison, Metrics } from "./versions.js";

export const RetrainBody = component(
  "RetrainRequest",
  z.strictObject({
    model: Name.optional(),
    use_database: z
      .boolean()
      .optional()
      .describe("True: every stored data set of the trainer's schema; false: `dataset_name`. Default: true"),
    dataset_name: Name.nullish().describe("Required when `use_database` is false"),
    epochs: z.number().int().min(1).max(10_000).optional(),
    batch_size: z.number().int().min(1).max(1024).optional(),
    learning_rate: z.number().gt(0).max(1).optional(),
    hidden_size: z
      .number()
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe("LoRA rank for adapter trainers, there at most 256"),
    params: JsonObject.optional().describe("Of the trainer"),
    seed: z.number().int().min(0).max(0xffff_ffff).optional(),
    trainer: z.string().min(1).max(128).optional(),
    base_version: VersionRef.optional(),
    description: z.string().max(10_000).optional(),
  }),
);

export const RetrainPreview = component(
  "RetrainPreview",
  z.object({
    config: z.object({
      model: z.string(),
      trainer: z.string(),
      use_database: z.boolean(),
      datasets: z.array(z.string()),
      records: Count,
      dataset_fingerprint: z.string(),
      epochs: z.number(),
      batch_size: z.number(),
      learning_rate: z.number(),
      hidden_size: z.number(),
      params: JsonObject,
      seed: z.number(),
      base_version: z.string().nullable(),
      description: z.string(),
      sources: z.record(z.string(), z.enum(["request", "advisor", "trainer"])).describe("Where each number came from"),
    }),
    estimate: z.object({ steps: Count, seconds: z.number().nullable() }),
    warnings: z.array(z.string()),
  }),
);

export const RetrainResult = component(
  "RetrainResult",
  z.object({
    success: z.literal(true),
    message: z.string(),
    version: z.string(),
    metrics: Metrics,
    training_time: z.number(),
    comparison: Comparison.nullable().describe("a = the version active before, b = the new one"),
    suggest_activation: z.boolean(),
    job_id: z.string(),
  }),
);

export const Trainers = component(
  "Trainers",
  z.object({
    trainers: z.array(
      z.object({
        id: z.string(),
        description: z.string(),
        dataset_schema: z.string(),
        max_hidden_size: Count,
        defaults: z.object({
          epochs: z.number(),
          batch_size: z.number(),
          learning_rate: z.number(),
          hidden_size: z.number(),
        }),
      }),
    ),
  }),
);

export const SweepBody = component(
  "SweepRequest",
  z.strictObject({
    retrain: RetrainBody.describe("What every trial starts from"),
    variation: SweepVariationInput,
    metric: z.enum(["accuracy", "precision", "recall", "f1_score", "map50", "map50_95", "mask_iou", "loss"]).optional(),
    seed: z.number().int().min(0).optional(),
    max_trials: z.number().int().min(1).max(256).optional(),
    prune: SweepPruning.partial()
      .nullable()
      .optional()
      .describe("Ends a trial early that is below the median of others at the same epoch. Default: none is"),
  }),
);
