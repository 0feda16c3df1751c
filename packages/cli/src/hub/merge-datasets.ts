import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import { HubError, type OpenDataset } from "@seg/model-hub";

/**
 * One COCO document of several data sets: categories by name, ids renumbered, file names relative to `root`.
 * @throws HubError NO_ANNOTATIONS when a data set came without images
 */
export async function mergeDatasets(datasets: readonly OpenDataset[], root: string): Promise<CocoDataset> {
  const categories: { id: number; name: string }[] = [];
  const images: Record<string, unknown>[] = [];
  const annotations: Record<string, unknown>[] = [];
  for (const { record, directory, annotations: file, images: folder } of datasets) {
    if (file === null || folder === null) {
      throw new HubError({
        code: "NO_ANNOTATIONS",
        message: `Data set ${record.name} has no images. Upload a .zip that holds the images beside the COCO file.`,
        details: { dataset: record.name },
      });
    }
    const coco = JSON.parse(await readFile(resolve(directory, file), "utf8")) as CocoDataset;
    const categoryIds = new Map<number, number>();
    for (const { id, name } of coco.categories) {
      let known = categories.find((category) => category.name === name);
      if (known === undefined) {
        known = { id: categories.length + 1, name };
        categories.push(known);
      }
      categoryIds.set(id, known.id);
    }
    const imageIds = new Map<number, number>();
    for (const image of coco.images) {
      imageIds.set(image.id, images.length + 1);
      images.push({
        ...image,
        id: images.length + 1,
        file_name: relative(root, resolve(directory, folder, image.file_name)).replaceAll("\\", "/"),
      });
    }
    for (const annotation of coco.annotations) {
      annotations.push({
        ...annotation,
        id: annotations.length + 1,
        image_id: imageIds.get(annotation.image_id),
        category_id: categoryIds.get(annotation.category_id),
      });
    }
  }
  return { images, annotations, categories } as unknown as CocoDataset;
}
