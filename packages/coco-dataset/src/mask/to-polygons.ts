import type { Rle } from "../types.js";
import { lengthError, runTotal, toBbox } from "./rle.js";
import { simplifyRing } from "./simplify-ring.js";

/** Steps of the directed edges: right, down, left, up. */
const STEP_X = [1, 0, -1, 0] as const;
const STEP_Y = [0, 1, 0, -1] as const;

interface Loop {
  /** Flat integer corners, closed implicitly. */
  points: number[];
  component: number;
  isHole: boolean;
}

/**
 * Lossless polygons: `fromPolygons(toPolygons(m), h, w)` equals `m` for every mask. Directed unit edges run around the foreground
 * (foreground on the right, integer corners); where two edges leave a vertex the walk turns right, so each 4-connected component has one
 * outer ring. A hole joins its ring by a bridge that is walked in both directions and cancels in the even-odd fill.
 *
 * @param options.simplify - largest distance in pixels by which Douglas-Peucker may move the outline; holes keep their bridges. Above 0
 * the polygons are an approximation: rasterise and compare them (`mask.iou`). @defaultValue 0
 * @returns one flat `[x, y, ...]` per 4-connected component, top to bottom, left to right; empty for an empty mask
 * @throws RleError when the runs do not sum to height * width
 */
export function toPolygons(rle: Rle, { simplify = 0 }: { simplify?: number } = {}): Float64Array[] {
  const { pixels, left, top, height, width } = foreground(rle);
  const components = labelComponents(pixels, height, width);
  const loops = traceLoops(pixels, components, height, width);
  if (simplify > 0) for (const loop of loops) loop.points = simplifyRing(loop.points, simplify);
  const holes = new Map<number, number[][]>();
  for (const loop of loops) {
    if (!loop.isHole) continue;
    const list = holes.get(loop.component);
    if (list === undefined) holes.set(loop.component, [loop.points]);
    else list.push(loop.points);
  }
  return loops
    .filter((loop) => !loop.isHole)
    .map((loop) => {
      let ring = loop.points;
      for (const hole of holes.get(loop.component) ?? []) ring = bridge(ring, hole);
      const part = new Float64Array(ring);
      for (let i = 0; i < part.length; i += 2) {
        part[i]! += left;
        part[i + 1]! += top;
      }
      return part;
    });
}

/** The pixels of the mask's box alone, row-major: most masks are a small part of their image. */
function foreground(rle: Rle): { pixels: Uint8Array; left: number; top: number; height: number; width: number } {
  const rows = rle.size[0];
  const total = runTotal(rle);
  if (total !== rows * rle.size[1]) throw lengthError(total, rows, rle.size[1]);
  const [left, top, width, height] = toBbox(rle);
  const pixels = new Uint8Array(width * height);
  let position = 0;
  for (let i = 0; i < rle.counts.length; i++) {
    const end = position + rle.counts[i]!;
    if ((i & 1) === 1) {
      let x = Math.floor(position / rows);
      let y = position - x * rows;
      for (; position < end; position++) {
        pixels[(y - top) * width + x - left] = 1;
        if (++y === rows) {
          y = 0;
          x++;
        }
      }
    }
    position = end;
  }
  return { pixels, left, top, height, width };
}

/** Component number (from 1) of each foreground pixel under 4-connectivity, 0 elsewhere. */
function labelComponents(pixels: Uint8Array, height: number, width: number): Int32Array {
  const labels = new Int32Array(pixels.length);
  const stack: number[] = [];
  let count = 0;
  for (let start = 0; start < pixels.length; start++) {
    if (pixels[start] === 0 || labels[start] !== 0) continue;
    count++;
    labels[start] = count;
    stack.push(start);
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const x = at % width;
      for (let side = 0; side < 4; side++) {
        const isInside =
          side === 0 ? x + 1 < width : side === 1 ? at < (height - 1) * width : side === 2 ? x > 0 : at >= width;
        const next = at + STEP_X[side]! + STEP_Y[side]! * width;
        if (!isInside || pixels[next] === 0 || labels[next] !== 0) continue;
        labels[next] = count;
        stack.push(next);
      }
    }
  }
  return labels;
}

function traceLoops(pixels: Uint8Array, components: Int32Array, height: number, width: number): Loop[] {
  const stride = width + 1;
  /** Per vertex a bit for each direction in which an untraced edge leaves. */
  const exits = new Uint8Array(stride * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (pixels[at] === 0) continue;
      const vertex = y * stride + x;
      if (y === 0 || pixels[at - width] === 0) exits[vertex]! |= 1;
      if (x + 1 === width || pixels[at + 1] === 0) exits[vertex + 1]! |= 2;
      if (y + 1 === height || pixels[at + width] === 0) exits[vertex + stride + 1]! |= 4;
      if (x === 0 || pixels[at - 1] === 0) exits[vertex + stride]! |= 8;
    }
  }
  const loops: Loop[] = [];
  for (let start = 0; start < exits.length; start++) {
    // Every loop has an edge to the right; the first one in scan order begins at a corner, at the top edge of a pixel.
    if ((exits[start]! & 1) === 0) continue;
    const startX = start % stride;
    const startY = (start - startX) / stride;
    const points: number[] = [];
    let x = startX;
    let y = startY;
    let direction = 0;
    let incoming = -1;
    let doubledArea = 0;
    for (;;) {
      const vertex = y * stride + x;
      exits[vertex]! &= ~(1 << direction);
      if (direction !== incoming) points.push(x, y);
      const nextX = x + STEP_X[direction]!;
      const nextY = y + STEP_Y[direction]!;
      doubledArea += x * nextY - nextX * y;
      x = nextX;
      y = nextY;
      incoming = direction;
      if (x === startX && y === startY && (exits[start]! & (1 << ((direction + 1) & 3))) === 0) break;
      const available = exits[y * stride + x]!;
      const right = (direction + 1) & 3;
      const left = (direction + 3) & 3;
      if ((available & (1 << right)) !== 0) direction = right;
      else if ((available & (1 << direction)) === 0) direction = left;
    }
    loops.push({ points, component: components[startY * width + startX]!, isHole: doubledArea < 0 });
  }
  return loops;
}

/** Inserts a hole at the ring's vertex nearest to the hole's first corner: ..., A, B, hole, B, A, ... */
function bridge(ring: readonly number[], hole: readonly number[]): number[] {
  const bx = hole[0]!;
  const by = hole[1]!;
  let nearest = 0;
  let best = Infinity;
  for (let i = 0; i < ring.length; i += 2) {
    const distance = (ring[i]! - bx) ** 2 + (ring[i + 1]! - by) ** 2;
    if (distance < best) {
      best = distance;
      nearest = i;
    }
  }
  return [...ring.slice(0, nearest + 2), ...hole, bx, by, ...ring.slice(nearest)];
}
