import { createHash } from "node:crypto";
import type { CocoDataset } from "../document.js";

const sha256 = (text: string) => createHash("sha256").update(text, "utf8").digest("hex");

/** SHA-256 (hex) of the ascending ids joined by newlines. */
export function idsSha256(ids: readonly number[]): string {
  return sha256(ids.toSorted((a, b) => a - b).join("\n"));
}

/**
 * SHA-256 (hex) of what a split depends on: canonical JSON (sorted keys, no whitespace) of annotations {category_id, id, image_id},
 * categories {id, name} and images {file_name, height, id, width}, each by ascending id.
 */
export function datasetFingerprint(dataset: CocoDataset): string {
  const byId = (a: { id: number }, b: { id: number }) => a.id - b.id;
  return sha256(
    JSON.stringify({
      annotations: dataset.annotations
        .map(({ category_id, id, image_id }) => ({ category_id, id, image_id }))
        .sort(byId),
      categories: dataset.categories.map(({ id, name }) => ({ id, name })).sort(byId),
      images: dataset.images.map(({ file_name, height, id, width }) => ({ file_name, height, id, width })).sort(byId),
    }),
  );
}
