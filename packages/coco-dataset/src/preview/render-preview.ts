import { createClassMapping } from "../class-mapping.js";
import type { CocoDataset } from "../document.js";
import { annotationInstances } from "./annotation-instances.js";
import { PreviewError } from "./errors.js";
import { readImage } from "./read-image.js";
import { renderOverlay } from "./render-overlay.js";

/**
 * One image with its annotations: masks, boxes, names.
 *
 * @param input.maxSide - longest side of the result in pixels. @defaultValue 1280
 * @throws PreviewError when the document has no such image or its file cannot be shown; SharpMissingError
 */
export async function renderPreview({
  dataset,
  imageId,
  imagesDir,
  maxSide = 1280,
  format = "png",
}: {
  dataset: CocoDataset;
  imageId: number;
  imagesDir: string;
  maxSide?: number;
  format?: "png" | "jpeg";
}): Promise<Uint8Array> {
  const image = dataset.images.find(({ id }) => id === imageId);
  if (image === undefined) {
    throw new PreviewError({ reason: "empty", message: `The document has no image ${imageId}.` });
  }
  const { instances } = annotationInstances({ dataset, image, mapping: createClassMapping(dataset) });
  return renderOverlay({ image: await readImage(imagesDir, image), instances, maxSide, format });
}
