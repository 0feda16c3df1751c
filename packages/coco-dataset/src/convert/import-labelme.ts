import { readFile } from "node:fs/promises";
import { join, posix, resolve } from "node:path";
import { CocoParseError } from "../errors.js";
import { parseDocument } from "../load/load-dataset.js";
import { loadSharp } from "../load-sharp.js";
import { encode } from "../mask/rle.js";
import type { Rle } from "../types.js";
import { ImportIssues } from "./import-issues.js";
import { ImportNotes } from "./import-notes.js";
import { buildDataset, type ImportedDataset, type ImportedObject, type ImportOptions } from "./imported.js";
import { joinSegmentations } from "./join-segmentations.js";
import { locateImages } from "./locate-images.js";
import { ellipsePolygon } from "./shapes.js";

/** A shape after its points were checked. */
interface Shape {
  readonly label: string;
  readonly groupId: number | null;
  /** Flat polygon, pixels. */
  readonly polygon?: readonly number[];
  /** xywh pixels. */
  readonly box?: readonly [number, number, number, number];
  /** Crop of a mask: left, top, and a base64 PNG. */
  readonly mask?: { readonly left: number; readonly top: number; readonly png: string };
  readonly extra: Readonly<Record<string, unknown>>;
}

interface LabelMeFile {
  readonly file: string;
  readonly stated: string;
  readonly stem: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly imageData: string | null;
  readonly shapes: readonly Shape[];
}

/**
 * Reads LabelMe JSON, one file per picture, coordinates of the upright picture. Polygons, circles (as polygons within 0.02 px) and masks
 * become segmentations, rectangles boxes (never masks). Shapes of one `group_id` and label are one object: polygons become its parts, a
 * mask among them makes run lengths of all. Points and lines have no area and are left out by name.
 *
 * @param files - the JSON files, relative to the folder
 * @throws ImportError naming every place that cannot be read
 */
export async function importLabelMe(
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
  options: ImportOptions = {},
): Promise<ImportedDataset> {
  const issues = new ImportIssues();
  const notes = new ImportNotes();
  const root = resolve(folder);
  const parsed: LabelMeFile[] = [];
  for (const file of files) {
    options.signal?.throwIfAborted();
    const document = await readDocument(root, file, issues);
    if (document !== null) parsed.push(document.read(notes));
  }
  issues.throwIfAny("LabelMe");
  const sized = await Promise.all(parsed.map(withEmbeddedSize));
  const { images, imagesDir } = await locateImages({
    root,
    files: sized,
    options,
    issues,
    format: "LabelMe",
  });
  const imported = [];
  for (const [index, image] of images.entries()) {
    options.signal?.throwIfAborted();
    const { file, shapes } = parsed[index]!;
    imported.push({ ...image, objects: await toObjects(shapes, image, file, issues) });
  }
  issues.throwIfAny("LabelMe");
  return {
    dataset: buildDataset(imported),
    format: "labelme",
    source: folder,
    imagesDir,
    splits: {},
    findings: notes.findings(),
  };
}

async function readDocument(
  root: string,
  file: string,
  issues: ImportIssues,
): Promise<{ read(notes: ImportNotes): LabelMeFile } | null> {
  let value: unknown;
  try {
    value = parseDocument(await readFile(join(root, file)), file);
  } catch (error) {
    if (!(error instanceof CocoParseError)) throw error;
    issues.add(file, error.line < 0 ? null : error.line, error.message);
    return null;
  }
  const document = value as Record<string, unknown>;
  if (typeof value !== "object" || value === null || !Array.isArray(document["shapes"])) {
    issues.add(file, null, 'has no list "shapes", so it is no LabelMe file. Remove it from the folder.');
    return null;
  }
  return {
    read(notes) {
      const shapes: Shape[] = [];
      (document["shapes"] as unknown[]).forEach((item, index) => {
        const shape = readShape(item, notes, file);
        if (typeof shape === "string") issues.add(file, null, `shape ${index} ${shape}`);
        else if (shape !== null) shapes.push(shape);
      });
      const stem = posix.basename(file).replace(/\.json$/i, "");
      const { imagePath, imageData, imageWidth, imageHeight } = document;
      return {
        file,
        stem,
        stated: typeof imagePath === "string" && imagePath !== "" ? imagePath : stem,
        width: typeof imageWidth === "number" ? imageWidth : null,
        height: typeof imageHeight === "number" ? imageHeight : null,
        imageData: typeof imageData === "string" && imageData !== "" ? imageData : null,
        shapes,
      };
    },
  };
}

