import type { Coverage, Point } from "./raster.js";

/** Edges of a cell by which a contour enters and leaves (0 top, 1 right, 2 bottom, 3 left) for corners TL 1, TR 2, BR 4, BL 8 inside. */
const CASES: readonly (readonly (readonly [number, number])[])[] = [
  [],
  [[3, 0]],
  [[0, 1]],
  [[3, 1]],
  [[1, 2]],
  [
    [3, 0],
    [1, 2],
  ],
  [[0, 2]],
  [[3, 2]],
  [[2, 3]],
  [[2, 0]],
  [
    [0, 1],
    [2, 3],
  ],
  [[2, 1]],
  [[1, 3]],
  [[1, 0]],
  [[0, 3]],
  [],
];

/** Outer boundaries and holes of a shape. */
export interface Contours {
  readonly outer: Point[][];
  readonly holes: Point[][];
}

/**
 * Lines where coverage passes 0.5, by marching squares between pixel centres (Lorensen and Cline 1987 in two dimensions), in image
 * coordinates. Outside the window coverage counts as 0, so every contour closes.
 */
export function traceContours(cover: Coverage): Contours {
  const { x0, y0, width, height, data } = cover;
  const value = (i: number, j: number): number =>
    i < 0 || j < 0 || i >= width || j >= height ? 0 : data[j * width + i]!;
  const next = new Map<number, { to: number; point: Point }>();
  const stride = width + 2;
  for (let j = -1; j < height; j++)
    for (let i = -1; i < width; i++) {
      const corners = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)] as const;
      let index = 0;
      for (let k = 0; k < 4; k++) if (corners[k]! >= 0.5) index |= 1 << k;
      for (const [from, to] of CASES[index]!) {
        const key = (edge: number): number => {
          const [x, y] = edge === 1 ? [i + 1, j] : edge === 2 ? [i, j + 1] : [i, j];
          return ((y + 1) * stride + x + 1) * 2 + (edge === 1 || edge === 3 ? 1 : 0);
        };
        const [a, b] = [
          [0, 1],
          [1, 2],
          [3, 2],
          [0, 3],
        ][from] as [number, number];
        const t = (0.5 - corners[a]!) / (corners[b]! - corners[a]!);
        const [dx, dy] = [
          [t, 0],
          [1, t],
          [t, 1],
          [0, t],
        ][from] as [number, number];
        next.set(key(from), { to: key(to), point: [x0 + i + 0.5 + dx, y0 + j + 0.5 + dy] });
      }
    }
  const outer: Point[][] = [];
  const holes: Point[][] = [];
  while (next.size > 0) {
    const loop: Point[] = [];
    let key = next.keys().next().value as number;
    for (let step = next.get(key); step; step = next.get(key)) {
      loop.push(step.point);
      next.delete(key);
      key = step.to;
    }
    // The inside lies to the left on screen, so outer loops have a negative area with y pointing down.
    (signedArea(loop) < 0 ? outer : holes).push(loop);
  }
  return { outer, holes };
}

/** Shoelace area; positive when the points turn clockwise on screen (y down). */
export function signedArea(points: readonly Point[]): number {
  let sum = 0;
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    const [xa, ya] = points[j]!;
    const [xb, yb] = points[i]!;
    sum += xa * yb - xb * ya;
  }
  return sum / 2;
}

/** Douglas-Peucker on a closed loop: no dropped point lies farther than `tolerance` pixels from the result. */
export function simplifyLoop(points: readonly Point[], tolerance: number): Point[] {
  if (points.length < 4) return [...points];
  let far = 0;
  let farthest = -1;
  const [sx, sy] = points[0]!;
  for (const [i, [x, y]] of points.entries()) {
    const distance = Math.hypot(x - sx, y - sy);
    if (distance > farthest) [far, farthest] = [i, distance];
  }
  const first = simplifyOpen(points.slice(0, far + 1), tolerance);
  const second = simplifyOpen([...points.slice(far), points[0]!], tolerance);
  return [...first.slice(0, -1), ...second.slice(0, -1)];
}

function simplifyOpen(points: readonly Point[], tolerance: number): Point[] {
  const [a, b] = [points[0]!, points.at(-1)!];
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = Math.hypot(dx, dy) || 1;
  let far = 0;
  let farthest = tolerance;
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = points[i]!;
    const distance = Math.abs((x - a[0]) * dy - (y - a[1]) * dx) / length;
    if (distance > farthest) [far, farthest] = [i, distance];
  }
  if (far === 0) return [a, b];
  return [
    ...simplifyOpen(points.slice(0, far + 1), tolerance).slice(0, -1),
    ...simplifyOpen(points.slice(far), tolerance),
  ];
}
