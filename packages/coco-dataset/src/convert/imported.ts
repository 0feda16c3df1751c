import type { CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoSegmentation } from "../document.js";
import type { Finding } from "../findings.js";

/** Formats that {@link importDataset} recognises by content. */
export type DatasetFormat = "coco" | "lvis" | "yolo" | "voc" | "labelme" | "cvat" | "imagefolder";

/** A dataset that was read from any format. */
export interface ImportedDataset {
  readonly dataset: CocoDataset;
  readonly format: DatasetFormat;
  /** The file that was read, or the folder where the format has many. */
  readonly source: string;
  /** Folder that `file_name` is relative to; null where no picture was found. */
  readonly imagesDir: string | null;
  /** Image ids by split, where the source declares splits; empty otherwise. */
  readonly splits: Readonly<Record<string, readonly number[]>>;
  /** What was left out, approximated or is doubtful; never of severity error (that is an ImportError). */
  readonly findings: readonly Finding[];
}

/** Options of the importers. */
export interface ImportOptions {
  /** Folder of the pictures, where they do not lie below the source. */
  readonly imagesDir?: string;
  /**
   * VOC only: coordinates count from 1 and include the last pixel, as in the official files. By default true for files whose `database`
   * begins with "The VOC", unless a coordinate is 0.
   */
  readonly oneBased?: boolean;
  /** Leave out a category of id 0 with supercategory "none" and no annotations, as some exporters add. @defaultValue false */
  readonly dropDummyCategory?: boolean;
  /** Upright size of a picture; by default from its header through `sharp`. */
  readonly readImageSize?: (path: string) => Promise<{ readonly width: number; readonly height: number }>;
  readonly signal?: AbortSignal;
}

/** One object of a source file. */
export interface ImportedObject {
  readonly label: string;
  readonly bbox?: readonly number[];
  readonly segmentation?: CocoSegmentation;
  readonly keypoints?: readonly number[];
  /** Kept on the annotation as they are. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** One picture of a source file. */
export interface ImportedImage {
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
  readonly objects: readonly ImportedObject[];
  readonly extra?: Readonly<Record<string, unknown>>;
}

/**
 * A COCO document: image and annotation ids from 1 in the order given; categories as declared, then undeclared labels sorted by code
 * unit, so that the order of files does not matter.
 */
export function buildDataset(images: readonly ImportedImage[], declared: readonly CocoCategory[] = []): CocoDataset {
  const ids = new Map(declared.map((category) => [category.name, category.id]));
  const categories: CocoCategory[] = [...declared];
  const labels = new Set(images.flatMap((image) => image.objects.map((object) => object.label)));
  let nextId = declared.reduce((highest, category) => Math.max(highest, category.id), 0) + 1;
  for (const name of [...labels].filter((label) => !ids.has(label)).sort()) {
    ids.set(name, nextId);
    categories.push({ id: nextId++, name });
  }
  const annotations: CocoAnnotation[] = [];
  const records = images.map(({ fileName, width, height, objects, extra }, index): CocoImage => {
    for (const object of objects) {
      annotations.push({
        id: annotations.length + 1,
        image_id: index + 1,
        category_id: ids.get(object.label)!,
        ...(object.bbox === undefined ? {} : { bbox: object.bbox }),
        ...(object.segmentation === undefined ? {} : { segmentation: object.segmentation }),
        ...(object.keypoints === undefined
          ? {}
          : {
              keypoints: object.keypoints,
              num_keypoints: object.keypoints.filter((v, i) => i % 3 === 2 && v > 0).length,
            }),
        iscrowd: 0,
        ...object.extra,
      });
    }
    return { id: index + 1, width, height, file_name: fileName, ...extra };
  });
  return { images: records, categories, annotations };
}
