import { xywhToXyxy } from "./boxes.js";
import type { CocoAnnotation, CocoDataset, CocoImage } from "./document.js";
import { CocoError } from "./errors.js";
import { segmentationGeometry } from "./geometry.js";
import { usableBbox, usableSegmentation } from "./presence.js";
import { segmentationToRle } from "./segmentation.js";
import type { BoxXywh, ClassMapping, Instance, Rle } from "./types.js";

interface DatasetIndex {
  readonly images: ReadonlyMap<number, CocoImage>;
  readonly categories: ReadonlySet<number>;
  readonly annotations: ReadonlyMap<number, readonly CocoAnnotation[]>;
}

/** Datasets are plain, immutable data: one index per document object. */
const indices = new WeakMap<object, DatasetIndex>();

function indexOf(dataset: CocoDataset): DatasetIndex {
  const known = indices.get(dataset);
  if (known !== undefined) return known;
  const annotations = new Map<number, CocoAnnotation[]>();
  for (const annotation of dataset.annotations) {
    const list = annotations.get(annotation.image_id);
    if (list === undefined) annotations.set(annotation.image_id, [annotation]);
    else list.push(annotation);
  }
  const index: DatasetIndex = {
    images: new Map(dataset.images.map((image) => [image.id, image])),
    categories: new Set(dataset.categories.map((category) => category.id)),
    annotations,
  };
  indices.set(dataset, index);
  return index;
}

/** Annotations of one image in file order. The index is built once per document object. */
export function annotationsOf(dataset: CocoDataset, imageId: number): readonly CocoAnnotation[] {
  return indexOf(dataset).annotations.get(imageId) ?? [];
}

/** The box of an annotation, its own or derived from the segmentation; null where there is none with positive sides. */
function positiveBox(annotation: CocoAnnotation, image: CocoImage): BoxXywh | null {
  let box = usableBbox(annotation);
  const segmentation = usableSegmentation(annotation);
  if (box === null && segmentation !== null) {
    try {
      box = segmentationGeometry(segmentation, image.height, image.width).bbox;
    } catch (error) {
      if (!(error instanceof CocoError)) throw error;
    }
  }
  return box !== null && box[2] > 0 && box[3] > 0 ? box : null;
}

/**
 * Annotations that can be trained on: image and category exist and the box (own or derived) has positive width and height. Crowd
 * regions are left out unless asked for. Zero-size boxes are dropped here; validation names them.
 *
 * @param options.crowd - keep `iscrowd` annotations. @defaultValue false
 */
export function usableAnnotations(dataset: CocoDataset, { crowd = false }: { crowd?: boolean } = {}): CocoAnnotation[] {
  const { images, categories } = indexOf(dataset);
  return dataset.annotations.filter((annotation) => {
    if (annotation.iscrowd === 1 && !crowd) return false;
    const image = images.get(annotation.image_id);
    return image !== undefined && categories.has(annotation.category_id) && positiveBox(annotation, image) !== null;
  });
}

/**
 * The objects of one image: non-crowd usable annotations in file order. Boxes are xyxy pixels, not clipped; `mask` is computed at first
 * access and kept, absent where the annotation has no usable segmentation.
 *
 * @param mapping - annotations of categories that it does not hold are left out
 * @throws RleError at the access of a mask whose run lengths do not fit the image
 */
export function instancesOf(dataset: CocoDataset, imageId: number, mapping: ClassMapping): Instance[] {
  const { images } = indexOf(dataset);
  const image = images.get(imageId);
  if (image === undefined) return [];
  const result: Instance[] = [];
  for (const annotation of annotationsOf(dataset, imageId)) {
    if (annotation.iscrowd === 1) continue;
    const entry = mapping.classes.find((candidate) => candidate.categoryId === annotation.category_id);
    if (entry === undefined) continue;
    const bbox = positiveBox(annotation, image);
    if (bbox === null) continue;
    const keypoints = annotation.keypoints;
    const base = {
      classId: entry.index,
      box: xywhToXyxy(bbox),
      ...(keypoints === undefined || keypoints === null ? {} : { keypoints }),
    };
    const segmentation = usableSegmentation(annotation);
    if (segmentation === null) {
      result.push(base);
      continue;
    }
    let rle: Rle | null = null;
    result.push(
      Object.defineProperty(base, "mask", {
        enumerable: true,
        configurable: true,
        get(): Rle {
          rle ??= segmentationToRle(segmentation, image.height, image.width, { annotationId: annotation.id });
          return rle;
        },
      }),
    );
  }
  return result;
}
