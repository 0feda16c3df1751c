import { join } from "node:path";
import type { Affine, Sample, SampleInstance } from "@seg/augment";
import {
  annotationPolygons,
  annotationsOf,
  type ClassMapping,
  type CocoDataset,
  type RgbImage,
} from "@seg/coco-dataset";
import { decodeImage, resizeCv2Linear } from "@seg/preprocess";
import { annotationBox } from "./annotation-box.js";
import { BadImageError } from "./errors.js";

/** A decoded image whose long side fits the network, kept in memory for the whole run. */
export interface TrainingImage {
  readonly imageId: number;
  readonly fileName: string;
  /** Pixels and objects of the scaled image; `sourceId` is the annotation id, `matrix` maps original to scaled pixels. */
  readonly sample: Sample;
}

/** An image that was left out and why. */
export interface SkippedImage {
  readonly file: string;
  readonly reason: string;
}

/**
 * Decodes the images of a dataset and scales them (up or down) to a long side of `imgsz`, with their annotations: crowds, unknown
 * categories and boxes without area are left out. Memory is about 3 imgsz^2 bytes an image.
 *
 * @param withMasks - keep polygons
 * @param onBadImage - `error` stops at the first unreadable file, `skip` lists it in `skipped`
 * @throws BadImageError
 */
export async function loadTrainingImages({
  dataset,
  imagesDir,
  mapping,
  imgsz,
  withMasks,
  onBadImage = "error",
  signal,
}: {
  dataset: CocoDataset;
  imagesDir: string;
  mapping: ClassMapping;
  imgsz: number;
  withMasks: boolean;
  onBadImage?: "error" | "skip";
  signal?: AbortSignal;
}): Promise<{ images: TrainingImage[]; skipped: SkippedImage[] }> {
  const classOf = new Map(mapping.classes.map(({ categoryId, index }) => [categoryId, index]));
  const images: TrainingImage[] = [];
  const skipped: SkippedImage[] = [];
  for (const record of dataset.images) {
    signal?.throwIfAborted();
    const { id, file_name, width, height } = record;
    const file = join(imagesDir, file_name);
    let decoded: RgbImage;
    try {
      decoded = await decodeImage(file, { expectedSize: { width, height } });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (onBadImage === "error") throw new BadImageError({ file, reason, cause });
      skipped.push({ file, reason });
      continue;
    }
    const ratio = imgsz / Math.max(width, height);
    const scaledW = Math.max(1, Math.round(width * ratio));
    const scaledH = Math.max(1, Math.round(height * ratio));
    const image = scaledW === width && scaledH === height ? decoded : resizeCv2Linear(decoded, scaledW, scaledH);
    const [sx, sy] = [scaledW / width, scaledH / height];
    const matrix: Affine = [sx, 0, 0, 0, sy, 0];
    const instances: SampleInstance[] = [];
    for (const annotation of annotationsOf(dataset, id)) {
      const classId = classOf.get(annotation.category_id);
      const box = annotationBox(annotation, record);
      if (annotation.iscrowd === 1 || classId === undefined || box === null) continue;
      const rings = withMasks ? annotationPolygons(annotation, height, width) : [];
      instances.push({
        sourceId: annotation.id,
        matrix,
        classId,
        box: [box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy],
        ...(rings.length > 0 ? { polygons: rings.map((ring) => ring.map((v, i) => v * (i % 2 === 0 ? sx : sy))) } : {}),
      });
    }
    images.push({ imageId: id, fileName: file_name, sample: { image, instances } });
  }
  return { images, skipped };
}
