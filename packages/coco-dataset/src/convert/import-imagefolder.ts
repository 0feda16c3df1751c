import { readFile } from "node:fs/promises";
import { join, posix, resolve } from "node:path";
import { appendTo } from "./append-to.js";
import { ImportIssues } from "./import-issues.js";
import { buildDataset, type ImportedDataset, type ImportedObject, type ImportOptions } from "./imported.js";
import { locateImages } from "./locate-images.js";

/** Name of the file that describes the pictures of its folder. */
export const METADATA_FILE = "metadata.jsonl";
const SPLITS: Readonly<Record<string, string>> = {
  train: "train",
  val: "val",
  valid: "val",
  validation: "val",
  test: "test",
};

/**
 * Reads an image folder with `metadata.jsonl`: `file_name` and `objects {bbox, categories, id?, area?}` per line, boxes xywh pixels.
 * Categories are names, or numbers (then called class_0, class_1 and so on). Folders named train, val or test become splits.
 *
 * @param files - the metadata files, relative to the folder
 * @throws ImportError naming every line that cannot be read
 */
export async function importImageFolder(
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
  options: ImportOptions = {},
): Promise<ImportedDataset> {
  const issues = new ImportIssues();
  const root = resolve(folder);
  const parsed: { file: string; stated: string; stem: string; width: null; height: null; objects: ImportedObject[] }[] =
    [];
  for (const file of files) {
    const lines = (await readFile(join(root, file), "utf8")).split("\n");
    lines.forEach((line, index) => {
      if (line.trim() === "") return;
      const row = readLine(line);
      if (typeof row === "string") issues.add(file, index + 1, row);
      else
        parsed.push({
          file,
          stated: row.fileName,
          stem: row.fileName,
          width: null,
          height: null,
          objects: row.objects,
        });
    });
  }
  const { images, imagesDir } = await locateImages({
    root,
    files: parsed,
    options,
    issues,
    format: "image folder",
  });
  const splits: Record<string, number[]> = {};
  parsed.forEach(({ file }, index) => {
    const part = posix
      .dirname(file)
      .split("/")
      .find((segment) => Object.hasOwn(SPLITS, segment));
    if (part !== undefined) appendTo(splits, SPLITS[part]!, index + 1);
  });
  const labels = [...new Set(parsed.flatMap(({ objects }) => objects.map(({ label }) => label)))];
  const numbers = labels.map((label) => Number(/^class_(\d+)$/.exec(label)?.[1] ?? Number.NaN));
  const isNumbered = labels.length > 0 && numbers.every(Number.isInteger);
  const declared = isNumbered
    ? Array.from({ length: Math.max(...numbers) + 1 }, (_, id) => ({ id, name: `class_${id}` }))
    : [];
  return {
    dataset: buildDataset(
      images.map((image, index) => ({ ...image, objects: parsed[index]!.objects })),
      declared,
    ),
    format: "imagefolder",
    source: folder,
    imagesDir,
    splits,
    findings: [],
  };
}

function readLine(line: string): { fileName: string; objects: ImportedObject[] } | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "is not JSON.";
  }
  const { file_name: fileName, objects } = (value ?? {}) as Record<string, unknown>;
  if (typeof fileName !== "string" || fileName === "") return "has no file_name.";
  const lists = (objects ?? {}) as Record<string, unknown>;
  const boxes = lists["bbox"] ?? [];
  const categories = lists["categories"] ?? lists["category"] ?? [];
  if (!Array.isArray(boxes) || !Array.isArray(categories) || boxes.length !== categories.length) {
    return "has objects whose bbox and categories are not lists of one length.";
  }
  const result: ImportedObject[] = [];
  for (const [index, bbox] of boxes.entries()) {
    if (!Array.isArray(bbox) || bbox.length !== 4 || !bbox.every(Number.isFinite)) {
      return `has the bbox ${JSON.stringify(bbox)}, expected [x, y, width, height] in pixels.`;
    }
    const category: unknown = categories[index];
    const isIndex = typeof category === "number" && Number.isInteger(category) && category >= 0;
    if (!isIndex && (typeof category !== "string" || category === "")) {
      return `has the category ${JSON.stringify(category)}, expected a name or a class number.`;
    }
    const area = Array.isArray(lists["area"]) ? lists["area"][index] : undefined;
    result.push({
      label: isIndex ? `class_${category}` : String(category),
      bbox,
      ...(typeof area === "number" && Number.isFinite(area) ? { extra: { area } } : {}),
    });
  }
  return { fileName, objects: result };
}
