import type { Box } from "@seg/coco-dataset";

/** Mirrors and rotations of a square picture: bit 0 mirrors left-right, bit 1 upside down, bit 2 swaps the axes (first). */
export const SQUARE_VIEWS = 8;

/** Pixel of the picture that lies at (x, y) of the view. */
export function viewSource(x: number, y: number, side: number, view: number): number {
  const u = view & 1 ? side - 1 - x : x;
  const v = view & 2 ? side - 1 - y : y;
  return view & 4 ? u * side + v : v * side + u;
}

/** The box of an object in the view. */
export function viewBox([x1, y1, x2, y2]: Box, side: number, view: number): [number, number, number, number] {
  const [a, b, c, d] = view & 4 ? [y1, x1, y2, x2] : [x1, y1, x2, y2];
  const [left, right] = view & 1 ? [side - c, side - a] : [a, c];
  const [top, bottom] = view & 2 ? [side - d, side - b] : [b, d];
  return [left, top, right, bottom];
}
