/** Continuous pixel coordinates: the centre of pixel (0, 0) is (0.5, 0.5). */
export type Point = readonly [x: number, y: number];

/** Share of each pixel, 0..1, that a shape covers, inside a window of the image. */
export interface Coverage {
  readonly x0: number;
  readonly y0: number;
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** Sub-scanlines of a pixel; horizontally coverage is exact. */
const SUBLINES = 4;

/** Antialiased coverage of a polygon (non-zero winding), clipped to the image. */
export function rasterize(points: readonly Point[], imageWidth: number, imageHeight: number): Coverage {
  let [left, top, right, bottom] = [imageWidth, imageHeight, 0, 0];
  for (const [x, y] of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  const x0 = Math.max(0, Math.floor(left));
  const y0 = Math.max(0, Math.floor(top));
  const width = Math.max(0, Math.min(imageWidth, Math.ceil(right)) - x0);
  const height = Math.max(0, Math.min(imageHeight, Math.ceil(bottom)) - y0);
  const data = new Float32Array(width * height);
  const crossings: { x: number; turn: number }[] = [];
  for (let line = 0; line < height * SUBLINES; line++) {
    const y = y0 + (line + 0.5) / SUBLINES;
    crossings.length = 0;
    for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
      const [xa, ya] = points[j]!;
      const [xb, yb] = points[i]!;
      if (ya <= y === yb <= y) continue;
      crossings.push({ x: xa + ((y - ya) / (yb - ya)) * (xb - xa), turn: ya < yb ? 1 : -1 });
    }
    crossings.sort((a, b) => a.x - b.x);
    const row = Math.floor(line / SUBLINES) * width;
    let winding = 0;
    for (let i = 0; i + 1 < crossings.length; i++) {
      winding += crossings[i]!.turn;
      if (winding !== 0) addSpan(data, row, width, crossings[i]!.x - x0, crossings[i + 1]!.x - x0);
    }
  }
  return { x0, y0, width, height, data };
}

function addSpan(data: Float32Array, row: number, width: number, from: number, to: number): void {
  const a = Math.max(0, from);
  const b = Math.min(width, to);
  if (b <= a) return;
  const first = Math.floor(a);
  const last = Math.min(width - 1, Math.floor(b));
  const share = 1 / SUBLINES;
  if (first === last) {
    data[row + first]! += (b - a) * share;
    return;
  }
  data[row + first]! += (first + 1 - a) * share;
  for (let x = first + 1; x < last; x++) data[row + x]! += share;
  data[row + last]! += (b - last) * share;
}

/** Sum of coverage: the area in pixels. */
export function coveredArea({ data }: Coverage): number {
  let sum = 0;
  for (const value of data) sum += value;
  return sum;
}

/** `cover` without what `occluder` hides. */
export function hideBehind(cover: Coverage, occluder: Coverage): Coverage {
  const data = cover.data.slice();
  const fromX = Math.max(cover.x0, occluder.x0);
  const toX = Math.min(cover.x0 + cover.width, occluder.x0 + occluder.width);
  const fromY = Math.max(cover.y0, occluder.y0);
  const toY = Math.min(cover.y0 + cover.height, occluder.y0 + occluder.height);
  for (let y = fromY; y < toY; y++)
    for (let x = fromX; x < toX; x++) {
      const hidden = occluder.data[(y - occluder.y0) * occluder.width + x - occluder.x0]!;
      data[(y - cover.y0) * cover.width + x - cover.x0]! *= 1 - hidden;
    }
  return { ...cover, data };
}

/** RGB image of floats 0..255, row-major HWC. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** Colour and opacity 0..1 of one pixel, written by a shader. */
export interface Ink {
  r: number;
  g: number;
  b: number;
  alpha: number;
}

/** Lays a shape over the canvas; `shade(x, y, ink)` sees pixel centres. */
export function paint(canvas: Canvas, cover: Coverage, shade: (x: number, y: number, ink: Ink) => void): void {
  const ink: Ink = { r: 0, g: 0, b: 0, alpha: 1 };
  for (let row = 0; row < cover.height; row++)
    for (let column = 0; column < cover.width; column++) {
      const share = cover.data[row * cover.width + column]!;
      if (share <= 0) continue;
      const [x, y] = [cover.x0 + column, cover.y0 + row];
      ink.alpha = 1;
      shade(x + 0.5, y + 0.5, ink);
      const opacity = Math.min(1, share) * ink.alpha;
      const at = (y * canvas.width + x) * 3;
      canvas.data[at]! += (ink.r - canvas.data[at]!) * opacity;
      canvas.data[at + 1]! += (ink.g - canvas.data[at + 1]!) * opacity;
      canvas.data[at + 2]! += (ink.b - canvas.data[at + 2]!) * opacity;
    }
}

/** Outline of a curve of varying half-width (tapered streaks, straps, arms). */
export function thickCurve(path: readonly Point[], halfWidth: (t: number) => number): Point[] {
  const left: Point[] = [];
  const right: Point[] = [];
  for (const [i, [x, y]] of path.entries()) {
    const [ax, ay] = path[Math.max(0, i - 1)]!;
    const [bx, by] = path[Math.min(path.length - 1, i + 1)]!;
    const length = Math.hypot(bx - ax, by - ay) || 1;
    const half = halfWidth(i / (path.length - 1));
    const [nx, ny] = [(-(by - ay) / length) * half, ((bx - ax) / length) * half];
    left.push([x + nx, y + ny]);
    right.push([x - nx, y - ny]);
  }
  return [...left, ...right.reverse()];
}
