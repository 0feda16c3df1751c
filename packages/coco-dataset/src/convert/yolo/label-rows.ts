import type { ImportIssues } from "../import-issues.js";

/** One row of a YOLO label file, in pixels. */
export type YoloRow = { readonly classIndex: number } & (
  | { readonly kind: "box"; readonly bbox: readonly [number, number, number, number] }
  | { readonly kind: "polygon"; readonly ring: readonly number[] }
  | {
      readonly kind: "pose";
      readonly bbox: readonly [number, number, number, number];
      readonly keypoints: readonly number[];
    }
);

/** Beyond the border by more than this share of the side is a mistake of units, not of rounding. */
const TOLERANCE = 0.01;
/** Pixel coordinates this near to a multiple of 1e-4 px take it: that undoes the division by the image size. */
const SNAP = 1e-9;

/**
 * A normalised coordinate in pixels. Decimal pixel coordinates (up to four places) come back exactly as they were before the division;
 * the rasteriser decides at multiples of 0.1 px, where one unit in the last place would move an edge.
 */
export function toPixels(value: number, side: number): number {
  return snap(value * side);
}

function snap(pixels: number): number {
  const near = Math.round(pixels * 1e4) / 1e4;
  return Math.abs(near - pixels) <= SNAP ? near : pixels;
}

/**
 * A pixel coordinate as YOLO writes it: divided by the side, to 15 decimals, which is finer than 1e-10 px and hides the error of the
 * division, so that a file that is read and written again keeps its text.
 */
export function toNormalised(pixels: number, side: number): number {
  return Math.round((pixels / side) * 1e15) / 1e15;
}

/** `class cx cy w h` of an xywh pixel box. */
export function boxRow(classIndex: number, [x, y, w, h]: readonly number[], width: number, height: number): string {
  const values = [
    toNormalised(x! + w! / 2, width),
    toNormalised(y! + h! / 2, height),
    toNormalised(w!, width),
    toNormalised(h!, height),
  ];
  return `${classIndex} ${values.join(" ")}`;
}

/** `class x1 y1 x2 y2 ...` of a pixel ring. */
export function polygonRow(classIndex: number, ring: ArrayLike<number>, width: number, height: number): string {
  let text = String(classIndex);
  for (let i = 0; i < ring.length; i++) text += ` ${toNormalised(ring[i]!, i % 2 === 0 ? width : height)}`;
  return text;
}

/**
 * Rows of one label file. 5 columns are a box, an odd number from 7 a polygon; with a keypoint shape every row is box and keypoints.
 * What cannot be read is added to `issues` with its line; sound rows are returned all the same.
 *
 * @param input.keypointShape - `kpt_shape` of data.yaml: points and numbers per point (2 or 3)
 */
export function parseLabelRows({
  text,
  file,
  width,
  height,
  numClasses,
  keypointShape = null,
  issues,
}: {
  text: string;
  file: string;
  width: number;
  height: number;
  numClasses: number;
  keypointShape?: readonly [number, number] | null;
  issues: ImportIssues;
}): YoloRow[] {
  const rows: YoloRow[] = [];
  text.split("\n").forEach((raw, index) => {
    const columns = raw.trim().split(/\s+/);
    if (columns.length === 1 && columns[0] === "") return;
    const row = parseRow(columns, { width, height, numClasses, keypointShape });
    if (typeof row === "string") issues.add(file, index + 1, row);
    else rows.push(row);
  });
  return rows;
}

/** The row, or what is wrong with it. */
function parseRow(
  columns: readonly string[],
  input: { width: number; height: number; numClasses: number; keypointShape: readonly [number, number] | null },
): YoloRow | string {
  const { width, height, numClasses, keypointShape } = input;
  const values = columns.map(Number);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) return `column ${bad + 1} is "${columns[bad]}", expected a number.`;
  const [classIndex, ...coordinates] = values as [number, ...number[]];
  if (!Number.isInteger(classIndex) || classIndex < 0 || classIndex >= numClasses) {
    return `class ${columns[0]} is not one of the ${numClasses} classes 0 to ${numClasses - 1}. Add its name to the list of names or correct the row.`;
  }
  if (keypointShape !== null) return parsePose(classIndex, coordinates, { width, height, keypointShape });
  if (coordinates.length !== 4 && (coordinates.length < 6 || coordinates.length % 2 === 1)) {
    const hint =
      coordinates.length === 5
        ? " Rows with a confidence are predictions: remove the last column to use them as labels."
        : "";
    return `the row has ${columns.length} columns, expected 5 (class cx cy w h) or class and at least 3 points.${hint}`;
  }
  const outside = outsideImage(coordinates);
  if (outside !== null) return outside;
  if (coordinates.length === 4) {
    const bbox = parseBox(coordinates, width, height);
    return typeof bbox === "string" ? bbox : { kind: "box", classIndex, bbox };
  }
  return { kind: "polygon", classIndex, ring: coordinates.map((v, i) => toPixels(v, i % 2 === 0 ? width : height)) };
}

function parsePose(
  classIndex: number,
  coordinates: readonly number[],
  input: { width: number; height: number; keypointShape: readonly [number, number] },
): YoloRow | string {
  const { width, height, keypointShape } = input;
  const [points, dimensions] = keypointShape;
  const expected = 4 + points * dimensions;
  if (coordinates.length !== expected) {
    return `the row has ${coordinates.length + 1} columns, expected ${expected + 1} (box and kpt_shape [${points}, ${dimensions}]).`;
  }
  const outside = outsideImage(coordinates.slice(0, 4));
  if (outside !== null) return outside;
  const bbox = parseBox(coordinates, width, height);
  if (typeof bbox === "string") return bbox;
  const keypoints: number[] = [];
  for (let i = 0; i < points; i++) {
    const at = 4 + i * dimensions;
    const [x, y] = [coordinates[at]!, coordinates[at + 1]!];
    // Without a visibility column (0, 0) means: not labelled.
    const visibility = dimensions === 3 ? coordinates[at + 2]! : x === 0 && y === 0 ? 0 : 2;
    if (![0, 1, 2].includes(visibility)) return `keypoint ${i + 1} has visibility ${visibility}, expected 0, 1 or 2.`;
    keypoints.push(toPixels(x, width), toPixels(y, height), visibility);
  }
  return { kind: "pose", classIndex, bbox, keypoints };
}

function outsideImage(coordinates: readonly number[]): string | null {
  const value = coordinates.find((v) => v < -TOLERANCE || v > 1 + TOLERANCE);
  if (value === undefined) return null;
  return `${value} is outside 0 to 1: YOLO coordinates are divided by the image's width and height. Divide them, or correct the row.`;
}

function parseBox(
  [cx, cy, w, h]: readonly number[],
  width: number,
  height: number,
): [number, number, number, number] | string {
  if (w! < 0 || h! < 0) return `the box has width ${w} and height ${h}, expected positive numbers.`;
  return [snap((cx! - w! / 2) * width), snap((cy! - h! / 2) * height), toPixels(w!, width), toPixels(h!, height)];
}
