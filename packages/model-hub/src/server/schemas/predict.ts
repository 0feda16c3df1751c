import { z } from "zod";
import { Count, component, Name, VersionRef } from "./common.js";

/** A number of a form, which is text. */
const share = z
  .string()
  .regex(/^(?:0(?:\.\d+)?|1(?:\.0+)?)$/, "give a number from 0 to 1")
  .transform(Number);

export const PredictFields = z.strictObject({
  model: Name.optional(),
  version: VersionRef.optional().describe("Default: the active version"),
  confidence: share.optional().describe("Lowest score that is kept. Default: 0.25 for students, 0.35 for teachers"),
  iou: share.optional().describe("Overlap above which the weaker detection goes. Default: 0.7"),
});

export const Prediction = component(
  "Prediction",
  z.strictObject({
    version: z.string(),
    width: Count,
    height: Count,
    milliseconds: z.number().describe("From picture to objects; loading a teacher counts, loading a student does not"),
    instances: z.array(
      z.strictObject({
        class_id: Count,
        name: z.string(),
        score: z.number(),
        bbox: z.array(z.number()).length(4).describe("x, y, width, height in pixels"),
        segmentation: z
          .strictObject({ size: z.array(Count).length(2), counts: z.string() })
          .optional()
          .describe("Compressed RLE of COCO"),
      }),
    ),
  }),
);
