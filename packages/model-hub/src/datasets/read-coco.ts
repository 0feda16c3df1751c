import { type CocoDataset, loadDataset, validateDataset } from "@seg/coco-dataset";
import { HubError } from "../errors.js";
import { isSafeRelativePath } from "../internal/safe-path.js";
import { MAX_ISSUES } from "./read-csv.js";

/** What a COCO document holds. */
export interface CocoContent {
  /** Images with at least one annotation. */
  readonly annotatedImages: number;
  readonly images: number;
  readonly annotations: number;
  readonly classes: ReadonlyMap<string, number>;
  readonly warnings: readonly string[];
}

/**
 * Reads and checks a COCO document.
 *
 * @param imagesDirectory - where its images must lie; without it files are not looked at
 * @throws {@link HubError} SCHEMA with the first 20 problems in `errors`
 */
export async function readCoco(
  path: string,
  { imagesDirectory, signal }: { imagesDirectory?: string; signal?: AbortSignal | undefined } = {},
): Promise<CocoContent> {
  let dataset: CocoDataset;
  try {
    dataset = await loadDataset(path, signal === undefined ? {} : { signal });
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    if (typeof code !== "string" || !code.startsWith("coco/")) throw error;
    throw new HubError({
      code: "SCHEMA",
      message: `This is no COCO document: ${message} Nothing was stored.`,
      cause: error,
      details: {
        errors: [
          { message, ...("path" in (error as object) ? { path: String((error as { path: unknown }).path) } : {}) },
        ],
      },
    });
  }
  const outside = dataset.images.find(({ file_name }) => !isSafeRelativePath(file_name));
  if (outside !== undefined) {
    throw new HubError({
      code: "SCHEMA",
      message: `Image ${outside.id} has the file name ${JSON.stringify(outside.file_name)}, which could leave its folder. Nothing was stored.`,
      details: { errors: [{ path: "images", message: `file_name of image ${outside.id} leaves its folder` }] },
    });
  }
  const { report } = await validateDataset(dataset, {
    ...(imagesDirectory === undefined ? {} : { imagesDir: imagesDirectory }),
    ...(signal === undefined ? {} : { signal }),
  });
  const errors = report.findings.filter(({ severity }) => severity === "error");
  if (errors.length > 0) {
    throw new HubError({
      code: "SCHEMA",
      message: `The COCO document has ${errors.length} kinds of errors, the first: ${errors[0]!.message} Nothing was stored.`,
      details: { errors: errors.slice(0, MAX_ISSUES).map(({ code, message }) => ({ path: code, message })) },
    });
  }
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  const classes = new Map<string, number>();
  const annotated = new Set<number>();
  for (const { image_id, category_id } of dataset.annotations) {
    annotated.add(image_id);
    const name = names.get(category_id) ?? String(category_id);
    classes.set(name, (classes.get(name) ?? 0) + 1);
  }
  const warnings = report.findings.filter(({ severity }) => severity === "warn").map(({ message }) => message);
  return {
    annotatedImages: annotated.size,
    images: dataset.images.length,
    annotations: dataset.annotations.length,
    classes,
    warnings,
  };
}
