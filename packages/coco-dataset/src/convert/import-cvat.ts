import { resolve } from "node:path";
import { encode } from "../mask/rle.js";
import type { Rle } from "../types.js";
import { appendTo } from "./append-to.js";
import { framePictures, framesOf } from "./cvat-tracks.js";
import { ImportIssues } from "./import-issues.js";
import { ImportNotes } from "./import-notes.js";
import { buildDataset, type ImportedDataset, type ImportedObject, type ImportOptions } from "./imported.js";
import { joinSegmentations } from "./join-segmentations.js";
import { locateImages } from "./locate-images.js";
import { ellipsePolygon, rotatedBoxBounds } from "./shapes.js";
import { readXml, toNumber } from "./xml-files.js";
import { child, childText, type XmlElement } from "./xml-tree.js";

interface Shape {
  readonly label: string;
  readonly group: number;
  readonly box?: readonly number[];
  readonly polygon?: readonly number[];
  readonly mask?: Rle;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** Elements of an image that have no area. */
const WITHOUT_AREA = new Set(["polyline", "points", "cuboid", "skeleton", "tag"]);
/** Names of subsets as CVAT writes them, in any case. */
const SPLITS: Readonly<Record<string, string>> = { train: "train", val: "val", validation: "val", test: "test" };

/**
 * Reads CVAT for images 1.1 and for video 1.1 (each frame is a picture, see {@link framesOf}). Boxes `xtl ytl xbr ybr`; polygons `x,y;x,y`; masks are run lengths that begin with background, row by row
 * inside left, top, width and height. Shapes of one `group_id` and label are one object, as in CVAT's own COCO export. A turned box
 * becomes the box around it (its angle is kept), an ellipse a polygon within 0.02 px. Points, lines and tags are left out by name.
 *
 * @param file - the XML file, relative to the folder
 * @throws ImportError naming every place that cannot be read
 */
export async function importCvat(
  { folder, file }: { readonly folder: string; readonly file: string },
  options: ImportOptions = {},
): Promise<ImportedDataset> {
  const issues = new ImportIssues();
  const notes = new ImportNotes();
  const root = resolve(folder);
  const document = await readXml(root, file, issues);
  issues.throwIfAny("CVAT");
  const tracks = document!.children.filter(({ name }) => name === "track");
  const elements = [
    ...document!.children.filter(({ name }) => name === "image"),
    ...(tracks.length === 0 ? [] : framesOf(document!, tracks, await framePictures(options.imagesDir ?? root))),
  ];
  const declared = declaredLabels(document!);
  const parsed = elements.map((element) => {
    const [width, height] = [toNumber(element.attributes["width"]), toNumber(element.attributes["height"])];
    const name = element.attributes["name"] ?? "";
    if (name === "") issues.add(file, element.line, "an <image> has no name.");
    if (!(width! > 0 && height! > 0)) {
      issues.add(
        file,
        element.line,
        `image "${name}" has width "${element.attributes["width"] ?? ""}" and height "${element.attributes["height"] ?? ""}", expected pixels.`,
      );
    }
    return { element, stated: name, stem: name, file, width, height };
  });
  const { images, imagesDir } = await locateImages({
    root,
    files: parsed,
    options,
    issues,
    format: "CVAT",
  });
  const splits: Record<string, number[]> = {};
  const imported = images.map((image, index) => {
    options.signal?.throwIfAborted();
    const { element } = parsed[index]!;
    const subset = SPLITS[(element.attributes["subset"] ?? "").toLowerCase()];
    if (subset !== undefined) appendTo(splits, subset, index + 1);
    const shapes: Shape[] = [];
    for (const item of element.children) {
      if (WITHOUT_AREA.has(item.name)) {
        notes.add({
          code: "shape_without_area",
          severity: "warn",
          text: `Elements of type <${item.name}> are no boxes or masks and are left out.`,
          file: image.fileName,
        });
        continue;
      }
      const shape = readShape(item, image, notes);
      if (typeof shape === "string") issues.add(file, item.line, `in image "${element.attributes["name"]}": ${shape}`);
      else shapes.push(shape);
    }
    return { ...image, objects: toObjects(shapes, image) };
  });
  issues.throwIfAny("CVAT");
  return {
    dataset: buildDataset(
      imported,
      declared.map((name, index) => ({ id: index + 1, name })),
    ),
    format: "cvat",
    source: folder,
    imagesDir,
    splits,
    findings: notes.findings(),
  };
}

/** Labels in the order of the task or project; labels of skeleton parts have a parent and are no objects. */
function declaredLabels(document: XmlElement): string[] {
  const meta = child(document, "meta");
  const home = meta && (child(meta, "task") ?? child(meta, "project") ?? child(meta, "job"));
  const labels = home && child(home, "labels");
  const names = (labels?.children ?? []).flatMap((label) =>
    label.name === "label" && childText(label, "parent") === null ? (childText(label, "name") ?? []) : [],
  );
  return [...new Set(names)];
}

function readShape(
  element: XmlElement,
  { width, height, fileName }: { width: number; height: number; fileName: string },
  notes: ImportNotes,
): Shape | string {
  const { attributes } = element;
  const label = attributes["label"] ?? "";
  if (label === "") return `a <${element.name}> has no label.`;
  const extra: Record<string, unknown> = {};
  if (attributes["occluded"] === "1") extra["occluded"] = 1;
  const track = toNumber(attributes["track_id"]);
  if (track !== null) extra["track_id"] = track;
  const own: Record<string, string> = {};
  for (const item of element.children) {
    const name = item.attributes["name"];
    if (item.name === "attribute" && name !== undefined) own[name] = item.text;
  }
  if (Object.keys(own).length > 0) extra["attributes"] = own;
  const base = { label, group: toNumber(attributes["group_id"]) ?? 0, extra };
  const numbers = (names: readonly string[]): number[] | string => {
    const values = names.map((name) => toNumber(attributes[name]));
    const bad = values.indexOf(null);
    return bad < 0
      ? (values as number[])
      : `<${element.name}> "${label}" has ${names[bad]}="${attributes[names[bad]!] ?? ""}", expected a number.`;
  };
  switch (element.name) {
    case "box": {
      const corners = numbers(["xtl", "ytl", "xbr", "ybr"]);
      if (typeof corners === "string") return corners;
      const [x1, y1, x2, y2] = corners as [number, number, number, number];
      if (x2 < x1 || y2 < y1) return `box "${label}" ends before it begins: x ${x1} to ${x2}, y ${y1} to ${y2}.`;
      const rotation = toNumber(attributes["rotation"]) ?? 0;
      if (rotation === 0) return { ...base, box: [x1, y1, x2 - x1, y2 - y1] };
      notes.add({
        code: "box_rotated",
        severity: "warn",
        text: "Turned boxes became the upright boxes around them; the angle is kept as rotation.",
        file: fileName,
      });
      const box = rotatedBoxBounds({ x1, y1, x2, y2, rotationDegrees: rotation });
      return { ...base, box, extra: { ...extra, rotation } };
    }
    case "polygon": {
      const ring = readPoints(attributes["points"] ?? "");
      return ring === null
        ? `polygon "${label}" needs at least 3 points written as x,y;x,y.`
        : { ...base, polygon: ring };
    }
    case "ellipse": {
      const values = numbers(["cx", "cy", "rx", "ry"]);
      if (typeof values === "string") return values;
      const [cx, cy, rx, ry] = values as [number, number, number, number];
      const rotationDegrees = toNumber(attributes["rotation"]) ?? 0;
      return { ...base, polygon: ellipsePolygon({ cx, cy, rx, ry, rotationDegrees }) };
    }
    case "mask": {
      const crop = numbers(["left", "top", "width", "height"]);
      if (typeof crop === "string") return crop;
      const mask = decodeRowMajor(attributes["rle"] ?? "", crop as [number, number, number, number], width, height);
      return typeof mask === "string" ? `mask "${label}" ${mask}` : { ...base, mask };
    }
    default:
      return `<${element.name}> is not known here (box, polygon, ellipse, mask).`;
  }
}

function readPoints(text: string): number[] | null {
  const ring: number[] = [];
  for (const point of text.split(";")) {
    const [x, y, ...rest] = point.split(",").map(toNumber);
    if (x === undefined || y === undefined || x === null || y === null || rest.length > 0) return null;
    ring.push(x, y);
  }
  return ring.length >= 6 ? ring : null;
}

/** Run lengths that begin with background, row by row inside a crop, as a mask of the image; or what is wrong with them. */
export function decodeRowMajor(
  text: string,
  [left, top, cropWidth, cropHeight]: readonly [number, number, number, number],
  width: number,
  height: number,
): Rle | string {
  if (![left, top, cropWidth, cropHeight].every((value) => Number.isInteger(value) && value >= 0)) {
    return `has the crop ${left},${top} ${cropWidth} x ${cropHeight}, expected whole pixels.`;
  }
  if (left + cropWidth > width || top + cropHeight > height) {
    return `has the crop ${left},${top} ${cropWidth} x ${cropHeight}, which is outside the ${width} x ${height} image.`;
  }
  const runs = text.split(",").map((run) => toNumber(run));
  if (!runs.every((run) => run !== null && Number.isInteger(run) && run >= 0)) {
    return "has an rle that is not a list of whole numbers.";
  }
  const total = (runs as number[]).reduce((sum, run) => sum + run, 0);
  if (total !== cropWidth * cropHeight) {
    return `has run lengths that sum to ${total}, expected width * height = ${cropWidth * cropHeight}.`;
  }
  const pixels = new Uint8Array(width * height);
  let at = 0;
  (runs as number[]).forEach((run, index) => {
    if (index % 2 === 1) {
      for (let i = at; i < at + run; i++) {
        const y = Math.floor(i / cropWidth);
        pixels[(top + y) * width + left + i - y * cropWidth] = 1;
      }
    }
    at += run;
  });
  return encode(pixels, height, width);
}

function toObjects(shapes: readonly Shape[], size: { width: number; height: number }): ImportedObject[] {
  const groups = new Map<string, Shape[]>();
  shapes.forEach((shape, index) => {
    // Boxes are objects of their own: a group of boxes is a relation (person and bicycle), not one object.
    const isJoined = shape.group !== 0 && shape.box === undefined;
    const key = isJoined ? `group ${shape.group} ${shape.label}` : `shape ${index}`;
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [shape]);
    else list.push(shape);
  });
  return [...groups.values()].map((members) => {
    const { label, box } = members[0]!;
    const polygons = members.flatMap(({ polygon }) => (polygon === undefined ? [] : [polygon]));
    const masks = members.flatMap(({ mask }) => (mask === undefined ? [] : [mask]));
    const extra = Object.assign({}, ...members.map((member) => member.extra)) as Record<string, unknown>;
    const segmentation = joinSegmentations(polygons, masks, size);
    return {
      label,
      ...(box === undefined ? {} : { bbox: box }),
      ...(segmentation === null ? {} : { segmentation }),
      extra,
    };
  });
}
