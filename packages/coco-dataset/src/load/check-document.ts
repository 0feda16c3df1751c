import type { CocoDataset } from "../document.js";
import { CocoParseError, CocoSchemaError } from "../errors.js";

/** The keys that are looked at, none of them trusted yet. */
interface Fields {
  [key: string]: unknown;
  images?: unknown;
  categories?: unknown;
  annotations?: unknown;
  id?: unknown;
  image_id?: unknown;
  category_id?: unknown;
  width?: unknown;
  height?: unknown;
  file_name?: unknown;
  coco_url?: unknown;
  name?: unknown;
  caption?: unknown;
  seg_string_ids?: unknown;
}
const LISTS = ["images", "categories", "annotations"] as const;

/**
 * The parsed value as a COCO document. Only what every reader relies on is checked: the three lists, ids, image size, names. Broken
 * geometry and unknown references are findings of `validateDataset`, not errors here.
 *
 * String ids become integers (rank in the order of their UTF-8 bytes, from 1), the table is kept under `seg_string_ids`.
 *
 * @throws CocoSchemaError with a JSON pointer
 * @throws CocoParseError (reason `id-unsafe`) on an integer id beyond 2^53
 */
export function checkDocument(value: unknown): CocoDataset {
  if (typeof value !== "object" || value === null)
    throw new CocoSchemaError({ path: "", expected: "a COCO object", got: value });
  if (Array.isArray(value)) {
    throw new CocoSchemaError({
      path: "",
      expected: "a COCO object with images, categories and annotations",
      got: value,
      hint: "A results file is a list of detections; pass it to evaluate() instead.",
    });
  }
  const document = value as Fields;
  for (const list of LISTS) {
    if (!Array.isArray(document[list])) {
      throw new CocoSchemaError({
        path: `/${list}`,
        expected: "an array",
        got: document[list],
        hint: document[list] === undefined ? `Add "${list}": [] if there are none.` : "",
      });
    }
  }
  for (const list of LISTS)
    for (const [index, item] of (document[list] as unknown[]).entries()) checkRecord(item, list, index);
  const images = document.images as Fields[];
  const categories = document.categories as Fields[];
  const annotations = document.annotations as Fields[];

  images.forEach(checkImage);
  categories.forEach(checkCategory);
  annotations.forEach(checkAnnotation);
  return withIntegerIds({ document, images, categories, annotations });
}

/** @throws CocoSchemaError unless the element is an object */
export function checkRecord(item: unknown, list: string, index: number): void {
  if (typeof item === "object" && item !== null && !Array.isArray(item)) return;
  throw new CocoSchemaError({ path: `/${list}/${index}`, expected: "an object", got: item });
}

function checkImage(image: Fields, index: number): void {
  checkId(image.id, "images", index, "id");
  for (const side of ["width", "height"]) {
    if (typeof image[side] !== "number" || !Number.isFinite(image[side])) {
      throw new CocoSchemaError({
        path: `/images/${index}/${side}`,
        expected: "a number of pixels",
        got: image[side],
      });
    }
  }
  if (typeof image.file_name !== "string" && typeof image.coco_url !== "string") {
    throw new CocoSchemaError({ path: `/images/${index}/file_name`, expected: "a string", got: image.file_name });
  }
}

function checkCategory(category: Fields, index: number): void {
  checkId(category.id, "categories", index, "id");
  if (typeof category.name !== "string") {
    throw new CocoSchemaError({ path: `/categories/${index}/name`, expected: "a string", got: category.name });
  }
}

function checkAnnotation(annotation: Fields, index: number): void {
  if (annotation.id !== undefined && annotation.id !== null) checkId(annotation.id, "annotations", index, "id");
  checkId(annotation.image_id, "annotations", index, "image_id");
  // COCO captions have no category.
  if (annotation.category_id !== undefined || typeof annotation.caption !== "string") {
    checkId(annotation.category_id, "annotations", index, "category_id");
  }
}

/** Checks of one element by the list that holds it, for readers that never hold the whole document. */
export const CHECK_ELEMENT: Readonly<Record<(typeof LISTS)[number], (item: never, index: number) => void>> = {
  images: checkImage,
  categories: checkCategory,
  annotations: checkAnnotation,
};

function checkId(id: unknown, list: string, index: number, field: string): void {
  if (Number.isSafeInteger(id) || (typeof id === "string" && id.length > 0)) return;
  const path = `/${list}/${index}/${field}`;
  if (typeof id !== "number" || !Number.isInteger(id)) {
    throw new CocoSchemaError({ path, expected: "an integer id", got: id });
  }
  throw new CocoParseError({
    reason: "id-unsafe",
    path,
    message: `${path} is beyond 2^53 and was rounded to ${id} when read. Write large ids as strings.`,
  });
}

function withIntegerIds({
  document,
  images,
  categories,
  annotations,
}: {
  document: Fields;
  images: Fields[];
  categories: Fields[];
  annotations: Fields[];
}): CocoDataset {
  const imageIds = stringIdTable(images.map((image) => image.id));
  const categoryIds = stringIdTable(categories.map((category) => category.id));
  const annotationIds = stringIdTable(annotations.map((annotation) => annotation.id));
  const needsName = images.some((image) => typeof image.file_name !== "string");
  const refersByString = annotations.some((a) => typeof a.image_id === "string" || typeof a.category_id === "string");
  if (!imageIds && !categoryIds && !annotationIds && !needsName && !refersByString)
    return document as unknown as CocoDataset;
  // A reference that no declared id explains stays an orphan: -1 is no id of a table (they start at 1).
  const map = (table: Map<string, number> | null, id: unknown) =>
    table === null ? (typeof id === "string" ? numericId(id) : id) : (table.get(String(id)) ?? -1);
  const result: Fields = {
    ...document,
    images: images.map((image) => ({
      ...image,
      id: map(imageIds, image.id),
      // LVIS v1 has no file_name; its tail of coco_url names the file.
      file_name: typeof image.file_name === "string" ? image.file_name : String(image.coco_url).split("/").at(-1),
    })),
    categories: categories.map((category) => ({ ...category, id: map(categoryIds, category.id) })),
    annotations: annotations.map((annotation) => ({
      ...annotation,
      ...(annotation.id === undefined || annotation.id === null ? {} : { id: map(annotationIds, annotation.id) }),
      image_id: map(imageIds, annotation.image_id),
      ...(annotation.category_id === undefined ? {} : { category_id: map(categoryIds, annotation.category_id) }),
    })),
  };
  const tables = { images: imageIds, categories: categoryIds, annotations: annotationIds };
  const kept = Object.entries(tables).flatMap(([name, table]) =>
    table === null ? [] : [[name, Object.fromEntries(table)]],
  );
  if (kept.length > 0) result.seg_string_ids = Object.fromEntries(kept);
  return result as unknown as CocoDataset;
}

function numericId(id: string): number {
  const value = Number(id);
  return Number.isSafeInteger(value) ? value : -1;
}

/** Null when every id is an integer already. */
function stringIdTable(ids: readonly unknown[]): Map<string, number> | null {
  if (!ids.some((id) => typeof id === "string")) return null;
  const texts = [...new Set(ids.filter((id) => id !== undefined && id !== null).map(String))];
  const sorted = texts.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return new Map(sorted.map((text, index) => [text, index + 1]));
}
