import { join } from "node:path";
import type { PipelineSample } from "@seg/augment";
import {
  annotationPolygons,
  annotationsOf,
  type Box,
  type ClassMapping,
  type CocoDataset,
  type RgbImage,
} from "@seg/coco-dataset";
import { decodeImage, resizeCv2Linear } from "@seg/preprocess";
import { annotationBox } from "./annotation-box.js";
import { BadImageError } from "./errors.js";
import type { NotedAnnotation } from "./teacher/prepare-distillation.js";

/** One object of a {@link TrainingImage}, in the order of its sample's instances. */
export interface TrainingObject {
  readonly annotationId: number;
  /** Trust in the label: 1 for people's, the score for a teacher's. */
  readonly weight: number;
}

/** A decoded image whose long side fits the network, kept in memory for the whole run. */
export interface TrainingImage {
  readonly imageId: number;
  readonly fileName: string;
  /** Pixels and objects of the scaled image; boxes xyxy, labels are class indices, crowds and ignored regions are `iscrowd`. */
  readonly sample: PipelineSample;
  readonly objects: readonly TrainingObject[];
  /** Scaled pixels per original pixel. */
  readonly scale: readonly [x: number, y: number];
}

/** An image that was left out and why. */
export interface SkippedImage {
  readonly file: string;
  readonly reason: string;
}

/**
 * Decodes the images of a dataset and scales them (up or down) to a long side of `imgsz`, with their annotations: unknown
 * categories and boxes without area are left out, crowds stay as regions to ignore. Memory is about 3 imgsz^2 bytes an image.
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
    const boxes: Box[] = [];
    const masks: number[][][] = [];
    const labels: number[] = [];
    const iscrowd: boolean[] = [];
    const objects: TrainingObject[] = [];
    for (const annotation of annotationsOf(dataset, id) as readonly NotedAnnotation[]) {
      const classId = classOf.get(annotation.category_id);
      const box = annotationBox(annotation, record);
      if (classId === undefined || box === null) continue;
      const isCrowd = annotation.iscrowd === 1;
      const rings = withMasks && !isCrowd ? annotationPolygons(annotation, height, width) : [];
      boxes.push([box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy]);
      masks.push(rings.map((ring) => Array.from(ring, (v, i) => v * (i % 2 === 0 ? sx : sy))));
      labels.push(classId);
      iscrowd.push(isCrowd);
      objects.push({ annotationId: annotation.id, weight: annotation.seg_teacher?.weight ?? 1 });
    }
    const sample: PipelineSample = {
      image: { ...image, channels: 3 },
      bboxes: boxes,
      labels,
      iscrowd,
      ...(withMasks ? { masks } : {}),
    };
    images.push({ imageId: id, fileName: file_name, sample, objects, scale: [sx, sy] });
  }
  return { images, skipped };
}
