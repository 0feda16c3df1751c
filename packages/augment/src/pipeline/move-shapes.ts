import type { Box } from "@seg/coco-dataset";
import { type Bitmap, bitmapFromPlane, EMPTY_BITMAP } from "../core/bitmap.js";
import { areaScale, type Homography, invert, isAffine, project } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";
import { type PixelRect, spanTable } from "../kernels/span-table.js";
import { warpNearest } from "../kernels/warp.js";
import { clipPolygon, polygonArea } from "../polygon.js";
import { clipBox } from "./intake.js";
import { boxArea, type InstanceRecord, shapeBounds } from "./record.js";
import type { InstanceRules } from "./types.js";

/** Longest polygon edge before a field, pixels: straight edges bend there. */
const FIELD_EDGE = 6;
/** Points per box edge in a field. */
const BOX_EDGE_POINTS = 16;
/** Points of an inscribed ellipse. */
const ELLIPSE_POINTS = 360;

/** Where points of a layer go. */
export interface PointMap {
  readonly map: Homography;
  readonly field: InverseField | null;
}

export function movePoint({ map, field }: PointMap, x: number, y: number): [number, number] {
  const [px, py] = project(map, x, y);
  return field === null ? [px, py] : field.forward(px, py);
}

function movePolygon(polygon: Float64Array, through: PointMap): Float64Array {
  const { map, field } = through;
  const n = polygon.length;
  const out: number[] = [];
  if (field === null) {
    const moved = new Float64Array(n);
    for (let i = 0; i < n; i += 2) {
      const [x, y] = project(map, polygon[i]!, polygon[i + 1]!);
      moved[i] = x;
      moved[i + 1] = y;
    }
    return moved;
  }
  for (let i = 0; i < n; i += 2) {
    const [ax, ay] = project(map, polygon[i]!, polygon[i + 1]!);
    const [bx, by] = project(map, polygon[(i + 2) % n]!, polygon[(i + 3) % n]!);
    const pieces = Math.max(1, Math.ceil(Math.hypot(bx - ax, by - ay) / FIELD_EDGE));
    for (let k = 0; k < pieces; k++) {
      const t = k / pieces;
      out.push(...field.forward(ax + (bx - ax) * t, ay + (by - ay) * t));
    }
  }
  return Float64Array.from(out);
}

function boundsOf(points: Iterable<readonly [number, number]>): Box {
  let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    x1 = Math.min(x1, x);
    y1 = Math.min(y1, y);
    x2 = Math.max(x2, x);
    y2 = Math.max(y2, y);
  }
  return [x1, y1, x2, y2];
}

/** Bounds of a transformed box: corners, many points per edge behind a field, or its inscribed ellipse. */
export function moveBox([x1, y1, x2, y2]: Box, through: PointMap, method: InstanceRules["boxMethod"]): Box {
  const { map, field } = through;
  const isStraight = field === null && map[1] === 0 && map[3] === 0 && isAffine(map);
  const points: [number, number][] = [];
  if (method === "ellipse" && !isStraight) {
    const [cx, cy, rx, ry] = [(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2];
    for (let k = 0; k < ELLIPSE_POINTS; k++) {
      const angle = (2 * Math.PI * k) / ELLIPSE_POINTS;
      points.push([cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)]);
    }
  } else if (field === null) points.push([x1, y1], [x2, y1], [x2, y2], [x1, y2]);
  else {
    for (let k = 0; k < BOX_EDGE_POINTS; k++) {
      const t = k / BOX_EDGE_POINTS;
      points.push(
        [x1 + (x2 - x1) * t, y1],
        [x2, y1 + (y2 - y1) * t],
        [x2 - (x2 - x1) * t, y2],
        [x1, y2 - (y2 - y1) * t],
      );
    }
  }
  return boundsOf(points.map(([x, y]) => movePoint(through, x, y)));
}

/** Bitmaps of one layer through one nearest-neighbour warp per eight of them, each a bit of a plane. */
function moveBitmaps(
  bitmaps: readonly { readonly bitmap: Bitmap; readonly bounds: Box }[],
  { map, field }: PointMap,
  source: { readonly width: number; readonly height: number },
  clip: Box,
  canvas: { readonly width: number; readonly height: number },
): Bitmap[] {
  if (bitmaps.length === 0) return [];
  const rect: PixelRect = { left: 0, top: 0, right: canvas.width, bottom: canvas.height };
  const table = spanTable({
    inverse: invert(map),
    field,
    sourceWidth: source.width,
    sourceHeight: source.height,
    rect,
    clip,
  });
  const out: Bitmap[] = [];
  const plane = new Uint8Array(source.width * source.height);
  const target = new Uint8Array(canvas.width * canvas.height);
  for (let first = 0; first < bitmaps.length; first += 8) {
    const group = bitmaps.slice(first, first + 8);
    plane.fill(0);
    target.fill(0);
    group.forEach(({ bitmap }, k) => {
      const bit = 1 << k;
      for (let y = 0, p = 0; y < bitmap.height; y++) {
        const row = bitmap.y + y;
        // Only what the layer shows: a tile may be cut.
        const isRowShown = row + 0.5 >= clip[1] && row + 0.5 < clip[3];
        for (let x = 0, o = row * source.width + bitmap.x; x < bitmap.width; x++, p++, o++) {
          const column = bitmap.x + x + 0.5;
          if (bitmap.data[p] === 1 && isRowShown && column >= clip[0] && column < clip[2]) plane[o]! |= bit;
        }
      }
    });
    warpNearest({
      target,
      targetWidth: canvas.width,
      source: plane,
      width: source.width,
      height: source.height,
      table,
    });
    group.forEach(({ bounds }, k) => {
      const [x1, y1, x2, y2] = clipBox(bounds, canvas.width, canvas.height);
      // One pixel of rounding around the transformed bounds.
      const area = [
        Math.max(0, Math.floor(x1) - 1),
        Math.max(0, Math.floor(y1) - 1),
        Math.min(canvas.width, Math.ceil(x2) + 1),
        Math.min(canvas.height, Math.ceil(y2) + 1),
      ] as const;
      out.push(
        area[2] > area[0] && area[3] > area[1] ? bitmapFromPlane(target, canvas.width, 1 << k, area) : EMPTY_BITMAP,
      );
    });
  }
  return out;
}

