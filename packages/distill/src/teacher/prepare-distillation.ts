import { createHash } from "node:crypto";
import { applyAffine } from "@seg/augment";
import {
  annotationsOf,
  type Box,
  type BoxXywh,
  type ClassMapping,
  type CocoAnnotation,
  type CocoDataset,
  createClassMapping,
  mask as maskAlgebra,
  xywhToXyxy,
  xyxyToXywh,
} from "@seg/coco-dataset";
import { annotationBox } from "../annotation-box.js";
import type { StudentData } from "../train-config.js";
import { applyCalibration, type Calibration, calibrate } from "./calibrate.js";
import { BOX_FLOOR, MAX_BOXES, NMS_IOU, selectDetections } from "./detections.js";
import { cachedImages, featureQuestion } from "./feature-question.js";
import { mergeUnlabelled } from "./merge-unlabelled.js";
import {
  detectionsOf,
  PSEUDO_SCORE,
  RAW_PSEUDO_SCORE,
  type Reconciled,
  reconcile,
  type TeacherDetection,
} from "./reconcile.js";
import { sampleGrid } from "./sample-grid.js";
import { type SweptThreshold, sweepThresholds } from "./sweep-thresholds.js";
import { type CachedImage, type CacheProgress, TeacherCache } from "./teacher-cache.js";
import {
  type DetectionRecord,
  type FeatureMap,
  type FeatureRecord,
  type MaskRecord,
  packLogits,
  type TeacherMask,
  unpackLogits,
} from "./teacher-record.js";
import type { Teachers } from "./teachers.js";

/** Marks what a teacher added to a data set. */
export interface TeacherNote {
  /** Calibrated, where annotations calibrate its class. */
  readonly score: number;
  /** Trust in it as a label: the calibrated score; 1 for a raw one, which ranks answers and is no probability. */
  readonly weight: number;
  /** `label`: trained on. `ignore`: neither object nor background. */
  readonly use: "label" | "ignore";
}

/** An annotation with the note of {@link prepareDistillation}. */
export type NotedAnnotation = CocoAnnotation & { readonly seg_teacher?: TeacherNote };

/** A mask of the cache with its grid. */
export interface CachedMask {
  readonly mask: TeacherMask;
  readonly side: number;
  readonly toModel: MaskRecord["toModel"];
}

/** How many of each there are. */
export interface DistillationCounts {
  /** Images asked about, and those of them without annotations. */
  readonly images: number;
  readonly unlabelled: number;
  /** Annotations that a detection confirms. */
  readonly matched: number;
  /** Labels that the teacher added, and regions it is unsure about. */
  readonly pseudo: number;
  readonly ignored: number;
  readonly masks: number;
  readonly featureMaps: number;
}

/**
 * What a teacher has to say about a training set, reconciled with its annotations. Small things (boxes, scores) are held, masks and features are read from the cache when they
 * are needed.
 */
export interface DistillationData {
  /** Annotations, with the teacher's labels and ignored regions (`iscrowd`) added; both carry `seg_teacher`. */
  readonly data: StudentData;
  /** Names of the parts that answered, for logs. */
  readonly teachers: Readonly<Partial<Record<"detector" | "masks" | "features", string>>>;
  /** Calibrated detection that confirms an annotation; null without one, and for labels that the teacher added: there the label is the detection. */
  detection(annotationId: number): TeacherDetection | null;
  /** Whether there is a mask for an annotation, without reading it. */
  hasMask(annotationId: number): boolean;
  /** Mask of an annotation; null without one. @throws CacheCorruptError */
  mask(annotationId: number): CachedMask | null;
  /** Feature maps of an image; empty without. @throws CacheCorruptError */
  features(imageId: number): readonly FeatureMap[];
  /** Channels of the feature maps by stride; the same for every image. */
  readonly featureChannels: ReadonlyMap<number, number>;
  readonly calibration: Calibration | null;
  /** By class index, where `pseudoScore` is `sweep`; else null. */
  readonly thresholds: readonly SweptThreshold[] | null;
  readonly counts: DistillationCounts;
  /** SHA-256 over everything above; what a checkpoint remembers. */
  readonly hash: string;
  /** Closes the cache. */
  close(): void;
}

