import type { Box } from "@seg/coco-dataset";
import { type Bitmap, bitmapArea, bitmapFromPolygons, subtractBitmap } from "../core/bitmap.js";
import { compose, type Homography, invert, isIdentity, jacobian, project, scaling } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";
import type { Border, Kernels } from "../kernels/kernels.js";
import { blockSide, shrinkByBlocks } from "../kernels/shrink.js";
import { spanTable } from "../kernels/span-table.js";
import type { SourceImage, WorkImage } from "../kernels/work-image.js";
import { movePoints, moveRecords } from "./move-shapes.js";
import { type InstanceRecord, shapeArea, shapeBounds } from "./record.js";
import type { InstanceRules } from "./types.js";

/** A picture of the scene. */
export interface Layer {
  readonly image: SourceImage;
  /** Picture -> canvas, before the pending geometry. */
  readonly place: Homography;
  /** Part of the picture that is shown, xyxy picture pixels. */
  readonly clip: Box;
  readonly records: readonly InstanceRecord[];
  /** Only the pixels of the one instance are drawn; blended over `seamSigma` pixels. */
  readonly isPaste: boolean;
  readonly seamSigma: number;
  /** Where the picture comes from; null for one that was drawn here before. */
  readonly from: { readonly path: string; readonly source: number | null; readonly instance: number | null } | null;
}

/** What is drawn at the next {@link renderScene}: pictures, and the maps that have been asked for since the last one. */
export interface Scene {
  readonly layers: readonly Layer[];
  /** Product of the pending maps, canvas -> canvas. */
  readonly pending: Homography;
  /** Number of pending flips. */
  readonly flips: number;
  readonly points: Float64Array | null;
}

export interface Rendered {
  readonly image: WorkImage;
  readonly records: InstanceRecord[];
  readonly points: Float64Array | null;
}

interface RenderOptions {
  readonly scene: Scene;
  readonly field: InverseField | null;
  readonly canvas: { readonly width: number; readonly height: number };
  readonly border: Border;
  /** One level per channel. */
  readonly fill: readonly number[];
  readonly rules: InstanceRules;
  readonly kernels: Kernels;
}

/** Draws every layer once, through all pending maps and the field, and moves its instances the same way. */
export function renderScene({ scene, field, canvas, border, fill, rules, kernels }: RenderOptions): Rendered {
  const { layers, pending, flips, points } = scene;
  const [first] = layers;
  const { width, height } = canvas;
  const channels = first!.image.channels;
  const image = kernels.createImage(width, height, channels);
  if (layers.length === 1 && field === null && isPlain(first!, pending, canvas)) {
    image.data.set(first!.image.data);
    return { image, records: [...first!.records], points };
  }
  fillImage(image, fill);
  const flipped = flips % 2 === 1;
  let records: InstanceRecord[] = [];
  for (const layer of layers) {
    const map = compose(layer.place, pending);
    const through = { map, field };
    const moved = moveRecords({
      records: layer.records,
      through,
      source: layer.image,
      clip: layer.clip,
      canvas,
      rules,
      flips: flipped,
    });
    if (!layer.isPaste) {
      drawLayer(image, layer, map, field, border, kernels, null);
      records.push(...moved);
      continue;
    }
    const cover = coverOf(moved[0]!, canvas);
    if (cover === null || bitmapArea(cover) === 0) continue;
    const drawn = kernels.createImage(width, height, channels);
    drawLayer(drawn, layer, map, field, "replicate", kernels, cover);
    if (kernels.name !== "none") paste(image, drawn, cover, layer.seamSigma);
    kernels.release(drawn);
    records = records.map((record) => hideBehind(record, cover, canvas));
    records.push({ ...moved[0]!, shape: moved[0]!.shape });
  }
  const movedPoints =
    points === null
      ? null
      : movePoints(points, { map: compose(first!.place, pending), field }, canvas, flipped, rules, [
          0,
          0,
          first!.image.width,
          first!.image.height,
        ]);
  return { image, records, points: movedPoints };
}

function isPlain({ image, place }: Layer, pending: Homography, canvas: { width: number; height: number }): boolean {
  return image.width === canvas.width && image.height === canvas.height && isIdentity(place) && isIdentity(pending);
}

function fillImage({ data, channels }: WorkImage, fill: readonly number[]): void {
  const same = fill.every((value) => value === fill[0]);
  if (same) data.fill(fill[0] ?? 0);
  else for (let i = 0; i < data.length; i += channels) for (let c = 0; c < channels; c++) data[i + c] = fill[c] ?? 0;
}