/** A shape, null for one without area (noted), or what is wrong with it. */
function readShape(item: unknown, notes: ImportNotes, file: string): Shape | string | null {
  if (typeof item !== "object" || item === null) return "is no object.";
  const {
    label,
    points,
    shape_type: type = "polygon",
    group_id: group,
    mask,
    flags,
    description,
  } = item as Record<string, unknown>;
  if (typeof label !== "string" || label === "") return "has no label.";
  if (group !== undefined && group !== null && !Number.isInteger(group)) {
    return `("${label}") has group_id ${JSON.stringify(group)}, expected a whole number or null.`;
  }
  if (!Array.isArray(points) || !points.every(isPoint)) return `("${label}") has points that are not pairs of numbers.`;
  const flat = (points as [number, number][]).flat();
  const extra: Record<string, unknown> = {};
  if (typeof flags === "object" && flags !== null && Object.keys(flags).length > 0) extra["flags"] = flags;
  if (typeof description === "string" && description !== "") extra["description"] = description;
  const base = { label, groupId: (group as number | null | undefined) ?? null, extra };
  const needs = (count: string) => `("${label}") is a ${String(type)} with ${points.length} points, expected ${count}.`;
  switch (type) {
    case "polygon":
      return points.length < 3 ? needs("at least 3") : { ...base, polygon: flat };
    case "rectangle": {
      // Two opposite corners, or all four in newer files.
      if (points.length !== 2 && points.length !== 4) return needs("2 or 4");
      return { ...base, box: bounds(flat) };
    }
    case "circle": {
      if (points.length !== 2) return needs("2 (centre and edge)");
      const [cx, cy, x, y] = flat as [number, number, number, number];
      const radius = Math.hypot(x - cx, y - cy);
      return { ...base, polygon: ellipsePolygon({ cx, cy, rx: radius, ry: radius }) };
    }
    case "mask": {
      if (points.length !== 2) return needs("2 (corners of the crop)");
      if (typeof mask !== "string" || mask === "") return `("${label}") is a mask without its picture ("mask").`;
      const [left, top] = bounds(flat);
      if (!Number.isInteger(left) || !Number.isInteger(top))
        return `("${label}") is a mask at (${left}, ${top}), expected whole pixels.`;
      return { ...base, mask: { left, top, png: mask } };
    }
    case "point":
    case "points":
    case "line":
    case "linestrip":
      notes.add({
        code: "shape_without_area",
        severity: "warn",
        text: `Shapes of type ${type} have no area and are left out.`,
        file,
      });
      return null;
    default:
      return `("${label}") has shape_type ${JSON.stringify(type)}, expected polygon, rectangle, circle or mask.`;
  }
}

const isPoint = (point: unknown): boolean => Array.isArray(point) && point.length === 2 && point.every(Number.isFinite);

/** xywh around flat points. */
function bounds(flat: readonly number[]): [number, number, number, number] {
  const xs = flat.filter((_, i) => i % 2 === 0);
  const ys = flat.filter((_, i) => i % 2 === 1);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return [x, y, Math.max(...xs) - x, Math.max(...ys) - y];
}

/** Sizes that the file does not state, from the picture inside it. */
async function withEmbeddedSize(file: LabelMeFile): Promise<LabelMeFile> {
  if ((file.width !== null && file.height !== null) || file.imageData === null) return file;
  const sharp = await loadSharp("Reading the size of the picture inside a LabelMe file");
  const size = await sharp(Buffer.from(file.imageData, "base64"))
    .metadata()
    .catch(() => null);
  return size === null ? file : { ...file, width: size.width, height: size.height };
}

/** Joins shapes of one group and label; ungrouped shapes are objects of their own, in file order. */
async function toObjects(
  shapes: readonly Shape[],
  { width, height }: { width: number; height: number },
  file: string,
  issues: ImportIssues,
): Promise<ImportedObject[]> {
  const groups = new Map<string, Shape[]>();
  shapes.forEach((shape, index) => {
    const key = shape.groupId === null ? `shape ${index}` : `group ${shape.groupId} ${shape.label}`;
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [shape]);
    else list.push(shape);
  });
  const objects: ImportedObject[] = [];
  for (const members of groups.values()) {
    const { label } = members[0]!;
    const extra = Object.assign({}, ...members.map((member) => member.extra)) as Record<string, unknown>;
    const boxes = members.flatMap(({ box }) => (box === undefined ? [] : [box]));
    const polygons = members.flatMap(({ polygon }) => (polygon === undefined ? [] : [polygon]));
    const masks: Rle[] = [];
    for (const { mask } of members) {
      if (mask === undefined) continue;
      const rle = await readMask(mask, width, height);
      if (typeof rle === "string") issues.add(file, null, `the mask of "${label}" ${rle}`);
      else masks.push(rle);
    }
    const segmentation = joinSegmentations(polygons, masks, { width, height });
    objects.push({
      label,
      ...(boxes.length === 0 ? {} : { bbox: around(boxes) }),
      ...(segmentation === null ? {} : { segmentation }),
      extra,
    });
  }
  return objects;
}

function around(boxes: readonly (readonly [number, number, number, number])[]): number[] {
  if (boxes.length === 1) return [...boxes[0]!];
  return bounds(boxes.flatMap(([x, y, w, h]) => [x, y, x + w, y + h]));
}

/** The crop placed in the picture, or what is wrong with it. */
async function readMask(
  { left, top, png }: { left: number; top: number; png: string },
  width: number,
  height: number,
): Promise<Rle | string> {
  const sharp = await loadSharp("Reading masks of LabelMe files");
  const decoded = await sharp(Buffer.from(png, "base64"))
    .toColourspace("b-w")
    .extractChannel(0)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch(() => null);
  if (decoded === null) return "is no picture that can be read.";
  const { data, info } = decoded;
  if (left < 0 || top < 0 || left + info.width > width || top + info.height > height) {
    return `covers ${info.width} x ${info.height} pixels at (${left}, ${top}), which is outside the ${width} x ${height} image.`;
  }
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < info.height; y++) {
    for (let x = 0; x < info.width; x++) {
      if (data[y * info.width + x]! > 0) pixels[(top + y) * width + left + x] = 1;
    }
  }
  return encode(pixels, height, width);
}
