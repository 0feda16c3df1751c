import { readFile } from "node:fs/promises";
import { join, posix, resolve } from "node:path";
import { ImportIssues } from "./import-issues.js";
import { ImportNotes } from "./import-notes.js";
import {
  buildDataset,
  type ImportedDataset,
  type ImportedImage,
  type ImportedObject,
  type ImportOptions,
} from "./imported.js";
import { type FoundImage, type LocatedImage, locateImages } from "./locate-images.js";
import { readIndexPng } from "./read-index-png.js";
import { isVocMask, OBJECT_MASKS, vocMasks } from "./voc-masks.js";
import { readXml, toNumber } from "./xml-files.js";
import { child, childText, type XmlElement } from "./xml-tree.js";

/** One annotation file before the coordinate convention is known. */
interface VocFile extends LocatedImage {
  readonly database: string;
  /** The file says that there are mask pictures. */
  readonly isSegmented: boolean;
  readonly objects: readonly VocObject[];
}

interface VocObject {
  readonly label: string;
  /** xmin, ymin, xmax, ymax as written. */
  readonly corners: readonly [number, number, number, number];
  readonly polygon: readonly number[] | null;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** Official databases; their coordinates count from 1 and include the last pixel. */
const OFFICIAL = "The VOC";

/**
 * Reads Pascal VOC XML, one file per picture. Boxes: `[xmin, ymin, xmax - xmin, ymax - ymin]`, or for 1-based inclusive files
 * `[xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1]`. Pixel masks come from `SegmentationObject/NAME.png` beside the folder of the XML
 * files, where there is one. `difficult`, `truncated`, `occluded` and `pose` are kept as they are; none of
 * them is a crowd. `ImageSets/Main/{train,val,test}.txt` become splits.
 *
 * @param files - the XML files, relative to the folder
 * @throws ImportError naming every place that cannot be read
 */
export async function importVoc(
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
  options: ImportOptions = {},
): Promise<ImportedDataset> {
  const issues = new ImportIssues();
  const notes = new ImportNotes();
  const root = resolve(folder);
  const parsed: VocFile[] = [];
  for (const file of files) {
    options.signal?.throwIfAborted();
    const element = await readXml(root, file, issues);
    if (element === null) continue;
    if (element.name !== "annotation") {
      issues.add(file, element.line, `has the root <${element.name}>, expected <annotation>.`);
      continue;
    }
    parsed.push(readFileElement(element, file, issues, notes));
  }
  const { images, imagesDir } = await locateImages({
    root,
    files: parsed,
    options,
    issues,
    format: "Pascal VOC",
    isOther: isVocMask,
  });
  const oneBased = options.oneBased ?? isOfficial(parsed);
  if (oneBased) {
    notes.add({
      code: "voc_one_based",
      severity: "info",
      text: "Coordinates were read as 1-based with the last pixel included, as the official VOC files are.",
      file: files[0] ?? folder,
    });
  }
  const imported: ImportedImage[] = [];
  for (const [index, image] of images.entries()) {
    options.signal?.throwIfAborted();
    const file = parsed[index]!;
    const objects = file.objects.map((object) => toObject(object, oneBased));
    imported.push({ ...image, objects: await withMasks({ root, file, image, objects, issues, notes }) });
  }
  issues.throwIfAny("Pascal VOC");
  const dataset = buildDataset(imported);
  return {
    dataset,
    format: "voc",
    source: folder,
    imagesDir,
    splits: await imageSets(
      root,
      parsed.map(({ file }) => file),
    ),
    findings: notes.findings(),
  };
}

function readFileElement(root: XmlElement, file: string, issues: ImportIssues, notes: ImportNotes): VocFile {
  const size = child(root, "size");
  const stem = posix.basename(file).replace(/\.xml$/i, "");
  const objects: VocObject[] = [];
  for (const element of root.children) {
    if (element.name !== "object") continue;
    const object = readObject(element, notes, file);
    if (typeof object === "string") issues.add(file, element.line, object);
    else objects.push(object);
  }
  return {
    file,
    stated: childText(root, "filename") ?? stem,
    stem,
    width: toNumber(size && childText(size, "width")),
    height: toNumber(size && childText(size, "height")),
    database: childText(child(root, "source") ?? root, "database") ?? "",
    isSegmented: childText(root, "segmented") === "1",
    objects,
  };
}

function readObject(element: XmlElement, notes: ImportNotes, file: string): VocObject | string {
  const label = childText(element, "name");
  if (label === null) return "an <object> has no <name>.";
  const box = child(element, "bndbox");
  if (box === null) {
    const rotated = child(element, "robndbox") !== null;
    return `"${label}" has no <bndbox>${rotated ? " but a rotated <robndbox>, which is not read. Export axis-aligned boxes" : ""}.`;
  }
  const corners: number[] = [];
  for (const name of ["xmin", "ymin", "xmax", "ymax"]) {
    const value = toNumber(childText(box, name));
    if (value === null) return `<${name}> of "${label}" is "${childText(box, name) ?? ""}", expected a number.`;
    corners.push(value);
  }
  const [xmin, ymin, xmax, ymax] = corners as [number, number, number, number];
  if (xmax < xmin || ymax < ymin) {
    return `the box of "${label}" ends before it begins: x ${xmin} to ${xmax}, y ${ymin} to ${ymax}. Swap the corners.`;
  }
  const outline = child(element, "polygon");
  const polygon = outline === null ? null : readPolygon(outline);
  if (typeof polygon === "string") return `the polygon of "${label}" ${polygon}`;
  if (element.children.some(({ name }) => name === "part")) {
    notes.add({
      code: "voc_parts_not_read",
      severity: "info",
      text: "Body parts (<part>) have no place in COCO and are left out.",
      file,
    });
  }
  const extra: Record<string, unknown> = {};
  for (const name of ["difficult", "truncated", "occluded"]) {
    const value = toNumber(childText(element, name));
    if (value !== null) extra[name] = value;
  }
  const pose = childText(element, "pose");
  if (pose !== null && pose !== "Unspecified") extra["pose"] = pose;
  return { label, corners: [xmin, ymin, xmax, ymax], polygon, extra };
}

/** `<x1>, <y1>, <x2>, ...` as some exporters write them, or what is wrong. */
function readPolygon(element: XmlElement): number[] | string {
  const ring: number[] = [];
  for (let i = 1; ; i++) {
    const [x, y] = [childText(element, `x${i}`), childText(element, `y${i}`)];
    if (x === null && y === null) break;
    const point = [toNumber(x), toNumber(y)];
    if (point[0] === null || point[1] === null) return `has the point (${x}, ${y}), expected two numbers.`;
    ring.push(point[0]!, point[1]!);
  }
  return ring.length >= 6 ? ring : `has ${ring.length / 2} points, expected at least 3.`;
}

function isOfficial(files: readonly VocFile[]): boolean {
  const objects = files.flatMap((file) => file.objects);
  return (
    files.length > 0 &&
    files.every((file) => file.database.startsWith(OFFICIAL)) &&
    objects.every(({ corners }) => corners[0] >= 1 && corners[1] >= 1)
  );
}

function toObject({ label, corners, polygon, extra }: VocObject, oneBased: boolean): ImportedObject {
  const [xmin, ymin, xmax, ymax] = corners;
  const one = oneBased ? 1 : 0;
  const bbox = [xmin - one, ymin - one, xmax - xmin + one, ymax - ymin + one];
  return { label, bbox, ...(polygon === null ? {} : { segmentation: [polygon] }), extra };
}

/** The objects with their pixel masks, where there is a mask picture; an object's own polygon stays. */
async function withMasks({
  root,
  file: { file, stem, isSegmented, objects: read },
  image: { width, height },
  objects,
  issues,
  notes,
}: {
  root: string;
  file: VocFile;
  image: FoundImage;
  objects: ImportedObject[];
  issues: ImportIssues;
  notes: ImportNotes;
}): Promise<ImportedObject[]> {
  if (objects.length === 0 || read.every(({ polygon }) => polygon !== null)) return objects;
  const folder = posix.dirname(file);
  let name = "";
  let bytes: Uint8Array | null = null;
  for (const home of [posix.join(folder, ".."), folder]) {
    name = posix.join(home, OBJECT_MASKS, `${stem}.png`);
    bytes = await readFile(join(root, name)).catch(() => null);
    if (bytes !== null) break;
  }
  if (bytes === null) {
    if (isSegmented) {
      notes.add({
        code: "voc_masks_missing",
        severity: "warn",
        text: `Files say segmented, but have no ${OBJECT_MASKS}/NAME.png: only their boxes are read. Pictures of classes alone (SegmentationClass) do not tell objects apart.`,
        file,
      });
    }
    return objects;
  }
  const picture = readIndexPng(bytes);
  if (typeof picture === "string") {
    issues.add(name, null, picture);
    return objects;
  }
  if (picture.width !== width || picture.height !== height) {
    issues.add(name, null, `has ${picture.width} x ${picture.height} pixels, its image ${width} x ${height}.`);
    return objects;
  }
  const masks = vocMasks(
    picture,
    objects.map(({ bbox }) => bbox!),
  );
  return objects.map((object, index) => {
    const mask = masks[index]!;
    if (mask === "elsewhere") {
      notes.add({
        code: "voc_mask_elsewhere",
        severity: "warn",
        text: "Pixels of an object's number lie outside of its box, so the numbers do not follow the order of the objects: only the boxes of those objects are read.",
        file,
      });
    }
    return mask === null || mask === "elsewhere" || object.segmentation !== undefined
      ? object
      : { ...object, segmentation: mask };
  });
}

/** Image ids by split from the lists of stems in ImageSets/Main. */
async function imageSets(root: string, files: readonly string[]): Promise<Record<string, number[]>> {
  const ids = new Map(files.map((file, index) => [posix.basename(file).replace(/\.xml$/i, ""), index + 1]));
  const splits: Record<string, number[]> = {};
  // The folder of the XML files may itself be the root.
  for (const base of [root, join(root, "..")]) {
    for (const name of ["train", "val", "test"]) {
      const text = await readFile(join(base, "ImageSets", "Main", `${name}.txt`), "utf8").catch(() => null);
      const listed = (text ?? "").split("\n").flatMap((line) => ids.get(line.trim().split(/\s+/)[0]!) ?? []);
      if (listed.length > 0) splits[name] ??= listed;
    }
    if (Object.keys(splits).length > 0) break;
  }
  return splits;
}
