import type { CounterRandom } from "@seg/augment";
import { type Box, type Instance, mask as maskAlgebra, xywhToXyxy } from "@seg/coco-dataset";
import type { Geometry } from "@seg/preprocess";

/** Share of each target cell that is covered by source pixels, as (first pixel, weights) per cell along one axis. */
function coverage(
  cells: number,
  net: number,
  scale: number,
  size: number,
): { first: Int32Array; weights: Float64Array[] } {
  const first = new Int32Array(cells);
  const weights: Float64Array[] = [];
  const step = net / cells / scale;
  for (let i = 0; i < cells; i++) {
    const low = i * step;
    const high = Math.min((i + 1) * step, size);
    const start = Math.min(Math.floor(low), size);
    const end = Math.max(Math.ceil(high), start);
    const row = new Float64Array(Math.max(end - start, 0));
    for (let p = start; p < end; p++) row[p - start] = Math.max(Math.min(p + 1, high) - Math.max(p, low), 0) / step;
    first[i] = start;
    weights.push(row);
  }
  return { first, weights };
}

/**
 * A mask of the image as area-averaged coverage on the grid of SAM's mask logits. Cells in the padding are 0.
 *
 * @param pixels - row-major [origH, origW], 0 or 1
 * @param side - cells along one side of the padded model image
 * @param mirrored - as if image and mask had been mirrored left-right before preparation
 * @returns [side, side] in [0, 1]
 */
export function maskTarget({
  pixels,
  geometry,
  side,
  mirrored = false,
}: {
  readonly pixels: Uint8Array;
  readonly geometry: Geometry;
  readonly side: number;
  readonly mirrored?: boolean;
}): Float32Array {
  const { origW, origH, netW, netH, scaleX, scaleY } = geometry;
  const x = coverage(side, netW, scaleX, origW);
  const y = coverage(side, netH, scaleY, origH);
  const result = new Float32Array(side * side);
  const row = new Float64Array(side);
  let cached = -1;
  for (let j = 0; j < side; j++) {
    const vertical = y.weights[j]!;
    for (let v = 0; v < vertical.length; v++) {
      const line = y.first[j]! + v;
      if (line !== cached) {
        for (let i = 0; i < side; i++) {
          const horizontal = x.weights[i]!;
          let sum = 0;
          for (let h = 0; h < horizontal.length; h++) {
            const column = x.first[i]! + h;
            sum += horizontal[h]! * pixels[line * origW + (mirrored ? origW - 1 - column : column)]!;
          }
          row[i] = sum;
        }
        cached = line;
      }
      const weight = vertical[v]!;
      for (let i = 0; i < side; i++) result[j * side + i]! += weight * row[i]!;
    }
  }
  return result;
}

/** 1 for cells of the mask-logit grid whose centre lies in the image content, 0 in the padding; [side, side]. */
export function validCells({ contentW, contentH, netW, netH }: Geometry, side: number): Float32Array {
  const result = new Float32Array(side * side);
  for (let j = 0; j < side; j++) {
    for (let i = 0; i < side; i++) {
      if (((i + 0.5) * netW) / side < contentW && ((j + 0.5) * netH) / side < contentH) result[j * side + i] = 1;
    }
  }
  return result;
}

/** `box` after its image of `width` pixels has been mirrored left-right. */
export function mirrorBox([x1, y1, x2, y2]: Box, width: number): Box {
  return [width - x2, y1, width - x1, y2];
}

/** The box to prompt with: the annotated one, or the tight box of the mask where that has no extent. */
export function promptBox({ box, mask }: Pick<Instance, "box" | "mask">): Box {
  if (mask === undefined || (box[2] > box[0] && box[3] > box[1])) return box;
  return xywhToXyxy(maskAlgebra.toBbox(mask));
}

/** How far prompt boxes move in training. */
export interface BoxJitter {
  /** Standard deviation of each coordinate as a share of the box side along its axis. */
  readonly relative: number;
  /** Largest move as a share of that side. */
  readonly limit: number;
  /** Largest move in pixels of the model image. @defaultValue no limit */
  readonly limitPixels?: number;
}

/**
 * Moves every coordinate by N(0, (relative side)^2), clipped, and keeps the box inside the width x height content with sides of at
 * least 2 pixels: detector boxes err in both directions. Consumes eight numbers.
 */
export function jitterBox(
  box: Box,
  random: CounterRandom,
  { width, height }: { width: number; height: number },
  { relative, limit, limitPixels = Number.POSITIVE_INFINITY }: BoxJitter,
): Box {
  const move = (side: number): number => {
    const most = Math.min(limit * side, limitPixels);
    return Math.max(-most, Math.min(most, random.normal() * relative * side));
  };
  const [x1, y1, x2, y2] = box;
  const moved = [x1 + move(x2 - x1), y1 + move(y2 - y1), x2 + move(x2 - x1), y2 + move(y2 - y1)] as const;
  const [left, right] = keepInside(moved[0], moved[2], width);
  const [top, bottom] = keepInside(moved[1], moved[3], height);
  return [left, top, right, bottom];
}

function keepInside(low: number, high: number, size: number): [number, number] {
  const a = Math.max(0, Math.min(low, high, size));
  const b = Math.min(size, Math.max(low, high, 0));
  if (b - a >= 2) return [a, b];
  const middle = Math.max(1, Math.min(size - 1, (a + b) / 2));
  return [Math.max(0, middle - 1), Math.min(size, middle + 1)];
}
