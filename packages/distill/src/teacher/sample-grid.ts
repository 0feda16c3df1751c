/** The four cells around a position and how far it is from the first towards the others. */
export interface Corners {
  readonly u0: number;
  readonly u1: number;
  readonly v0: number;
  readonly v1: number;
  readonly fu: number;
  readonly fv: number;
}

/** Cells around a continuous position: centres lie at + 0.5, beyond the outermost centres the border value goes on. */
export function cornersAt(x: number, y: number, width: number, height: number): Corners {
  const u = Math.min(Math.max(x - 0.5, 0), width - 1);
  const v = Math.min(Math.max(y - 0.5, 0), height - 1);
  const u0 = Math.floor(u);
  const v0 = Math.floor(v);
  return { u0, v0, u1: Math.min(u0 + 1, width - 1), v1: Math.min(v0 + 1, height - 1), fu: u - u0, fv: v - v0 };
}

/**
 * Bilinear value of a square grid at a continuous position.
 * @returns null outside of the grid
 */
export function sampleGrid(values: Float32Array, side: number, x: number, y: number): number | null {
  if (!(x >= 0 && y >= 0 && x < side && y < side)) return null;
  const { u0, u1, v0, v1, fu, fv } = cornersAt(x, y, side, side);
  const top = values[v0 * side + u0]! * (1 - fu) + values[v0 * side + u1]! * fu;
  const bottom = values[v1 * side + u0]! * (1 - fu) + values[v1 * side + u1]! * fu;
  return top * (1 - fv) + bottom * fv;
}
