import type { PixelRect } from "../kernels/span-table.js";

/**
 * A bounded displacement of the canvas: output point q shows what was at q + d(q). Continuous pixel-edge coordinates; identity outside
 * of the canvas as far as its border is.
 */
export interface InverseField {
  /** True when one span's end is the next one's start: neighbouring values may be shared. */
  readonly isContinuous: boolean;
  /**
   * Calls back for pieces of the output rows on which d is linear: d at the centre of column `from` and at that of column `to`
   * (one past the piece, extrapolated). Pieces cover `rect`, and may cover more of its rows.
   */
  eachSpan(
    rect: PixelRect,
    visit: (row: number, from: number, to: number, dx0: number, dy0: number, dx1: number, dy1: number) => void,
  ): void;
  /** The output point that shows source point p: q + d(q) = p. */
  forward(x: number, y: number): [number, number];
  /** q + d(q). */
  backward(x: number, y: number): [number, number];
}
