import { join } from "node:path";
import {
  type ClassMapping,
  type CocoDataset,
  type CocoResult,
  completeDataset,
  createClassMapping,
  type EvalResult,
  evaluate,
  type MaskIouMetrics,
  mask,
  maskIoUMetrics,
  usableAnnotations,
} from "@seg/coco-dataset";
import { decodeOutputs, type LetterboxGeometry, type MaskMode, validationSettings } from "@seg/export/runtime";
import { decodeImage, letterbox } from "@seg/preprocess";
import { BadImageError, ClassMappingMismatchError, EmptySplitError } from "./errors.js";
import { type OperatingPoint, operatingPoint } from "./operating-point.js";
import { type Predictor, sessionPredictor } from "./predictor.js";
import type { SkippedImage } from "./training-images.js";

/** A letterboxed image of an evaluation split, uint8. */
interface EvaluationImage {
  readonly imageId: number;
  readonly data: Uint8Array;
  readonly geometry: LetterboxGeometry;
}

/** A split prepared for repeated evaluation; about 3 imgsz^2 bytes an image. */
export interface EvaluationSet {
  readonly dataset: CocoDataset;
  readonly mapping: ClassMapping;
  readonly imgsz: number;
  readonly images: readonly EvaluationImage[];
  readonly skipped: readonly SkippedImage[];
}

/**
 * Makes sure that class k of a dataset is class k of the student.
 * @throws ClassMappingMismatchError unless the dataset declares exactly the categories of the mapping
 */
export function checkMapping(dataset: CocoDataset, mapping: ClassMapping, where: string): void {
  const names = (value: ClassMapping) => value.classes.map(({ categoryId, name }) => `${categoryId}:${name}`);
  const expected = names(mapping);
  const actual = names(createClassMapping(dataset));
  if (expected.join("\n") !== actual.join("\n")) throw new ClassMappingMismatchError({ where, expected, actual });
}

/**
 * Decodes and letterboxes a split once.
 *
 * @param split - name for errors
 * @throws BadImageError, ClassMappingMismatchError, EmptySplitError
 */
export async function loadEvaluationSet({
  dataset,
  imagesDir,
  mapping = createClassMapping(dataset),
  imgsz,
  onBadImage = "error",
  split = "validation",
  signal,
}: {
  dataset: CocoDataset;
  imagesDir: string;
  mapping?: ClassMapping;
  imgsz: number;
  onBadImage?: "error" | "skip";
  split?: string;
  signal?: AbortSignal;
}): Promise<EvaluationSet> {
  checkMapping(dataset, mapping, `the ${split} split`);
  const images: EvaluationImage[] = [];
  const skipped: SkippedImage[] = [];
  for (const { id, file_name, width, height } of dataset.images) {
    signal?.throwIfAborted();
    const file = join(imagesDir, file_name);
    try {
      const decoded = await decodeImage(file, { expectedSize: { width, height } });
      const { image, geometry } = letterbox(decoded, { size: imgsz });
      images.push({ imageId: id, data: image.data, geometry });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (onBadImage === "error") throw new BadImageError({ file, reason, cause });
      skipped.push({ file, reason });
    }
  }
  if (images.length === 0)
    throw new EmptySplitError({
      split,
      hint: `${dataset.images.length} images declared, ${skipped.length} unreadable.`,
    });
  // Only what can be predicted is judged.
  const kept = new Set(images.map(({ imageId }) => imageId));
  const judged = {
    ...dataset,
    images: dataset.images.filter(({ id }) => kept.has(id)),
    annotations: usableAnnotations(dataset, { crowd: true }).filter(({ image_id }) => kept.has(image_id)),
  };
  return { dataset: completeDataset(judged).dataset, mapping, imgsz, images, skipped };
}

/** Result of {@link evaluateStudent}. */
export interface StudentEvaluation {
  readonly bbox: EvalResult;
  /** Over images whose objects all have masks; null without any, or for a detector. */
  readonly segm: EvalResult | null;
  readonly maskIoU: MaskIouMetrics | null;
  readonly operatingPoint: OperatingPoint;
  readonly maskOperatingPoint: OperatingPoint | null;
  /**
   * `mAP50`, `mAP50-95`, `precision`, `recall`, `fitness` (0.1 mAP50 + 0.9 mAP50-95, boxes plus masks), with masks also
   * `mask_mAP50`, `mask_mAP50-95`, `mask_precision`, `mask_recall`, `mask_IoU`.
   */
  readonly metrics: Readonly<Record<string, number>>;
  /** Rows of a COCO results file, boxes; xywh pixels of the original images. */
  readonly detections: readonly CocoResult[];
  /** The same with masks; empty for a detector. */
  readonly maskDetections: readonly CocoResult[];
  readonly skipped: readonly SkippedImage[];
}

/** Images whose non-crowd annotations all have a segmentation; a detection on an unmasked object would count as false. */
function maskedSubset(dataset: CocoDataset): CocoDataset | null {
  const bare = new Set<number>();
  let masks = 0;
  for (const { image_id, segmentation, iscrowd } of dataset.annotations) {
    if (
      segmentation !== undefined &&
      segmentation !== null &&
      (!Array.isArray(segmentation) || segmentation.length > 0)
    )
      masks += 1;
    else if (iscrowd !== 1) bare.add(image_id);
  }
  if (masks === 0) return null;
  const images = dataset.images.filter(({ id }) => !bare.has(id));
  if (images.length === 0) return null;
  const kept = new Set(images.map(({ id }) => id));
  const annotations = dataset.annotations.filter(({ image_id, segmentation }) => kept.has(image_id) && segmentation);
  return { ...dataset, images, annotations };
}

