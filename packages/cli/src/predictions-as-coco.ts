import { dirname, relative, resolve } from "node:path";
import { type CocoDataset, mask, xyxyToXywh } from "@seg/coco-dataset";
import type { OverlayInstance } from "@seg/coco-dataset/preview";
import { commonParent, IMAGES_DIR_KEY } from "./files.js";

/** What a model found on one picture. */
export interface PredictedPicture {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly instances: readonly (OverlayInstance & { readonly score: number })[];
}

/**
 * Predictions as a COCO file that labelling tools open: class index + 1 is the category, masks are run lengths, `score` stays with each object.
 * File names are relative to the deepest folder that holds all pictures, which the file names.
 * @param names - of the model's classes by index
 */
export function predictionsAsCoco({
  pictures,
  names,
}: {
  readonly pictures: readonly PredictedPicture[];
  readonly names: readonly string[];
}): CocoDataset {
  const root = commonParent(pictures.map(({ file }) => dirname(resolve(file))));
  let id = 0;
  return {
    images: pictures.map(({ file, width, height }, i) => ({
      id: i + 1,
      file_name: relative(root, resolve(file)).replaceAll("\\", "/"),
      width,
      height,
    })),
    categories: names.map((name, index) => ({ id: index + 1, name })),
    annotations: pictures.flatMap(({ instances }, i) =>
      instances.map(({ classId, score, box, mask: rle }) => {
        const bbox = xyxyToXywh(box);
        return {
          id: ++id,
          image_id: i + 1,
          category_id: classId + 1,
          bbox,
          area: rle === undefined ? bbox[2] * bbox[3] : mask.area(rle),
          iscrowd: 0,
          score,
          ...(rle === undefined ? {} : { segmentation: { size: rle.size, counts: mask.toString(rle) } }),
        };
      }),
    ),
    [IMAGES_DIR_KEY]: root,
  };
}
