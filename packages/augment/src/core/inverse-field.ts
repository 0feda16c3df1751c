import type { PixelRect } from "../kernels/span-table.js";

/**
 * Pieces of one output row on which a map is linear. Arrays, because a call per piece with numbers as arguments would allocate every one of
 * them; grown by {@link reserve}.
 */
export class RowPieces {
  /** First column, and the column after the last. */
  from = new Int32Array(128);
  to = new Int32Array(128);
  /** Values at the centre of column `from` and of column `to` (one past the piece, extrapolated). */
  x0 = new Float64Array(128);
  y0 = new Float64Array(128);
  x1 = new Float64Array(128);
  y1 = new Float64Array(128);

  /** Room for `n` pieces; contents may be lost. */
  reserve(n: number): void {
    if (n <= this.from.length) return;
    this.from = new Int32Array(n);
    this.to = new Int32Array(n);
    this.x0 = new Float64Array(n);
    this.y0 = new Float64Array(n);
    this.x1 = new Float64Array(n);
    this.y1 = new Float64Array(n);
  }
}

/**
 * A bounded displacement of the canvas: output point q shows what was at q + d(q). Continuous pixel-edge coordinates; identity outside
 * of the canvas as far as its border is.
 */
export interface InverseField {
  /**
   * Fills `pieces` with source positions q + d(q) and calls back, once or several times per row. The pieces cover `rect`, and may cover
   * more of its rows.
   */
  eachRow(rect: PixelRect, pieces: RowPieces, visit: (row: number, count: number) => void): void;
  /** The output point that shows source point p: q + d(q) = p. */
  forward(x: number, y: number): [number, number];
  /** q + d(q). */
  backward(x: number, y: number): [number, number];
}
