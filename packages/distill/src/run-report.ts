import { join } from "node:path";
import { type ClassMapping, type CocoResult, instancesOf, mask, type RgbImage, type Rle } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import { type MosaicPicture, type RunDirectory, writeReport } from "@seg/train";
import type { BatchLoader, LoadedBatch } from "./batch-loader.js";
import type { StudentEvaluation } from "./evaluate-student.js";
import type { StudentData } from "./train-config.js";

/** Pictures of one mosaic, and mosaics of each kind. */
const PICTURES = 16;
const MOSAICS = 3;
/** Predictions below this confidence are not drawn. */
const SHOWN_CONFIDENCE = 0.25;

type Instance = MosaicPicture["instances"][number];

const nameOf = (mapping: ClassMapping, classId: number): string => mapping.classes[classId]?.name ?? String(classId);

/** A mask at prototype size as one of the network's input: each cell covers whole pixels. */
function enlarged(cells: Uint8Array, side: number, size: number): Rle {
  const scale = size / side;
  const pixels = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) {
    const row = Math.floor(y / scale) * side;
    for (let x = 0; x < size; x++) pixels[y * size + x] = cells[row + Math.floor(x / scale)]!;
  }
  return mask.encode(pixels, size, size);
}

/** The first pictures of a batch with the targets that the losses see. */
function batchPictures({ images, targets }: LoadedBatch, size: number, mapping: ClassMapping): MosaicPicture[] {
  const { batch, truths, side, boxes, classes, valid, masks, hasMask } = targets;
  const plane = size * size * 3;
  return Array.from({ length: Math.min(batch, PICTURES) }, (_, b) => {
    const data = Uint8Array.from(images.subarray(b * plane, (b + 1) * plane), (value) => Math.round(value * 255));
    const instances: Instance[] = [];
    for (let row = b * truths; row < (b + 1) * truths; row++) {
      if (valid[row] !== 1) continue;
      const classId = classes[row]!;
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = boxes.subarray(4 * row, 4 * row + 4);
      const cells = side * side;
      const shown = masks && hasMask?.[row] === 1 ? masks.subarray(row * cells, (row + 1) * cells) : null;
      instances.push({
        classId,
        name: nameOf(mapping, classId),
        box: [x1, y1, x2, y2],
        ...(shown ? { mask: enlarged(shown, side, size) } : {}),
      });
    }
    return { image: { width: size, height: size, data }, instances };
  });
}

/** Predictions of one image: boxes with the mask of the same rank, where there is one. */
function predicted(boxes: readonly CocoResult[], masks: readonly CocoResult[], mapping: ClassMapping): Instance[] {
  return boxes.flatMap(({ bbox, category_id, score }, i): Instance[] => {
    if (!bbox || score < SHOWN_CONFIDENCE) return [];
    const classId = mapping.classes.findIndex(({ categoryId }) => categoryId === category_id);
    const [x, y, w, h] = bbox as unknown as readonly [number, number, number, number];
    const segmentation = masks[i]?.segmentation as { size: readonly [number, number]; counts: string } | undefined;
    const rle = segmentation ? mask.fromString(segmentation.counts, segmentation.size[0], segmentation.size[1]) : null;
    const drawn = { classId, name: nameOf(mapping, classId), box: [x, y, x + w, y + h] as const, score };
    return [{ ...drawn, ...(rle ? { mask: rle } : {}) }];
  });
}

/** Annotations and predictions of the first images of the validation split. */
async function validationMosaics(
  { dataset, imagesDir }: StudentData,
  { detections, maskDetections, skipped }: StudentEvaluation,
  mapping: ClassMapping,
): Promise<Record<string, MosaicPicture[]>> {
  const unreadable = new Set(skipped.map(({ file }) => file));
  const readable = dataset.images.filter(({ file_name }) => !unreadable.has(join(imagesDir, file_name)));
  const result: Record<string, MosaicPicture[]> = {};
  const of = (rows: readonly CocoResult[], id: number) => rows.filter(({ image_id }) => image_id === id);
  for (let k = 0; k < MOSAICS; k++) {
    const labels: MosaicPicture[] = [];
    const found: MosaicPicture[] = [];
    for (const { id, file_name } of readable.slice(k * PICTURES, (k + 1) * PICTURES)) {
      const image: RgbImage = await decodeImage(join(imagesDir, file_name));
      const instances = instancesOf(dataset, id, mapping).map((instance) => ({
        ...instance,
        name: nameOf(mapping, instance.classId),
      }));
      labels.push({ image, instances });
      found.push({ image, instances: predicted(of(detections, id), of(maskDetections, id), mapping) });
    }
    result[`val_batch${k}_labels`] = labels;
    result[`val_batch${k}_pred`] = found;
  }
  return result;
}

/**
 * The pictures of a finished run (see `writeReport` of @seg/train): curves, confusion, labels, the first batches of the first epoch and of the first
 * epoch without mixing, annotations and predictions of the first validation images.
 *
 * @param closedFrom - first epoch (0-based) without mosaics, or null when there is none
 */
export async function writeRunReport({
  run,
  loader,
  imgsz,
  mapping,
  train,
  val,
  evaluation,
  closedFrom,
}: {
  run: RunDirectory;
  loader: BatchLoader;
  imgsz: number;
  mapping: ClassMapping;
  train: StudentData;
  val: StudentData | null;
  evaluation: StudentEvaluation | null;
  closedFrom: number | null;
}): Promise<string[]> {
  const mosaics: Record<string, MosaicPicture[]> = {};
  const epochs = closedFrom === null ? [0] : [0, closedFrom];
  epochs.forEach((epoch, part) => {
    for (let step = 0; step < Math.min(MOSAICS, loader.stepsPerEpoch); step++) {
      mosaics[`train_batch${part * MOSAICS + step}`] = batchPictures(loader.load(epoch, step), imgsz, mapping);
    }
  });
  if (val && evaluation) Object.assign(mosaics, await validationMosaics(val, evaluation, mapping));
  return writeReport(run, {
    labels: train.dataset,
    mosaics,
    ...(val && evaluation
      ? {
          evaluation: {
            dataset: val.dataset,
            detections: evaluation.detections,
            maskDetections: evaluation.maskDetections,
          },
        }
      : {}),
  });
}
