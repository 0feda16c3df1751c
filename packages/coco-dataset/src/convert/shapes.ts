/** Largest distance in pixels between an ellipse and the polygon that stands for it: an order below the rasteriser's grid of 1/5 px. */
const MAX_DEVIATION = 0.02;

/**
 * Polygon of a rotated ellipse. A chord of angle a deviates r (1 - cos(a / 2)) from its arc; the number of corners keeps that below
 * 0.02 px.
 *
 * @param rotationDegrees - clockwise on screen (y down)
 * @returns flat `[x, y, ...]`
 */
export function ellipsePolygon({
  cx,
  cy,
  rx,
  ry,
  rotationDegrees = 0,
}: {
  cx: number;
  cy: number;
  rx: number;
  ry: number;
  rotationDegrees?: number;
}): number[] {
  const radius = Math.max(rx, ry, MAX_DEVIATION);
  const corners = Math.max(12, Math.ceil(Math.PI / Math.acos(Math.max(0, 1 - MAX_DEVIATION / radius))));
  const angle = (rotationDegrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const ring: number[] = [];
  for (let i = 0; i < corners; i++) {
    const t = (2 * Math.PI * i) / corners;
    const [x, y] = [rx * Math.cos(t), ry * Math.sin(t)];
    ring.push(cx + x * cos - y * sin, cy + x * sin + y * cos);
  }
  return ring;
}

/**
 * Axis-aligned `[x, y, width, height]` around a box turned about its centre.
 * @param rotationDegrees - clockwise on screen (y down)
 */
export function rotatedBoxBounds({
  x1,
  y1,
  x2,
  y2,
  rotationDegrees,
}: {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
  rotationDegrees: number;
}): [number, number, number, number] {
  const angle = (rotationDegrees * Math.PI) / 180;
  const [cos, sin] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
  const [w, h] = [x2 - x1, y2 - y1];
  const [width, height] = [w * cos + h * sin, w * sin + h * cos];
  return [(x1 + x2 - width) / 2, (y1 + y2 - height) / 2, width, height];
}
