import type { Box } from "@seg/coco-dataset";
import { type Bitmap, bitmapArea, bitmapBounds } from "../core/bitmap.js";
import { polygonArea, polygonBounds } from "../polygon.js";
import type { PipelineMask } from "./types.js";

/** How a mask was given, and so how it is returned. */
export type MaskForm = "polygons" | "rle" | "counts" | "compressed" | "bitmap";

export type Shape =
  | { readonly kind: "polygons"; readonly parts: readonly Float64Array[] }
  | { readonly kind: "bitmap"; readonly bitmap: Bitmap };

/** One instance on its way through the pipeline: kept or dropped as a whole. */
export interface InstanceRecord {
  /** Input index; -1 for a donor's. */
  readonly index: number;
  readonly origin: string | null;
  readonly label: number | string | null;
  readonly id: number | string | null;
  readonly isCrowd: boolean;
  readonly form: MaskForm;
  /** The mask as it was given, valid while nothing has moved or hidden it. */
  readonly given: PipelineMask | null;
  /** The box as it was given, in its own format, valid while nothing has moved or clipped it. */
  readonly givenBox: readonly number[] | null;
  readonly shape: Shape | null;
  /** xyxy canvas pixels. */
  readonly box: Box | null;
  /** x, y, v; continuous coordinates. */
  readonly keypoints: Float64Array | null;
  /** Area that the whole shape would have now, were nothing clipped or hidden. */
  readonly fullArea: number;
  /** Visible area before something was pasted over or cut out; null while nothing was. */
  readonly uncovered: number | null;
  readonly weight: number;
}

export const boxArea = ([x1, y1, x2, y2]: Box): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

export function shapeArea(shape: Shape): number {
  if (shape.kind === "bitmap") return bitmapArea(shape.bitmap);
  let sum = 0;
  for (const part of shape.parts) sum += polygonArea(part);
  return sum;
}

export function shapeBounds(shape: Shape): Box | null {
  return shape.kind === "bitmap" ? bitmapBounds(shape.bitmap) : polygonBounds(shape.parts);
}

/** What is seen of an instance: of its mask, else of its box; null when it has neither. */
export function visibleArea({ shape, box }: InstanceRecord): number | null {
  if (shape !== null) return shapeArea(shape);
  return box === null ? null : boxArea(box);
}

/** Bounds of the mask, else the box. */
export function extentOf({ shape, box }: InstanceRecord): Box | null {
  return (shape === null ? null : shapeBounds(shape)) ?? box;
}
