import type { Box } from "@seg/coco-dataset";
import { configHash } from "./config-hash.js";

/** EXIF orientation: how the stored pixels must be turned for display; 1 is upright. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/**
 * How an image was placed on a model's input. Pixels, continuous corner coordinates without half-pixel terms:
 * `x_net = x_orig * scaleX + padL`. `orig` is the space of the annotations, after the orientation policy.
 */
export interface Geometry {
  /** What the picture was prepared for, for example `yolov8_seg` or `sam`. */
  readonly model: string;
  readonly origW: number;
  readonly origH: number;
  /** As stored in the file, before any rotation. */
  readonly rawW: number;
  readonly rawH: number;
  readonly orientation: Orientation;
  readonly orientationApplied: boolean;
  readonly contentW: number;
  readonly contentH: number;
  /** `contentW / origW`; the axes differ by the rounding of the content. */
  readonly scaleX: number;
  /** `contentH / origH` */
  readonly scaleY: number;
  readonly padL: number;
  readonly padT: number;
  readonly padR: number;
  readonly padB: number;
  readonly netW: number;
  readonly netH: number;
  /** What a model's normalised boxes are relative to. */
  readonly normalizedBy: "content" | "net" | "none";
  /** SHA-256 of the options that made it; tells caches apart. */
  readonly configHash: string;
  /** Grounding DINO only: the graph has no live `pixel_mask` input, so padding is not marked. */
  readonly maskUnsupported?: true;
}

/** Where the content lies on a model's input. */
export type Placement = Pick<Geometry, "contentW" | "contentH" | "padL" | "padT" | "padR" | "padB" | "netW" | "netH">;

/** The fields of a decoded image that geometry keeps; a plain image counts as upright. */
export interface ImageSpace {
  readonly width: number;
  readonly height: number;
  readonly rawWidth?: number;
  readonly rawHeight?: number;
  readonly orientation?: Orientation;
  readonly orientationApplied?: boolean;
}

/** Completes a {@link Geometry} from the placement of the content. */
export function makeGeometry({
  image,
  model,
  content,
  pad,
  net,
  normalizedBy,
  config,
}: {
  image: ImageSpace;
  model: string;
  content: readonly [width: number, height: number];
  /** Left and top. */
  pad: readonly [left: number, top: number];
  net: readonly [width: number, height: number];
  normalizedBy: Geometry["normalizedBy"];
  config: Readonly<Record<string, unknown>>;
}): Geometry {
  return {
    model,
    origW: image.width,
    origH: image.height,
    rawW: image.rawWidth ?? image.width,
    rawH: image.rawHeight ?? image.height,
    orientation: image.orientation ?? 1,
    orientationApplied: image.orientationApplied ?? false,
    contentW: content[0],
    contentH: content[1],
    scaleX: content[0] / image.width,
    scaleY: content[1] / image.height,
    padL: pad[0],
    padT: pad[1],
    padR: net[0] - content[0] - pad[0],
    padB: net[1] - content[1] - pad[1],
    netW: net[0],
    netH: net[1],
    normalizedBy,
    configHash: configHash({ model, ...config }),
  };
}

const clamp = (value: number, high: number): number => (value < 0 ? 0 : value > high ? high : value);

/** Image -> model input. `clip` (default true) first limits the box to the image. */
export function mapBoxToModel(box: Box, geometry: Geometry, { clip = true }: { clip?: boolean } = {}): Box {
  const { origW, origH, scaleX, scaleY, padL, padT } = geometry;
  const [x1, y1, x2, y2] = clip
    ? [clamp(box[0], origW), clamp(box[1], origH), clamp(box[2], origW), clamp(box[3], origH)]
    : box;
  return [x1 * scaleX + padL, y1 * scaleY + padT, x2 * scaleX + padL, y2 * scaleY + padT];
}

/**
 * Model input -> image. `clip` (default true) limits the result to the image; a box that lay in the padding comes back without area
 * ({@link isEmptyBox}), it is never removed.
 */
export function mapBoxToImage(box: Box, geometry: Geometry, { clip = true }: { clip?: boolean } = {}): Box {
  const { origW, origH, scaleX, scaleY, padL, padT } = geometry;
  const x1 = (box[0] - padL) / scaleX;
  const y1 = (box[1] - padT) / scaleY;
  const x2 = (box[2] - padL) / scaleX;
  const y2 = (box[3] - padT) / scaleY;
  return clip ? [clamp(x1, origW), clamp(y1, origH), clamp(x2, origW), clamp(y2, origH)] : [x1, y1, x2, y2];
}

/** True for a box without area. */
export function isEmptyBox(box: Box): boolean {
  return !(box[2] > box[0] && box[3] > box[1]);
}

/** Flat `x, y, x, y, ...` image -> model input. `clip` (default false) first limits the points to the image. */
export function mapPointsToModel(
  points: ArrayLike<number>,
  geometry: Geometry,
  { clip = false }: { clip?: boolean } = {},
): Float64Array {
  const { origW, origH, scaleX, scaleY, padL, padT } = geometry;
  const out = new Float64Array(points.length);
  for (let i = 0; i + 1 < points.length; i += 2) {
    const x = points[i]!;
    const y = points[i + 1]!;
    out[i] = (clip ? clamp(x, origW) : x) * scaleX + padL;
    out[i + 1] = (clip ? clamp(y, origH) : y) * scaleY + padT;
  }
  return out;
}

/** Flat `x, y, x, y, ...` model input -> image. `clip` (default false) limits the result to the image. */
export function mapPointsToImage(
  points: ArrayLike<number>,
  geometry: Geometry,
  { clip = false }: { clip?: boolean } = {},
): Float64Array {
  const { origW, origH, scaleX, scaleY, padL, padT } = geometry;
  const out = new Float64Array(points.length);
  for (let i = 0; i + 1 < points.length; i += 2) {
    const x = (points[i]! - padL) / scaleX;
    const y = (points[i + 1]! - padT) / scaleY;
    out[i] = clip ? clamp(x, origW) : x;
    out[i + 1] = clip ? clamp(y, origH) : y;
  }
  return out;
}

/** One polygon ring, flat `x, y, ...`: vertices map like points. */
export const mapPolygonToModel = mapPointsToModel;

/** One polygon ring, flat `x, y, ...`: vertices map like points. */
export const mapPolygonToImage = mapPointsToImage;

/** A box of one model's input -> another model's input, through the image both were prepared from. */
export function transferBox(box: Box, from: Geometry, to: Geometry): Box {
  return mapBoxToModel(mapBoxToImage(box, from), to);
}
