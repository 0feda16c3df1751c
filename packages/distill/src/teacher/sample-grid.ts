/**
 * Bilinear value of a square grid at a continuous position: centres of grid cells lie at + 0.5, beyond the outermost centres the border value goes on.
 * @returns null outside of the grid
 */
export function sampleGrid(values: Float32Array, side: number, x: number, y: number): number | null {
  if (!(x >= 0 && y >= 0 && x < side && y < side)) return null;
  const u = Math.min(Math.max(x - 0.5, 0), side - 1);
  const v = Math.min(Math.max(y - 0.5, 0), side - 1);
  const u0 = Math.floor(u);
  const v0 = Math.floor(v);
  const u1 = Math.min(u0 + 1, side - 1);
  const v1 = Math.min(v0 + 1, side - 1);
  const fu = u - u0;
  const fv = v - v0;
  const top = values[v0 * side + u0]! * (1 - fu) + values[v0 * side + u1]! * fu;
  const bottom = values[v1 * side + u0]! * (1 - fu) + values[v1 * side + u1]! * fu;
  return top * (1 - fv) + bottom * fv;
}
