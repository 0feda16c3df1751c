import type { Rle } from "../types.js";
import { decode, encode, toBbox } from "./rle.js";

/** Width of the band as a share of the image diagonal, as in the paper. */
const DILATION = 0.02;

/**
 * The mask's pixels within d of its edge, d = max(1, round(0.02 * image diagonal)) in the chessboard metric; the image border is an edge
 * (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", 2021).
 */
export function boundaryBand(rle: Rle): Rle {
  const [height, width] = rle.size;
  const [left, top, boxWidth, boxHeight] = toBbox(rle);
  const radius = Math.max(1, Math.round(DILATION * Math.hypot(height, width)));
  const pixels = decode(rle);
  if (boxWidth === 0) return rle;
  // Rows, then columns: a square window of ones survives when its run in both directions does.
  const rows = new Uint8Array(pixels.length);
  for (let y = top; y < top + boxHeight; y++) erodeLine(pixels, rows, y * width + left, 1, boxWidth, radius);
  const eroded = new Uint8Array(pixels.length);
  for (let x = left; x < left + boxWidth; x++) erodeLine(rows, eroded, top * width + x, width, boxHeight, radius);
  for (let i = 0; i < pixels.length; i++) if (eroded[i] === 1) pixels[i] = 0;
  return encode(pixels, height, width);
}

/** Keeps the ones with `radius` further ones on both sides along a line; outside the line there are none. */
function erodeLine(from: Uint8Array, to: Uint8Array, start: number, step: number, count: number, radius: number): void {
  let run = 0;
  for (let i = 0; i < count; i++) {
    run = from[start + i * step] === 1 ? run + 1 : 0;
    if (run > 2 * radius) to[start + (i - radius) * step] = 1;
  }
}
