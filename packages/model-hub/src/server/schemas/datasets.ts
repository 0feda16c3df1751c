import { z } from "zod";
import { Count, component, Instant, Name, Sha256 } from "./common.js";

export const Dataset = component(
  "Dataset",
  z.object({
    name: z.string(),
    format: z.enum(["coco-json", "coco-zip", "csv"]),
    schema: z.string(),
    sha256: Sha256,
    bytes: Count,
    records: Count.describe("Annotated images, or rows of a table of another schema"),
    images: Count,
    annotations: Count,
    classes: z.array(z.object({ name: z.string(), count: Count })),
    created_at: Instant,
    created_by: z.string().nullable(),
    warnings: z.array(z.string()),
  }),
);

export const CsvSchema = component(
  "CsvSchema",
  z.object({
    id: z.string(),
    description: z.string(),
    columns: z.array(
      z.object({
        name: z.string(),
        type: z.enum(["string", "int", "float"]),
        required: z.boolean(),
        values: z.record(z.string(), z.string()).exactOptional(),
        min: z.number().exactOptional(),
        max: z.number().exactOptional(),
      }),
    ),
  }),
);

export const Datasets = component(
  "Datasets",
  z.object({
    datasets: z.array(Dataset),
    total_records: Count,
    min_records: Count.describe("Fewer are refused by retrain"),
    schemas: z.array(CsvSchema).describe("CSV columns that uploads are checked against"),
  }),
);

export const UploadReport = component(
  "UploadReport",
  z.object({
    dataset_name: z.string(),
    sha256: Sha256,
    records: Count,
    warnings: z.array(z.string()),
    existing: z.boolean().describe("The same name and bytes were there already"),
    stored: z.boolean().describe("False for validate_only"),
    dataset: Dataset,
  }),
);

/** Text fields of the upload form; they come before `file`. */
export const UploadFields = z.strictObject({
  dataset_name: Name.optional().describe("Default: the file's name without its extension"),
  schema: z.string().min(1).max(128).optional().describe("CSV schema. Default: segmentation"),
});