/** Options of {@link prepareDistillation}. */
export interface PrepareDistillationOptions {
  readonly teachers: Teachers;
  readonly train: StudentData;
  /** Images that the teacher names alone. */
  readonly unlabelled?: StudentData | null;
  /** Folder of the cache. */
  readonly dir: string;
  /** @defaultValue all categories */
  readonly mapping?: ClassMapping;
  /** Class names that the detector is asked for, by class index. @defaultValue those of the mapping */
  readonly prompts?: readonly string[];
  /** Whether the annotations name every object; false lets the teacher add labels to annotated images too. @defaultValue true */
  readonly exhaustive?: boolean;
  /** Lowest calibrated score of an added label, one number or one per class; `sweep` takes those of the best F1 on the annotations. @defaultValue 0.6; 0.35 for classes that no annotation calibrates */
  readonly pseudoScore?: number | readonly number[] | "sweep";
  /** @defaultValue 0.1 */
  readonly ignoreScore?: number;
  /** @defaultValue "error" */
  readonly onBadImage?: "error" | "skip";
  readonly onProgress?: (progress: CacheProgress & { readonly kind: "boxes" | "masks" | "features" }) => void;
  readonly signal?: AbortSignal;
}

interface Prompt {
  readonly annotationId: number;
  readonly box: Box;
}

/** Run lengths of the pixels inside `box` whose centres the logits call inside. */
function maskOf({ mask, side, toModel }: CachedMask, box: Box, width: number, height: number) {
  const logits = unpackLogits(mask.packed);
  const bitmap = new Uint8Array(width * height);
  for (let y = Math.max(0, Math.floor(box[1])); y < Math.min(height, Math.ceil(box[3])); y++) {
    for (let x = Math.max(0, Math.floor(box[0])); x < Math.min(width, Math.ceil(box[2])); x++) {
      const [u, v] = applyAffine(toModel, x + 0.5, y + 0.5);
      if ((sampleGrid(logits, side, u, v) ?? -1) > 0) bitmap[y * width + x] = 1;
    }
  }
  const rle = maskAlgebra.encode(bitmap, height, width);
  return {
    area: maskAlgebra.area(rle),
    segmentation: { size: [height, width] as const, counts: maskAlgebra.toString(rle) },
  };
}

/**
 * Asks the teachers about every image (once: answers are cached by content), calibrates the detector on the annotations, reconciles its boxes with them, and has every box
 * cut out by the mask teacher. Annotated objects are prompted with their own boxes, added ones with the detector's.
 *
 * @throws BadImageError, CacheKeyMismatchError, the signal's reason
 * @example
 * const distillation = await prepareDistillation({ teachers: { detector, masks }, train, unlabelled, dir: "runs/a/teacher_cache" });
 * trainStudent({ student: "yolov8n-seg", train, distillation, directory: "runs/a/student" });
 */
