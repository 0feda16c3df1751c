import { join } from "node:path";
import type { CocoDataset } from "../document.js";
import { loadDataset } from "../load/load-dataset.js";
import { detectFormat } from "./detect-format.js";
import { importCvat } from "./import-cvat.js";
import { importImageFolder } from "./import-imagefolder.js";
import { importLabelMe } from "./import-labelme.js";
import { importVoc } from "./import-voc.js";
import type { ImportedDataset, ImportOptions } from "./imported.js";
import { importYolo } from "./yolo/import-yolo.js";

/**
 * Reads a dataset of any known format as COCO: COCO and LVIS JSON, YOLO, Pascal VOC, LabelMe, CVAT for images, image folders with
 * metadata.jsonl. The format follows from the content. Masks keep every pixel; what a format holds that COCO does not is in `findings`.
 *
 * @param path - file or folder
 * @throws CocoFileNotFoundError `coco/file-not-found`
 * @throws FormatError `coco/format`: no known format, or several
 * @throws ImportError `coco/import`: every place that cannot be read, with file and line
 * @throws CocoParseError, CocoSchemaError for COCO documents
 * @example const { dataset, format, imagesDir } = await importDataset("voc2007/"); // format "voc"
 */
export async function importDataset(path: string, options: ImportOptions = {}): Promise<ImportedDataset> {
  const { format, folder, files } = await detectFormat(path);
  const imported = await read();
  return options.dropDummyCategory ? { ...imported, dataset: withoutDummyCategory(imported.dataset) } : imported;

  async function read(): Promise<ImportedDataset> {
    switch (format) {
      case "coco":
        return importCoco(join(folder, files[0]!));
      case "yolo":
        return importYolo(files.length === 0 ? { folder } : { yaml: join(folder, files[0]!) }, options);
      case "voc":
        return importVoc({ folder, files }, options);
      case "labelme":
        return importLabelMe({ folder, files }, options);
      case "cvat":
        return importCvat({ folder, file: files[0]! }, options);
      case "imagefolder":
        return importImageFolder({ folder, files }, options);
    }
  }
}

/** COCO as it is; LVIS is COCO with frequencies, checked categories and file names in coco_url. */
async function importCoco(path: string): Promise<ImportedDataset> {
  const dataset = await loadDataset(path);
  const isLvis =
    dataset.images.some((image) => "neg_category_ids" in image || "not_exhaustive_category_ids" in image) ||
    dataset.categories.some((category) => "frequency" in category && "synset" in category);
  return { dataset, format: isLvis ? "lvis" : "coco", source: path, imagesDir: null, splits: {}, findings: [] };
}

/** Without categories of id 0 and supercategory "none" that no annotation uses. */
function withoutDummyCategory(dataset: CocoDataset): CocoDataset {
  const used = new Set(dataset.annotations.map((annotation) => annotation.category_id));
  const categories = dataset.categories.filter(
    ({ id, supercategory }) => !(id === 0 && supercategory === "none" && !used.has(0)),
  );
  return categories.length === dataset.categories.length ? dataset : { ...dataset, categories };
}
