import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from "node:path";
import type { CocoCategory } from "../../document.js";
import { appendTo } from "../append-to.js";
import { FormatError } from "../errors.js";
import { belowCommonFolder, isImageName, listFiles, readImageSize, readSizes } from "../image-files.js";
import { ImportIssues } from "../import-issues.js";
import { ImportNotes } from "../import-notes.js";
import {
  buildDataset,
  type ImportedDataset,
  type ImportedImage,
  type ImportedObject,
  type ImportOptions,
} from "../imported.js";
import { CLASS_MAPPING_FILE, parseClassMapping } from "./class-mapping-file.js";
import { parseDataYaml, type YoloConfig } from "./data-yaml.js";
import { parseLabelRows } from "./label-rows.js";

/** Files that list class names, one a line, where there is no data.yaml. */
export const NAME_FILES = ["classes.txt", "obj.names", "names.txt", "classes.names"];
/** Folders that name a split where there is no data.yaml. */
const SPLIT_FOLDERS: Readonly<Record<string, string>> = { train: "train", val: "val", valid: "val", test: "test" };

/** Codes of a path that cannot exist or does not. */
const NO_SUCH_PATH = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

interface Source {
  /** Absolute. */
  readonly root: string;
  /** For messages: the configuration or the list of names, relative to the root. */
  readonly file: string;
  readonly config: YoloConfig;
  /** Absolute image paths by split, in order. */
  readonly images: readonly { readonly path: string; readonly split: string | null }[];
}

/**
 * Reads a YOLO dataset: labels of each image from the path with `/images/` replaced by `/labels/` (or beside the image), normalised by
 * the image's upright size. Boxes stay boxes, polygon rows become one polygon part, pose rows boxes with keypoints.
 *
 * @param source - a data.yaml, or a folder with images, label files and a list of names
 * @throws ImportError naming every row that cannot be read
 * @throws FormatError when a folder of data.yaml does not exist
 */
export async function importYolo(
  source: { readonly yaml: string } | { readonly folder: string },
  options: ImportOptions = {},
): Promise<ImportedDataset> {
  const issues = new ImportIssues();
  const notes = new ImportNotes();
  const { root, file, config, images } =
    "yaml" in source ? await fromYaml(source.yaml, issues, notes) : await fromFolder(source.folder, notes);
  issues.throwIfAny("YOLO");
  if (images.length === 0) {
    throw new FormatError({
      reason: "missing",
      file,
      message: `${file} leads to no image. Check its train, val and test folders.`,
    });
  }
  const named = images.map(({ path, split }) => ({ path, split, label: labelPath(path) }));
  const sizes = await readSizes(
    named.map(({ path }) => path),
    options.readImageSize ?? readImageSize,
    options.signal,
  );
  const show = (path: string) => relative(root, path).split(sep).join("/");
  const { folder, names } = belowCommonFolder(named.map(({ path }) => path.split(sep).join("/")));
  const imported: ImportedImage[] = [];
  const splits: Record<string, number[]> = {};
  for (const [index, { path, split, label }] of named.entries()) {
    options.signal?.throwIfAborted();
    const size = sizes[index]!;
    if (size === null) {
      issues.add(show(path), null, "is no image that can be read, and its size is needed. Replace or remove it.");
      continue;
    }
    const text = await readLabel(label, path);
    if (text === null) {
      notes.add({
        code: "image_without_label",
        severity: "info",
        text: "Images have no label file and count as images without objects.",
        file: show(path),
      });
    }
    const rows = parseLabelRows({
      text: text?.text ?? "",
      file: show(text?.path ?? label),
      ...size,
      numClasses: config.names.length,
      keypointShape: config.keypointShape,
      issues,
    });
    const objects = rows.map((row): ImportedObject => {
      const name = config.names[row.classIndex]!;
      if (row.kind === "polygon") return { label: name, segmentation: [row.ring] };
      if (row.kind === "pose") return { label: name, bbox: row.bbox, keypoints: row.keypoints };
      return { label: name, bbox: row.bbox };
    });
    imported.push({ fileName: names[index]!, ...size, objects });
    if (split !== null) appendTo(splits, split, imported.length);
  }
  for (const orphan of await orphanLabels(named)) {
    notes.add({
      code: "label_without_image",
      severity: "warn",
      text: "Label files belong to no image, so their objects are left out. Add the images or remove the files.",
      file: show(orphan),
    });
  }
  issues.throwIfAny("YOLO");
  const dataset = buildDataset(imported, await categories(root, config));
  return {
    dataset,
    format: "yolo",
    source: "yaml" in source ? source.yaml : source.folder,
    imagesDir: folder.split("/").join(sep),
    splits,
    findings: notes.findings(),
  };
}

async function fromYaml(path: string, issues: ImportIssues, notes: ImportNotes): Promise<Source> {
  const home = dirname(resolve(path));
  const file = relative(home, resolve(path));
  const config = parseDataYaml(await readFile(path, "utf8"));
  if (typeof config === "string") {
    issues.add(file, null, config);
    return { root: home, file, config: { names: [], path: null, splits: {}, keypointShape: null }, images: [] };
  }
  const images: { path: string; split: string }[] = [];
  const seen = new Set<string>();
  for (const [split, entries] of Object.entries(config.splits)) {
    for (const entry of entries) {
      for (const image of await imagesOf(entry, home, config.path, file)) {
        if (seen.has(image)) {
          notes.add({
            code: "image_in_two_splits",
            severity: "warn",
            text: "Images stand in two splits and are kept in the first only. Correct the folders: what is trained on cannot test.",
            file: relative(home, image).split(sep).join("/"),
          });
        } else images.push({ path: image, split });
        seen.add(image);
      }
    }
  }
  return { root: home, file, config, images };
}