/** Runs a predictor over a prepared split: COCO result rows with boxes, and with masks where the model has them. */
async function predictSet({
  predictor,
  set,
  batch,
  maxDetections,
  maskMode,
  signal,
}: {
  predictor: Predictor;
  set: EvaluationSet;
  batch: number;
  maxDetections: number;
  maskMode: MaskMode;
  signal?: AbortSignal | undefined;
}): Promise<{ boxes: CocoResult[]; masks: CocoResult[]; segments: boolean }> {
  const { imgsz, images, mapping } = set;
  const numClasses = mapping.classes.length;
  const plane = imgsz * imgsz;
  const boxes: CocoResult[] = [];
  const masks: CocoResult[] = [];
  let segments = false;
  for (let start = 0; start < images.length; start += batch) {
    signal?.throwIfAborted();
    const chunk = images.slice(start, start + batch);
    // The last batch is padded with black images: one shape, one compiled graph.
    const input = new Float32Array(batch * 3 * plane);
    chunk.forEach(({ data }, b) => {
      for (let c = 0; c < 3; c++) {
        const offset = (b * 3 + c) * plane;
        for (let i = 0; i < plane; i++) input[offset + i] = data[i * 3 + c]! / 255;
      }
    });
    const outputs = await predictor.run(input, batch, imgsz);
    segments ||= outputs.output1 !== undefined;
    chunk.forEach(({ imageId, geometry }, batchIndex) => {
      const settings = { ...validationSettings(numClasses), maxDetections, maskMode };
      const found = decodeOutputs({ ...outputs, numClasses, geometry, batchIndex, ...settings });
      for (let i = 0; i < found.scores.length; i++) {
        const [x1, y1, x2, y2] = found.boxes.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
        const row = {
          image_id: imageId,
          category_id: mapping.classes[found.classes[i]!]!.categoryId,
          score: found.scores[i]!,
        };
        boxes.push({ ...row, bbox: [x1, y1, x2 - x1, y2 - y1] });
        const rle = found.masks?.[i];
        if (rle) masks.push({ ...row, segmentation: { size: rle.size, counts: mask.toString(rle) } });
      }
    });
  }
  return { boxes, masks, segments };
}

/**
 * COCO evaluation of a student: confidence 0.001, NMS IoU 0.7, several labels a box; masks at the original resolution.
 *
 * @param options.predictor - or `model`, an exported ONNX file (path or bytes)
 * @param options.set - a prepared split, or `dataset`, `imagesDir`, `imgsz` and optionally `mapping`, `onBadImage`
 * @param options.batch - images per run; exported models with a fixed batch need theirs @defaultValue 1
 * @param options.maxDetections - per image @defaultValue 300
 * @param options.maskMode - @defaultValue "accurate"
 * @throws BadImageError, ClassMappingMismatchError, EmptySplitError
 */
export async function evaluateStudent(
  options: ({ predictor: Predictor } | { model: string | Uint8Array; threads?: number }) &
    ({ set: EvaluationSet } | Parameters<typeof loadEvaluationSet>[0]) & {
      batch?: number;
      maxDetections?: number;
      maskMode?: MaskMode;
      signal?: AbortSignal;
    },
): Promise<StudentEvaluation> {
  const { batch = 1, maxDetections = 300, maskMode = "accurate", signal } = options;
  const set = "set" in options ? options.set : await loadEvaluationSet(options);
  const predictor = "predictor" in options ? options.predictor : await sessionPredictor(options);
  try {
    const found = await predictSet({ predictor, set, batch, maxDetections, maskMode, signal });
    return summarize(set, found);
  } finally {
    if (!("predictor" in options)) await predictor.dispose();
  }
}

/** A statistic of COCO's summary; NaN where it is undefined (no ground truth). */
function stat(result: EvalResult, name: string): number {
  const value = result.stats[result.names.indexOf(name)]!;
  return value < 0 ? Number.NaN : value;
}

function summarize(
  set: EvaluationSet,
  { boxes: detections, masks: maskDetections, segments }: Awaited<ReturnType<typeof predictSet>>,
): StudentEvaluation {
  const bbox = evaluate({ groundTruth: set.dataset, detections, iouType: "bbox", matches: true });
  const point = operatingPoint(bbox);
  const metrics: Record<string, number> = {
    mAP50: stat(bbox, "AP50"),
    "mAP50-95": stat(bbox, "AP"),
    precision: point.precision,
    recall: point.recall,
  };
  let fitness = 0.1 * metrics["mAP50"]! + 0.9 * metrics["mAP50-95"]!;
  const masked = segments ? maskedSubset(set.dataset) : null;
  let segm: EvalResult | null = null;
  let maskIoU: MaskIouMetrics | null = null;
  let maskPoint: OperatingPoint | null = null;
  if (masked) {
    const kept = new Set(masked.images.map(({ id }) => id));
    const rows = maskDetections.filter(({ image_id }) => kept.has(image_id));
    segm = evaluate({ groundTruth: masked, detections: rows, iouType: "segm", matches: true });
    maskIoU = maskIoUMetrics({ groundTruth: masked, detections: rows });
    maskPoint = operatingPoint(segm);
    metrics["mask_mAP50"] = stat(segm, "AP50");
    metrics["mask_mAP50-95"] = stat(segm, "AP");
    metrics["mask_precision"] = maskPoint.precision;
    metrics["mask_recall"] = maskPoint.recall;
    metrics["mask_IoU"] = maskIoU.meanMaskIoU;
    fitness += 0.1 * metrics["mask_mAP50"] + 0.9 * metrics["mask_mAP50-95"];
  }
  metrics["fitness"] = fitness;
  return {
    bbox,
    segm,
    maskIoU,
    operatingPoint: point,
    maskOperatingPoint: maskPoint,
    metrics,
    detections,
    maskDetections,
    skipped: set.skipped,
  };
}