/** Whether `fullArea` of box-only instances is that of the bounds, so that it compares with clipped bounds. */
const ratio = (after: number, before: number, fallback: number): number => (before > 0 ? after / before : fallback);

/**
 * Moves the records of one layer to the canvas and clips them there. Records of which nothing is left come back with an empty shape
 * (or null box); they are dropped at the end, with their reason.
 *
 * @param clip - part of the layer's picture that is shown, xyxy picture pixels
 */
export function moveRecords({
  records,
  through,
  source,
  clip,
  canvas,
  rules,
  flips,
}: {
  records: readonly InstanceRecord[];
  through: PointMap;
  source: { readonly width: number; readonly height: number };
  clip: Box;
  canvas: { readonly width: number; readonly height: number };
  rules: InstanceRules;
  /** True after an odd number of flips. */
  flips: boolean;
}): InstanceRecord[] {
  const { width, height } = canvas;
  const limits: Box = [0, 0, width, height];
  const geometry: PointMap = { map: through.map, field: null };
  const pending: { record: number; bitmap: Bitmap; bounds: Box }[] = [];
  const isWhole = clip[0] <= 0 && clip[1] <= 0 && clip[2] >= source.width && clip[3] >= source.height;
  const moved = records.map((record, i): InstanceRecord => {
    const { shape, box } = record;
    let next: InstanceRecord["shape"] = null;
    let full = record.fullArea;
    let moveTo: Box | null = null;
    if (box !== null) {
      const shown = isWhole ? box : intersect(box, clip);
      const edges = shown === null ? null : moveBox(shown, through, rules.boxMethod);
      moveTo = edges === null ? null : intersect(edges, limits);
      if (shape === null) {
        full *= ratio(boxArea(moveBox(box, geometry, rules.boxMethod)), boxArea(box), 1);
      }
    }
    if (shape?.kind === "polygons") {
      const parts: Float64Array[] = [];
      let before = 0;
      let after = 0;
      for (const part of shape.parts) {
        before += polygonArea(part);
        after += polygonArea(movePolygon(part, geometry));
        const shown = isWhole ? part : clipPolygon(part, clip);
        if (shown === null) continue;
        const clipped = clipPolygon(movePolygon(shown, through), limits);
        if (clipped !== null) parts.push(clipped);
      }
      full *= ratio(after, before, 1);
      next = { kind: "polygons", parts };
    } else if (shape?.kind === "bitmap") {
      const bounds = shapeBounds(shape);
      if (bounds === null) next = { kind: "bitmap", bitmap: EMPTY_BITMAP };
      else {
        full *= areaScale(through.map, (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2);
        pending.push({ record: i, bitmap: shape.bitmap, bounds: moveBox(bounds, through, "corners") });
      }
    }
    return {
      ...record,
      given: null,
      givenBox: null,
      shape: next,
      box: moveTo,
      keypoints: record.keypoints === null ? null : movePoints(record.keypoints, through, canvas, flips, rules, clip),
      fullArea: full,
    };
  });
  moveBitmaps(pending, through, source, clip, canvas).forEach((bitmap, k) => {
    const { record } = pending[k]!;
    moved[record] = { ...moved[record]!, shape: { kind: "bitmap", bitmap } };
  });
  return moved.map((record) =>
    rules.boxFromMask && record.shape !== null ? { ...record, box: shapeBounds(record.shape) } : record,
  );
}

function intersect(a: Box, b: Box): Box | null {
  const out: Box = [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
  return out[2] > out[0] && out[3] > out[1] ? out : null;
}

/** Points outside of the canvas (or of the shown part of their picture) become 0, 0, 0; the order changes only by a flip. */
export function movePoints(
  points: Float64Array,
  through: PointMap,
  { width, height }: { readonly width: number; readonly height: number },
  flips: boolean,
  rules: InstanceRules,
  clip: Box,
): Float64Array {
  const out = new Float64Array(points.length);
  const flipIdx = flips ? rules.flipIdx : undefined;
  for (let k = 0; k < points.length / 3; k++) {
    const from = 3 * (flipIdx?.[k] ?? k);
    const v = points[from + 2]!;
    const px = points[from]!;
    const py = points[from + 1]!;
    if (v === 0 || px < clip[0] || py < clip[1] || px > clip[2] || py > clip[3]) continue;
    const [x, y] = movePoint(through, px, py);
    // The right and bottom border belong to the canvas: a point at 0 is still there after a flip.
    if (!(x >= 0 && y >= 0 && x <= width && y <= height)) continue;
    out[3 * k] = x;
    out[3 * k + 1] = y;
    out[3 * k + 2] = v;
  }
  return out;
}
