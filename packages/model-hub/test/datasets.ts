import type { CsvSchema } from "../src/datasets/types.js";

/** A table of another kind than segmentation, as a trainer may declare it. */
export const diabetesSchema: CsvSchema = {
  id: "diabetes",
  description: "Laboratory values and diagnosis",
  columns: [
    { name: "HbA1c", type: "float", required: true, min: 0 },
    { name: "AGE", type: "int", required: true, min: 0, max: 130 },
    { name: "BMI", type: "float", required: true, min: 0 },
    { name: "Gender", type: "string", required: true, values: { M: "M", F: "F" } },
    {
      name: "CLASS",
      type: "string",
      required: true,
      values: {
        N: "Negative",
        P: "Prediabetes",
        Y: "Diabetes",
        Negative: "Negative",
        Prediabetes: "Prediabetes",
        Diabetes: "Diabetes",
      },
    },
  ],
};

/** A COCO document with `images` annotated images of 32x32 pixels. */
export function cocoDocument(images: number, { fileName = (i: number) => `${i}.png` } = {}): string {
  return JSON.stringify({
    images: Array.from({ length: images }, (_, i) => ({
      id: i + 1,
      file_name: fileName(i + 1),
      width: 32,
      height: 32,
    })),
    categories: [
      { id: 1, name: "bag" },
      { id: 2, name: "strap" },
    ],
    annotations: Array.from({ length: images }, (_, i) => ({
      id: i + 1,
      image_id: i + 1,
      category_id: 1 + (i % 2),
      bbox: [2, 3, 10, 12],
      area: 120,
      iscrowd: 0,
      segmentation: [[2, 3, 12, 3, 12, 15, 2, 15]],
    })),
  });
}

/** Bytes as an upload brings them, in pieces. */
export async function* pieces(content: string | Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(content as string);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