export async function prepareDistillation({
  teachers,
  train,
  unlabelled = null,
  dir,
  mapping = createClassMapping(train.dataset),
  prompts = mapping.classes.map(({ name }) => name),
  exhaustive = true,
  pseudoScore,
  ignoreScore,
  onBadImage = "error",
  onProgress,
  signal,
}: PrepareDistillationOptions): Promise<DistillationData> {
  const { detector, masks, features } = teachers;
  const merged = mergeUnlabelled(train, unlabelled);
  const { dataset, imagesDir } = merged;
  const classes = mapping.classes.length;
  const classOf = new Map(mapping.classes.map(({ categoryId, index }) => [categoryId, index]));
  const images = cachedImages(merged);
  const cache = new TeacherCache({
    dir,
    teachers: {
      ...(detector ? { detections: detector } : {}),
      ...(masks ? { masks } : {}),
      ...(features ? { features } : {}),
    },
  });
  const run = (kind: "boxes" | "masks" | "features") => ({
    onBadImage,
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress: (progress: CacheProgress) => onProgress({ ...progress, kind }) } : {}),
  });

  const boxKeys = detector
    ? await cache.answer<DetectionRecord>(
        {
          kind: "detections",
          teacher: detector,
          images,
          settings: () => [prompts, BOX_FLOOR, NMS_IOU, MAX_BOXES],
          async ask(pixels) {
            const { width, height } = pixels;
            const found = await detector.detect(pixels, prompts);
            return selectDetections({ ...found, classes, width, height });
          },
        },
        run("boxes"),
      )
    : new Map<number, string>();

  /** Annotated objects of an image in class indices. */
  const truthsOf = ({ id, width, height }: CachedImage) =>
    annotationsOf(dataset, id).flatMap((annotation) => {
      const classId = classOf.get(annotation.category_id);
      const box = annotationBox(annotation, { width, height });
      if (classId === undefined || box === null || annotation.iscrowd === 1) return [];
      return [{ annotationId: annotation.id, classId, box }];
    });
  const recordOf = (id: number) => {
    const key = boxKeys.get(id);
    return key === undefined ? null : (cache.read(key) as DetectionRecord);
  };
  function* labelled() {
    for (const image of images) {
      const record = merged.unlabelled.has(image.id) ? null : recordOf(image.id);
      if (record !== null) yield { ...record, truths: truthsOf(image) };
    }
  }
  const calibration = detector ? calibrate({ classes, images: labelled() }) : null;
  const thresholds =
    calibration !== null && pseudoScore === "sweep"
      ? sweepThresholds({ images: labelled(), calibration, fallback: RAW_PSEUDO_SCORE })
      : null;
  const isRaw = calibration?.classes.map(({ fittedOn }) => fittedOn === "none") ?? [];
  const least =
    pseudoScore === "sweep"
      ? thresholds?.map(({ score }) => score)
      : (pseudoScore ?? isRaw.map((raw) => (raw ? RAW_PSEUDO_SCORE : PSEUDO_SCORE)));

  const confirming = new Map<number, TeacherDetection>();
  const added: NotedAnnotation[] = [];
  const wanted = new Map<number, Prompt[]>();
  let nextId = dataset.annotations.reduce((most, { id }) => Math.max(most, id), 0) + 1;
  const note = (imageId: number, { box, classId, score }: TeacherDetection, use: TeacherNote["use"]): number => {
    const id = nextId++;
    const bbox = xyxyToXywh(box);
    const { categoryId } = mapping.classes[classId]!;
    added.push({
      ...{ id, image_id: imageId, category_id: categoryId, bbox, area: bbox[2] * bbox[3] },
      iscrowd: use === "ignore" ? 1 : 0,
      seg_teacher: { score, weight: isRaw[classId] ? 1 : score, use },
    });
    return id;
  };
  let matched = 0;
  for (const image of images) {
    const truths = truthsOf(image);
    const list: Prompt[] = truths.map(({ annotationId, box }) => ({ annotationId, box }));
    const record = recordOf(image.id);
    if (record !== null && calibration !== null) {
      const logits = applyCalibration(record.logits, calibration);
      const found: Reconciled = reconcile({
        detections: detectionsOf(record.boxes, logits, classes),
        truths,
        isOpen: !exhaustive || merged.unlabelled.has(image.id),
        ...(least === undefined ? {} : { pseudoScore: least }),
        ...(ignoreScore === undefined ? {} : { ignoreScore }),
      });
      for (const [t, detection] of found.matched) confirming.set(truths[t]!.annotationId, detection);
      matched += found.matched.size;
      for (const detection of found.pseudo) {
        list.push({ annotationId: note(image.id, detection, "label"), box: detection.box });
      }
      for (const detection of found.ignored) note(image.id, detection, "ignore");
    }
    if (list.length > 0) wanted.set(image.id, list);
  }

  const maskKeys = masks
    ? await cache.answer<MaskRecord>(
        {
          kind: "masks",
          teacher: masks,
          images,
          settings: ({ id }) => wanted.get(id)?.map(({ box }) => box) ?? null,
          async ask(pixels, { id, width, height }) {
            const boxes = wanted.get(id)!.map(({ box }) => box);
            const answer = await masks.predict(pixels, boxes);
            return { kind: "masks", width, height, ...packedMasks(masks.id, answer, boxes.length) };
          },
        },
        run("masks"),
      )
    : new Map<number, string>();
  const maskPlace = new Map<number, { key: string; index: number }>();
  for (const [imageId, key] of maskKeys) {
    wanted.get(imageId)!.forEach(({ annotationId }, index) => {
      maskPlace.set(annotationId, { key, index });
    });
  }
  const maskOfAnnotation = (annotationId: number): CachedMask | null => {
    const place = maskPlace.get(annotationId);
    if (place === undefined) return null;
    const { side, toModel, masks: list } = cache.read(place.key) as MaskRecord;
    return { side, toModel, mask: list[place.index]! };
  };

  const featureKeys = features
    ? await cache.answer(featureQuestion(features, images), run("features"))
    : new Map<number, string>();
  const featuresOf = (imageId: number): readonly FeatureMap[] => {
    const key = featureKeys.get(imageId);
    return key === undefined ? [] : (cache.read(key) as FeatureRecord).maps;
  };
  const [example] = featureKeys.keys();
  const featureChannels = new Map(
    example === undefined ? [] : featuresOf(example).map(({ stride, channels }) => [stride, channels]),
  );

  const sizes = new Map(images.map((image) => [image.id, image]));
  const labels = added.map((annotation): NotedAnnotation => {
    const cut = annotation.seg_teacher?.use === "label" ? maskOfAnnotation(annotation.id) : null;
    if (cut === null) return annotation;
    const { width, height } = sizes.get(annotation.image_id)!;
    const { area, segmentation } = maskOf(cut, xywhToXyxy(annotation.bbox as BoxXywh), width, height);
    return area > 0 ? { ...annotation, area, segmentation } : annotation;
  });
  const result: CocoDataset = { ...dataset, annotations: [...dataset.annotations, ...labels] };

  const hash = createHash("sha256");
  for (const keys of [boxKeys, maskKeys, featureKeys]) hash.update(JSON.stringify([...keys]));
  hash.update(JSON.stringify([calibration?.classes ?? null, added]));
  const pseudo = labels.filter(({ seg_teacher }) => seg_teacher?.use === "label").length;
  return {
    data: { dataset: result, imagesDir },
    teachers: {
      ...(detector ? { detector: detector.id } : {}),
      ...(masks ? { masks: masks.id } : {}),
      ...(features ? { features: features.id } : {}),
    },
    detection: (id) => confirming.get(id) ?? null,
    hasMask: (id) => maskPlace.has(id),
    mask: maskOfAnnotation,
    features: featuresOf,
    featureChannels,
    calibration,
    thresholds,
    counts: {
      images: images.length,
      unlabelled: merged.unlabelled.size,
      matched,
      pseudo,
      ignored: labels.length - pseudo,
      masks: maskPlace.size,
      featureMaps: featureChannels.size,
    },
    hash: hash.digest("hex"),
    close: () => cache.close(),
  };
}

/** A mask teacher's answer in the form of a record. */
function packedMasks(
  teacher: string,
  { logits, side, iou, toModel }: Awaited<ReturnType<NonNullable<Teachers["masks"]>["predict"]>>,
  length: number,
): Pick<MaskRecord, "side" | "toModel" | "masks"> {
  if (logits.length !== length || iou.length !== length || logits.some((grid) => grid.length !== side * side)) {
    throw new RangeError(`Teacher "${teacher}" returned ${logits.length} masks of side ${side} for ${length} boxes.`);
  }
  const masks = logits.map((grid, i) => ({
    // Predicted IoUs of SAM may leave [0, 1] a little.
    iou: Math.max(0, Math.min(1, iou[i]!)),
    packed: packLogits(grid),
  }));
  return { side, toModel, masks };
}