/** Images of one entry of data.yaml: a folder, or a text file with one path a line. */
async function imagesOf(entry: string, home: string, base: string | null, file: string): Promise<string[]> {
  // `path` is relative to the file here; a path of another machine does not exist, the file's own folder then serves.
  const bases = [...(base === null ? [] : [resolve(home, base)]), home];
  // Some exporters write ../train/images for a folder beside the file.
  const entries = [entry, ...(entry.startsWith("../") ? [entry.slice(3)] : [])];
  const candidates = [...new Set(bases.flatMap((folder) => entries.map((part) => resolve(folder, part))))];
  for (const candidate of candidates) {
    try {
      if (entry.endsWith(".txt")) {
        const lines = (await readFile(candidate, "utf8")).split("\n").map((line) => line.trim());
        return lines
          .filter((line) => line !== "")
          .map((line) => (isAbsolute(line) ? line : resolve(dirname(candidate), line)));
      }
      const files = await listFiles(candidate);
      return files.filter(isImageName).map((name) => join(candidate, name));
    } catch (error) {
      if (!NO_SUCH_PATH.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  throw new FormatError({
    reason: "missing",
    file,
    message: `${file} names ${entry}, which was not found (looked at ${candidates.join(", ")}). Correct path, train, val or test in it.`,
  });
}

async function fromFolder(folder: string, notes: ImportNotes): Promise<Source> {
  const root = resolve(folder);
  const files = await listFiles(root);
  const list = files.find((path) => NAME_FILES.includes(posix.basename(path)));
  const names =
    list === undefined ? null : (await readFile(join(root, list), "utf8")).split("\n").map((name) => name.trim());
  while (names?.at(-1) === "") names.pop();
  const images = files.filter(isImageName).map((path) => {
    const part = path.split("/").find((segment) => Object.hasOwn(SPLIT_FOLDERS, segment));
    return { path: join(root, path), split: part === undefined ? null : SPLIT_FOLDERS[part]! };
  });
  const isSplit = images.length > 0 && images.every((image) => image.split !== null);
  if (names === null) {
    notes.add({
      code: "names_missing",
      severity: "warn",
      text: "No data.yaml or classes.txt names the classes; they are called class_0, class_1 and so on. Add a classes.txt, one name a line.",
      file: folder,
    });
  }
  return {
    root,
    file: list ?? folder,
    config: {
      names: names ?? (await namesFromRows(root, files)),
      path: null,
      splits: {},
      keypointShape: null,
    },
    images: isSplit ? images : images.map(({ path }) => ({ path, split: null })),
  };
}

/** `class_0` to the highest index that any label row uses. */
async function namesFromRows(root: string, files: readonly string[]): Promise<string[]> {
  let highest = -1;
  for (const file of files.filter((path) => path.endsWith(".txt"))) {
    for (const row of (await readFile(join(root, file), "utf8")).split("\n")) {
      const columns = row.trim().split(/\s+/);
      const index = Number(columns[0]);
      if (columns.length >= 5 && Number.isInteger(index) && index > highest) highest = index;
    }
  }
  return Array.from({ length: highest + 1 }, (_, index) => `class_${index}`);
}

/** The label file of an image: the last `images` folder becomes `labels`; beside the image where there is none. */
function labelPath(image: string): string {
  const parts = image.split(sep);
  const name = parts.pop()!;
  const at = parts.lastIndexOf("images");
  if (at >= 0) parts[at] = "labels";
  return [...parts, name.replace(/\.[^.]+$/, ".txt")].join(sep);
}

/** The label file's text, null where there is none. Some exporters put it beside the image in spite of an `images` folder. */
async function readLabel(label: string, image: string): Promise<{ path: string; text: string } | null> {
  for (const path of [label, image.replace(/\.[^.]+$/, ".txt")]) {
    try {
      return { path, text: await readFile(path, "utf8") };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return null;
}

/** Label files in the folders of known labels that belong to no image. */
async function orphanLabels(images: readonly { path: string; label: string }[]): Promise<string[]> {
  const known = new Set(images.flatMap(({ path, label }) => [label, path.replace(/\.[^.]+$/, ".txt")]));
  const folders = new Set(images.map(({ label }) => dirname(label)));
  const orphans: string[] = [];
  for (const folder of folders) {
    const files = await listFiles(folder).catch(() => []);
    for (const name of files) {
      const path = join(folder, name);
      if (!name.endsWith(".txt") || name.includes("/") || known.has(path) || NAME_FILES.includes(name)) continue;
      const columns = (await readFile(path, "utf8")).trim().split("\n")[0]!.trim().split(/\s+/);
      if (columns.length >= 5 && columns.every((column) => Number.isFinite(Number(column)))) orphans.push(path);
    }
  }
  return orphans;
}

/** Category ids of the mapping that this package writes beside data.yaml, else from 1 in the order of the names. */
async function categories(root: string, { names, keypointShape }: YoloConfig): Promise<CocoCategory[]> {
  const text = await readFile(join(root, CLASS_MAPPING_FILE), "utf8").catch(() => null);
  const ids = text === null ? null : parseClassMapping(text, names);
  const keypoints =
    keypointShape === null
      ? {}
      : { keypoints: Array.from({ length: keypointShape[0] }, (_, i) => `keypoint_${i + 1}`) };
  return names.map((name, index) => ({ id: ids?.[index] ?? index + 1, name, ...keypoints }));
}
