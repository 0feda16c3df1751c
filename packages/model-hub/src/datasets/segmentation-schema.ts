import type { CsvSchema } from "./types.js";

/** One line per object: box in pixels, `x`, `y` the top left corner, and optionally polygons as JSON, `[[x, y, x, y, ...], ...]`. */
export const segmentationSchema: CsvSchema = {
  id: "segmentation",
  description: "Objects with boxes (xywh, pixels) and optional polygons",
  columns: [
    { name: "file_name", type: "string", required: true },
    { name: "class", type: "string", required: true },
    { name: "x", type: "float", required: true, min: 0 },
    { name: "y", type: "float", required: true, min: 0 },
    // A box without an area teaches nothing.
    { name: "width", type: "float", required: true, min: Number.MIN_VALUE },
    { name: "height", type: "float", required: true, min: Number.MIN_VALUE },
    { name: "segmentation", type: "string", required: false },
  ],
};

/** What is wrong with a `segmentation` cell, or null. */
export function polygonProblem(cell: string): string | null {
  let polygons: unknown;
  try {
    polygons = JSON.parse(cell);
  } catch {
    return "is no JSON; expected [[x, y, x, y, x, y, ...], ...]";
  }
  if (!Array.isArray(polygons) || polygons.length === 0) return "is no list of polygons";
  for (const polygon of polygons) {
    if (!Array.isArray(polygon) || polygon.length < 6 || polygon.length % 2 !== 0) {
      return "holds a polygon that is not at least three x, y pairs";
    }
    if (!polygon.every((value) => typeof value === "number" && Number.isFinite(value) && value >= 0)) {
      return "holds a coordinate that is no number of at least 0";
    }
  }
  return null;
}
