import type { CocoAnnotation, CocoCategory, CocoDataset, CocoImage } from "@seg/coco-dataset";
import { HubError } from "../errors.js";
import { byFile, fileKey } from "./by-file.js";

/** Result of {@link correctionsDataset}. */
export interface CorrectionsDataset {
  /** What was corrected, alone. Its ids are those of `merged`. */
  readonly corrections: CocoDataset;
  /** The data set with the corrections in it; null without a data set. */
  readonly merged: CocoDataset | null;
  /** Images of the data set whose annotations the corrections replace. */
  readonly replaced: number;
}

/**
 * Corrections of a person as a data set that trains the next model: every image that was predicted on and looked at, with what the person left
 * on it. An image on which nothing is left is a negative, which teaches as well. Categories are those of the data set by name, new ones behind
 * them; scores of the model go; ids are new where there is a data set.
 *
 * @param base - data set that the model was trained on; its images of the same file name are replaced in `merged`
 * @throws HubError `INVALID_REQUEST` where no image was both predicted on and corrected, or two have one name
 */
export function correctionsDataset({
  predicted,
  corrected,
  base = null,
}: {
  readonly predicted: CocoDataset;
  readonly corrected: CocoDataset;
  readonly base?: CocoDataset | null;
}): CorrectionsDataset {
  const seen = byFile(predicted, "The predictions");
  const looked = [...byFile(corrected, "The corrections").values()].filter((image) => seen.has(fileKey(image)));
  if (looked.length === 0) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `No image of the corrections (${corrected.images.length}) is one of the predictions (${predicted.images.length}): images are the same by file name.`,
    });
  }
  const categories = [...(base?.categories ?? predicted.categories)];
  const known = new Map(categories.map(({ id, name }) => [name, id]));
  const categoryIds = new Map<number, number>();
  for (const category of corrected.categories) {
    let id = known.get(category.name);
    if (id === undefined) {
      id = highest(categories) + 1;
      known.set(category.name, id);
      categories.push({ ...category, id } as CocoCategory);
    }
    categoryIds.set(category.id, id);
  }
  const old = base === null ? new Map<string, CocoImage>() : byFile(base, "The data");
  let nextImage = highest(base?.images ?? []) + 1;
  let nextAnnotation = highest(base?.annotations ?? []) + 1;
  const imageIds = new Map<number, number>();
  const images = looked.map((image): CocoImage => {
    const key = fileKey(image);
    const before = old.get(key);
    const id = before?.id ?? nextImage++;
    imageIds.set(image.id, id);
    // The tool may have lost the folder; who predicted knows where the file lies.
    return { ...image, ...(before ?? seen.get(key)), id } as CocoImage;
  });
  const annotations = corrected.annotations.flatMap((annotation): CocoAnnotation[] => {
    const image_id = imageIds.get(annotation.image_id);
    const category_id = categoryIds.get(annotation.category_id);
    if (image_id === undefined || category_id === undefined) return [];
    const { score: _score, ...rest } = annotation;
    return [{ iscrowd: 0, ...rest, id: nextAnnotation++, image_id, category_id } as CocoAnnotation];
  });
  const replaced = new Set(images.map(({ id }) => id));
  const merged =
    base === null
      ? null
      : {
          ...base,
          images: [...base.images, ...images.filter((image) => !old.has(fileKey(image)))],
          categories,
          annotations: [...base.annotations.filter(({ image_id }) => !replaced.has(image_id)), ...annotations],
        };
  return {
    corrections: { images, categories, annotations },
    merged,
    replaced: images.filter((image) => old.has(fileKey(image))).length,
  };
}

const highest = (rows: readonly { readonly id: number }[]): number =>
  rows.reduce((top, { id }) => Math.max(top, id), 0);
