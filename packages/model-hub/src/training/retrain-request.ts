import { z } from "zod";
import { modelName } from "../registry/parse.js";

/** Body of `POST /model/retrain`. */
export const retrainRequest = z
  .strictObject({
    model: modelName.default("default"),
    use_database: z.boolean().default(true),
    dataset_name: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,128}$/, "not a dataset name")
      .optional(),
    epochs: z.number().int().min(1).max(10_000).optional(),
    batch_size: z.number().int().min(1).max(1024).optional(),
    learning_rate: z.number().gt(0).max(1).optional(),
    hidden_size: z.number().int().min(1).max(4096).optional(),
    params: z.record(z.string(), z.unknown()).default({}),
    seed: z
      .number()
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0),
    trainer: z.string().min(1).max(128).optional(),
    base_version: z.string().min(1).max(128).optional(),
    description: z.string().max(10_000).default(""),
  })
  .refine(({ use_database, dataset_name }) => use_database || dataset_name !== undefined, {
    path: ["dataset_name"],
    message: "needed when use_database is false",
  });
