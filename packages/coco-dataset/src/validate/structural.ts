import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import { CocoError } from "../errors.js";
import type { FindingFix } from "../findings.js";
import { isRle, isUsablePart, usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { RawFinding } from "./raw-finding.js";

/**
 * Structural findings of the document as given (named by the ids of its completed copy), and the positions of annotations whose geometry
 * must not be looked at further.
 */
export function structuralFindings(
  dataset: CocoDataset,
  completed: CocoDataset,
): { findings: RawFinding[]; broken: Set<number> } {
  const findings: RawFinding[] = [];
  const error = (code: string, message: string, ids: readonly number[], extra: Partial<RawFinding> = {}) => {
    if (ids.length > 0) findings.push({ code, severity: "error", layer: "structural", message, ids, ...extra });
  };
  const { images, categories, annotations } = dataset;
  const image = { subject: "image" } as const;
  const category = { subject: "category" } as const;

  error(
    "dup_image_id",
    "Several images share an id",
    repeated(images, (item) => item.id),
    image,
  );
  error(
    "dup_category_id",
    "Several categories share an id",
    repeated(categories, (item) => item.id),
    category,
  );
  error(
    "dup_category_name",
    "Several categories share a name",
    repeated(
      categories,
      (item) => item.id,
      (item) => item.name,
    ),
    category,
  );
  error(
    "dup_ann_id",
    "Several annotations share an id",
    repeated(
      annotations.filter((a) => Number.isInteger(a.id)),
      (item) => item.id,
    ),
  );
  error(
    "dup_file_name",
    "Several images share a file name",
    repeated(
      images,
      (item) => item.id,
      (item) => item.file_name,
    ),
    image,
  );
  error(
    "zero_dimensions",
    "Width and height of an image must be positive whole pixels",
    images.filter((i) => !(isPositiveInteger(i.width) && isPositiveInteger(i.height))).map((i) => i.id),
    image,
  );

  const imageById = new Map(images.map((item) => [item.id, item]));
  const categoryIds = new Set(categories.map((item) => item.id));
  const ids = new Map<string, number[]>();
  const broken = new Set<number>();
  annotations.forEach((annotation, index) => {
    const id = completed.annotations[index]!.id;
    for (const { code, isBroken } of problemsOf(annotation, imageById, categoryIds)) {
      const list = ids.get(code);
      if (list === undefined) ids.set(code, [id]);
      else list.push(id);
      if (isBroken) broken.add(index);
    }
  });
  for (const [code, { message, fix }] of Object.entries(ANNOTATION_PROBLEMS)) {
    error(code, message, ids.get(code) ?? [], fix === undefined ? {} : { fix });
  }

  const soft = (
    code: string,
    severity: "warn" | "info",
    message: string,
    list: readonly number[],
    extra: Partial<RawFinding> = {},
  ) => {
    if (list.length > 0) findings.push({ code, severity, layer: "structural", message, ids: list, ...extra });
  };
  soft(
    "ann_id_zero",
    "warn",
    "Id 0 means unmatched to pycocotools; renumber from 1",
    annotations.filter((a) => a.id === 0).map((a) => a.id),
  );
  const used = new Set(annotations.map((a) => a.category_id));
  const dummies = categories.filter((c) => c.id === 0 && c.supercategory === "none" && !used.has(0)).map((c) => c.id);
  soft("dummy_category", "warn", "A placeholder category without annotations counts as a class; remove it", dummies, {
    ...category,
    fix: { kind: "drop-category", safe: false },
  });
  const zero = categories.filter((c) => c.id === 0 && !dummies.includes(0)).map((c) => c.id);
  soft("category_id_zero", "info", "Category id 0 is legal here; CVAT and detectron2 do not accept it", zero, category);
  if (dataset["seg_string_ids"] !== undefined) {
    findings.push({
      code: "id_type_string",
      severity: "info",
      layer: "structural",
      message: "Ids were strings and became integers; the table is kept under seg_string_ids.",
      ids: [],
      count: 1,
      subject: "none",
    });
  }
  return { findings, broken };
}

const DROP: FindingFix = { kind: "drop-annotation", safe: false };

const ANNOTATION_PROBLEMS: Readonly<Record<string, { message: string; fix?: FindingFix }>> = {
  orphan_image: { message: "image_id names no image", fix: DROP },
  orphan_category: { message: "category_id names no category; declare it or correct the id", fix: DROP },
  missing_geometry: { message: "Neither a usable bbox nor a usable segmentation", fix: DROP },
  bad_bbox_len: { message: "bbox must be [x, y, width, height]" },
  non_finite: { message: "A coordinate is not a finite number" },
  bad_polygon: {
    message: "A polygon part must have an even count >= 6 of numbers; the other parts stay in use",
    fix: { kind: "drop-part", safe: true },
  },
  bad_rle: { message: "Run lengths cannot be read or do not sum to height * width; re-encode the mask" },
  rle_size_mismatch: { message: "segmentation.size is not [height, width] of the image" },
};

function problemsOf(
  annotation: CocoAnnotation,
  images: ReadonlyMap<number, CocoImage>,
  categories: ReadonlySet<number>,
): { code: string; isBroken: boolean }[] {
  const problems: { code: string; isBroken: boolean }[] = [];
  const add = (code: string, isBroken = true) => problems.push({ code, isBroken });
  const image = images.get(annotation.image_id);
  const isCaption = typeof annotation.caption === "string";
  if (image === undefined) add("orphan_image");
  if (!categories.has(annotation.category_id) && !(isCaption && annotation.category_id === undefined)) {
    add("orphan_category", false);
  }
  const { bbox, segmentation } = annotation;
  const isBoxPresent = bbox !== undefined && bbox !== null && !(Array.isArray(bbox) && bbox.length === 0);
  if (isBoxPresent && usableBbox(annotation) === null) {
    add(Array.isArray(bbox) && bbox.length === 4 ? "non_finite" : "bad_bbox_len");
  }
  if (Array.isArray(segmentation)) {
    const parts = (segmentation as unknown[]).filter((part) => !(Array.isArray(part) && part.length === 0));
    const bad = parts.filter((part) => !isUsablePart(part));
    const isNonFinite = (part: unknown) => Array.isArray(part) && !part.every(Number.isFinite);
    if (bad.some(isNonFinite)) add("non_finite", bad.length === parts.length);
    if (bad.some((part) => !isNonFinite(part))) add("bad_polygon", bad.length === parts.length);
  } else if (segmentation !== undefined && segmentation !== null && Object.keys(segmentation).length > 0) {
    const code = image === undefined ? null : rleProblem(annotation, image);
    if (code !== null) add(code);
  }
  if (
    usableBbox(annotation) === null &&
    usableSegmentation(annotation) === null &&
    !annotation.keypoints &&
    !isCaption
  ) {
    add("missing_geometry");
  }
  return problems;
}

function rleProblem(annotation: CocoAnnotation, image: CocoImage): "bad_rle" | "rle_size_mismatch" | null {
  const { segmentation } = annotation;
  if (!isRle(segmentation)) return "bad_rle";
  if (segmentation.size[0] !== image.height || segmentation.size[1] !== image.width) return "rle_size_mismatch";
  try {
    segmentationToRle(segmentation, image.height, image.width);
    return null;
  } catch (error) {
    if (error instanceof CocoError) return "bad_rle";
    throw error;
  }
}

/** Ids of the items whose key occurred before. */
function repeated<T>(items: readonly T[], id: (item: T) => number, key: (item: T) => unknown = id): number[] {
  const seen = new Set<unknown>();
  const result: number[] = [];
  for (const item of items) {
    if (seen.has(key(item))) result.push(id(item));
    seen.add(key(item));
  }
  return result;
}

function isPositiveInteger(value: number): boolean {
  return Number.isInteger(value) && value > 0;
}