function drawLayer(
  target: WorkImage,
  { image, clip }: Layer,
  map: Homography,
  field: InverseField | null,
  border: Border,
  kernels: Kernels,
  cover: Bitmap | null,
): void {
  if (kernels.name === "none") return;
  const bounds =
    cover === null
      ? { left: 0, top: 0, right: target.width, bottom: target.height }
      : { left: cover.x, top: cover.y, right: cover.x + cover.width, bottom: cover.y + cover.height };
  // Scale at the source point that lands in the middle.
  const [mx, my] = project(invert(map), (bounds.left + bounds.right) / 2, (bounds.top + bounds.bottom) / 2);
  const [a, b, c, d] = jacobian(map, mx, my);
  const bx = blockSide(Math.hypot(a, c));
  const by = blockSide(Math.hypot(b, d));
  const isShrunk = bx > 1 || by > 1;
  const source = isShrunk ? shrinkByBlocks(image, bx, by) : image;
  const whole = isShrunk ? compose(scaling(bx, by), map) : map;
  const limits: Box = isShrunk ? [clip[0] / bx, clip[1] / by, clip[2] / bx, clip[3] / by] : clip;
  const isConstant = border === "constant";
  const table = spanTable({
    inverse: invert(whole),
    field,
    sourceWidth: source.width,
    sourceHeight: source.height,
    rect: bounds,
    clip: isConstant ? limits : null,
  });
  kernels.warp({ target, source, table, clip: limits, border });
}

/** Pixels of an instance on the canvas. */
function coverOf({ shape }: InstanceRecord, { width, height }: { width: number; height: number }): Bitmap | null {
  if (shape === null) return null;
  if (shape.kind === "bitmap") return shape.bitmap;
  const bounds = shapeBounds(shape);
  return bounds === null ? null : bitmapFromPolygons(shape.parts, bounds, width, height);
}

function paste(image: WorkImage, drawn: WorkImage, cover: Bitmap, sigma: number): void {
  const { width, channels } = image;
  const target = image.data;
  const source = drawn.data;
  const alpha = sigma > 0 ? softened(cover, sigma) : null;
  for (let y = 0, p = 0; y < cover.height; y++) {
    for (let x = 0, i = ((cover.y + y) * width + cover.x) * channels; x < cover.width; x++, p++, i += channels) {
      if (cover.data[p] === 0) continue;
      const w = alpha === null ? 1 : alpha[p]!;
      for (let c = 0; c < channels; c++) target[i + c] = Math.round(source[i + c]! * w + target[i + c]! * (1 - w));
    }
  }
}

/** Alpha of a pasted instance: 1 inside, falling towards its edge over about sigma pixels (two box passes). */
function softened({ width, height, data }: Bitmap, sigma: number): Float32Array {
  const radius = Math.max(1, Math.round(sigma));
  let plane = Float32Array.from(data);
  for (let pass = 0; pass < 2; pass++) {
    for (const [step, lineStep, n, lines] of [
      [1, width, width, height],
      [width, 1, height, width],
    ] as const) {
      const next = new Float32Array(plane.length);
      for (let line = 0; line < lines; line++) {
        const start = line * lineStep;
        let sum = 0;
        for (let i = 0; i < Math.min(n, radius); i++) sum += plane[start + i * step]!;
        for (let i = 0; i < n; i++) {
          if (i + radius < n) sum += plane[start + (i + radius) * step]!;
          if (i - radius - 1 >= 0) sum -= plane[start + (i - radius - 1) * step]!;
          next[start + i * step] = sum / (2 * radius + 1);
        }
      }
      plane = next;
    }
  }
  // The edge keeps half: 0.5 of a step becomes 0, its inside 1.
  return plane.map((value) => Math.min(1, Math.max(0, 2 * value - 0.5)));
}

/** An instance after `cover` was pasted over it: a polygon that loses pixels becomes a bitmap; covered keypoints become hidden. */
export function hideBehind(
  record: InstanceRecord,
  cover: Bitmap,
  { width, height }: { readonly width: number; readonly height: number },
): InstanceRecord {
  const keypoints = record.keypoints === null ? null : hidePoints(record.keypoints, cover);
  const { shape } = record;
  const bounds = shape === null ? null : shapeBounds(shape);
  const isApart =
    bounds === null ||
    bounds[2] <= cover.x ||
    bounds[3] <= cover.y ||
    bounds[0] >= cover.x + cover.width ||
    bounds[1] >= cover.y + cover.height;
  if (shape === null || isApart) return { ...record, keypoints };
  const bitmap = shape.kind === "bitmap" ? shape.bitmap : bitmapFromPolygons(shape.parts, bounds, width, height);
  const result = subtractBitmap(bitmap, cover);
  if (result.lost === 0) return { ...record, keypoints };
  const next = { kind: "bitmap", bitmap: result.bitmap } as const;
  return {
    ...record,
    keypoints,
    given: null,
    givenBox: null,
    shape: next,
    box: shapeBounds(next),
    form: record.form === "polygons" ? "rle" : record.form,
    uncovered: record.uncovered ?? shapeArea(shape),
  };
}

function hidePoints(points: Float64Array, cover: Bitmap): Float64Array {
  let out = points;
  for (let k = 0; k < points.length; k += 3) {
    const x = Math.floor(points[k]!) - cover.x;
    const y = Math.floor(points[k + 1]!) - cover.y;
    if (points[k + 2] !== 2 || x < 0 || y < 0 || x >= cover.width || y >= cover.height) continue;
    if (cover.data[y * cover.width + x] === 0) continue;
    if (out === points) out = points.slice();
    out[k + 2] = 1;
  }
  return out;
}
