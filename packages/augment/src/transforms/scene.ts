import { z } from "zod";
import { type FillColor, fillColor, integer, integerRange, number, type Range, range } from "../core/schemas.js";
import { draw, f, type ImageTransform } from "../core/transform.js";

/** Transmittance of a clear plane: {@link Kernels.veil} reads 0..256. */
const CLEAR = 256;

/** x1, y1, x2, y2 as shares of the canvas. */
const roi = (fallback: readonly [number, number, number, number]) =>
  z
    .tuple([number(0, 1), number(0, 1), number(0, 1), number(0, 1)])
    .refine(([x1, y1, x2, y2]) => x1 < x2 && y1 < y2, { error: "expected x1 < x2 and y1 < y2" })
    .readonly()
    .default([...fallback]);
type Roi = readonly [number, number, number, number];

/** Rounded means of (2 r + 1) x (2 r + 1) cells; the border repeats. In place. */
export function blurPlane(plane: Float32Array, width: number, height: number, radius: number): void {
  if (radius < 1) return;
  const scale = 1 / (2 * radius + 1);
  // A row with its ends repeated radius + 1 times.
  const line = new Float64Array(width + 2 * radius + 2);
  const first = radius + 1;
  for (let y = 0; y < height; y++) {
    const start = y * width;
    line.fill(plane[start]!, 0, first);
    line.set(plane.subarray(start, start + width), first);
    line.fill(plane[start + width - 1]!, first + width);
    let sum = 0;
    for (let i = 1; i <= 2 * radius + 1; i++) sum += line[i]!;
    for (let i = 0, add = 2 * radius + 2, drop = 1; i < width; i++, add++, drop++) {
      plane[start + i] = sum * scale;
      sum += line[add]! - line[drop]!;
    }
  }
  // Columns in row order would be a cache miss each; a running sum per column walks rows instead.
  const sums = new Float64Array(width);
  const copy = plane.slice();
  const row = (y: number) => (y < 0 ? 0 : y >= height ? height - 1 : y) * width;
  for (let y = -radius; y <= radius; y++) for (let x = 0, p = row(y); x < width; x++, p++) sums[x]! += copy[p]!;
  for (let y = 0; y < height; y++) {
    const add = row(y + radius + 1);
    const drop = row(y - radius);
    for (let x = 0, p = y * width; x < width; x++, p++) {
      plane[p] = sums[x]! * scale;
      sums[x]! += copy[add + x]! - copy[drop + x]!;
    }
  }
}

/** Colour of one level per channel. */
const levels = (color: FillColor, channels: number): number[] =>
  Array.from({ length: channels }, (_, c) => Math.round(typeof color === "number" ? color : (color[c] ?? color[0]!)));

const RINGS = 40;
/** What each ring lets through, 1 - alpha_i^3. */
const RING_THROUGH = Float64Array.from({ length: RINGS }, (_, i) => 1 - (1 - i / (RINGS - 1)) ** 3);
/** T where the rings from i on lie around a point: RING_THROUGH_FROM[i]. */
const RING_THROUGH_FROM = Float64Array.from({ length: RINGS + 1 }, (_, i) =>
  RING_THROUGH.subarray(i).reduce((product, through) => product * through, 1),
);

interface FlareParams {
  roi: Roi;
  radiusFrac: Range;
  circles: Range;
  color: FillColor;
}
interface FlareSampled {
  x: number;
  y: number;
  radius: number;
  angle: number;
  circles: number;
  color: FillColor;
  key: number;
  readonly [key: string]: unknown;
}

/**
 * A glow around a point of the region, out = x T(d) + color (1 - T(d)) with T(d) the product of 1 - alpha_i^3 over the 40 discs r_i >= d (r from 1 to R, alpha
 * from 1 to 0), and translucent circles along a line through the image centre.
 */
export const RandomSunFlare: ImageTransform<FlareParams, FlareSampled> = {
  type: "RandomSunFlare",
  kind: "image",
  needsColor: true,
  schema: z.strictObject({
    roi: roi([0, 0, 1, 0.5]),
    radiusFrac: range(0, 1).default([0.15, 0.3]),
    circles: integerRange(0, 64).default([6, 10]),
    color: fillColor.default(255),
  }),
  keys: ["roi", "radiusFrac", "circles", "color"],
  sample(random, { roi: [x1, y1, x2, y2], radiusFrac, circles, color }, { width, height, size }) {
    return {
      x: f(random.uniform(x1, x2) * width),
      y: f(random.uniform(y1, y2) * height),
      radius: f(draw(random, radiusFrac) * size),
      angle: f(random.uniform(0, 2 * Math.PI)),
      circles: random.integer(circles[0], circles[1]),
      color,
      key: random.uint32(),
    };
  },
  apply(image, { x, y, radius, circles, color, key }, { kernels, random, size }) {
    const width = (image.width + 1) >> 1;
    const height = (image.height + 1) >> 1;
    const plane = new Uint16Array(width * height).fill(CLEAR);
    // T as a function of the squared distance: no root per pixel. Half-resolution cell (i, j) has its centre at (2 i + 1, 2 j + 1).
    const entries = 1024;
    const table = new Uint16Array(entries + 1).fill(CLEAR);
    // Radii ascend where R > 1, and so do the distances: the first ring around a point moves on with it.
    for (let k = 0, ring = 0; k < entries && radius > 1; k++) {
      const distance = Math.sqrt((k + 0.5) / entries) * radius;
      while (ring < RINGS && 1 + ((radius - 1) * ring) / (RINGS - 1) < distance) ring++;
      table[k] = Math.round(CLEAR * RING_THROUGH_FROM[ring]!);
    }
    if (radius > 1) {
      const perSquare = entries / (radius * radius);
      disc(width, height, x, y, radius, (p, squared) => {
        plane[p] = table[(squared * perSquare) | 0]!;
      });
    }
    // The line from the sun through the centre of the picture.
    const stream = random(key);
    for (let k = 0; k < circles; k++) {
      const along = stream.uniform(-0.2, 1.8);
      const circle = 0.3 * size * stream.uniform() ** 3;
      const alpha = stream.uniform(0.05, 0.2);
      const factor = Math.round(CLEAR * (1 - alpha));
      const cx = x + (image.width / 2 - x) * along;
      const cy = y + (image.height / 2 - y) * along;
      disc(width, height, cx, cy, circle, (p) => {
        plane[p] = (plane[p]! * factor + 128) >> 8;
      });
    }
    kernels.veil(image, plane, levels(color, image.channels));
  },
};

/** Half-resolution cells whose centres lie in a disc, with the squared distance in pixels. */
function disc(
  width: number,
  height: number,
  cx: number,
  cy: number,
  radius: number,
  visit: (p: number, squared: number) => void,
): void {
  const limit = radius * radius;
  const top = Math.max(0, Math.ceil((cy - radius - 1) / 2));
  const bottom = Math.min(height - 1, Math.floor((cy + radius - 1) / 2));
  for (let j = top; j <= bottom; j++) {
    const dy = 2 * j + 1 - cy;
    const half = Math.sqrt(Math.max(0, limit - dy * dy));
    const left = Math.max(0, Math.ceil((cx - half - 1) / 2));
    const right = Math.min(width - 1, Math.floor((cx + half - 1) / 2));
    for (let i = left; i <= right; i++) {
      const dx = 2 * i + 1 - cx;
      const squared = dx * dx + dy * dy;
      if (squared < limit) visit(j * width + i, squared);
    }
  }
}

interface ShadowParams {
  roi: Roi;
  count: Range;
  vertices: number;
  intensity: Range;
  featherFrac: Range;
}
interface ShadowSampled {
  roi: Roi;
  count: number;
  vertices: number;
  intensity: number;
  feather: number;
  key: number;
  readonly [key: string]: unknown;
}

/** Feathered polygons, vertices sorted by their angle around the centroid; out = x (1 - intensity * mask). */
export const RandomShadow: ImageTransform<ShadowParams, ShadowSampled> = {
  type: "RandomShadow",
  kind: "image",
  schema: z.strictObject({
    roi: roi([0, 0.5, 1, 1]),
    count: integerRange(1, 32).default([1, 2]),
    vertices: integer(3, 64).default(5),
    intensity: range(0, 1).default([0.2, 0.6]),
    featherFrac: range(0, 0.5).default([0.01, 0.02]),
  }),
  keys: ["roi", "count", "vertices", "intensity", "featherFrac"],
  sample: (random, { roi: region, count, vertices, intensity, featherFrac }, { size }) => ({
    roi: region,
    count: random.integer(count[0], count[1]),
    vertices,
    intensity: draw(random, intensity),
    feather: f(draw(random, featherFrac) * size),
    key: random.uint32(),
  }),
  apply(image, { roi: [x1, y1, x2, y2], count, vertices, intensity, feather, key }, { kernels, random }) {
    if (intensity === 0) return;
    const width = (image.width + 1) >> 1;
    const height = (image.height + 1) >> 1;
    const stream = random(key);
    const plane = new Float32Array(width * height);
    for (let k = 0; k < count; k++) {
      const points = Array.from({ length: vertices }, () => ({
        x: (stream.uniform(x1, x2) * image.width) / 2,
        y: (stream.uniform(y1, y2) * image.height) / 2,
      }));
      const cx = points.reduce((sum, p) => sum + p.x, 0) / vertices;
      const cy = points.reduce((sum, p) => sum + p.y, 0) / vertices;
      points.sort((a, b) => Math.atan2(a.y - cy, a.x - cx) - Math.atan2(b.y - cy, b.x - cx));
      fillPolygon(plane, width, height, points);
    }
    blurPlane(plane, width, height, Math.round(feather / 4));
    const out = new Uint16Array(plane.length);
    for (let i = 0; i < plane.length; i++) out[i] = Math.round(CLEAR * (1 - intensity * plane[i]!));
    kernels.veil(image, out, levels(0, image.channels));
  },
};

/** Even-odd scanline fill with 1. */
function fillPolygon(
  plane: Float32Array,
  width: number,
  height: number,
  points: readonly { x: number; y: number }[],
): void {
  for (let row = 0; row < height; row++) {
    const y = row + 0.5;
    const crossings: number[] = [];
    for (let i = 0, j = points.length - 1; i < points.length; j = i, i++) {
      const a = points[j]!;
      const b = points[i]!;
      if (a.y <= y === b.y <= y) continue;
      crossings.push(a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y));
    }
    crossings.sort((a, b) => a - b);
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const from = Math.max(0, Math.ceil(crossings[k]! - 0.5));
      const to = Math.min(width, Math.ceil(crossings[k + 1]! - 0.5));
      if (to > from) plane.fill(1, row * width + from, row * width + to);
    }
  }
}

interface FogParams {
  coef: Range;
  alphaCoef: number;
  discs: Range;
}
interface FogSampled {
  coef: number;
  alphaCoef: number;
  discs: number;
  key: number;
  readonly [key: string]: unknown;
}

/** (1 - a)^k: what k layers of fog let through. */
export const fogThrough = (a: number, k: number): number => (1 - a) ** k;

/**
 * Overlapping discs of radius U(0.05, 0.1) S coef; where k of them cover a pixel, out = x (1 - a)^k + 255 (1 - (1 - a)^k), a = alphaCoef coef. The
 * transmittance is smoothed by a box of about S / 30 (the fog has no edges; the objects keep theirs).
 */
export const RandomFog: ImageTransform<FogParams, FogSampled> = {
  type: "RandomFog",
  kind: "image",
  needsColor: true,
  schema: z.strictObject({
    coef: range(0, 1).default([0.3, 1]),
    alphaCoef: number(0, 1).default(0.08),
    discs: integerRange(1, 10000).default([500, 1500]),
  }),
  keys: ["coef", "alphaCoef", "discs"],
  sample: (random, { coef, alphaCoef, discs }) => ({
    coef: draw(random, coef),
    alphaCoef,
    discs: random.integer(discs[0], discs[1]),
    key: random.uint32(),
  }),
  apply(image, { coef, alphaCoef, discs, key }, { kernels, random, size }) {
    const a = alphaCoef * coef;
    if (a === 0) return;
    const width = (image.width + 1) >> 1;
    const height = (image.height + 1) >> 1;
    // Differences along rows: a disc adds 1 where it begins and -1 where it ends.
    const stride = width + 1;
    const steps = new Int16Array(stride * height);
    const stream = random(key);
    for (let k = 0; k < discs; k++) {
      const cx = stream.uniform() * image.width;
      const cy = stream.uniform() * image.height;
      const radius = stream.uniform(0.05, 0.1) * size * coef;
      const top = Math.max(0, Math.ceil((cy - radius - 1) / 2));
      const bottom = Math.min(height - 1, Math.floor((cy + radius - 1) / 2));
      for (let j = top; j <= bottom; j++) {
        const dy = 2 * j + 1 - cy;
        const half = Math.sqrt(Math.max(0, radius * radius - dy * dy));
        const left = Math.max(0, Math.ceil((cx - half - 1) / 2));
        const right = Math.min(width - 1, Math.floor((cx + half - 1) / 2));
        if (right < left) continue;
        steps[j * stride + left]!++;
        steps[j * stride + right + 1]!--;
      }
    }
    const table = new Float32Array(discs + 1);
    for (let k = 0; k <= discs; k++) table[k] = fogThrough(a, k);
    const plane = new Float32Array(width * height);
    for (let j = 0; j < height; j++) {
      let covering = 0;
      for (let i = 0, s = j * stride, p = j * width; i < width; i++, s++, p++) {
        covering += steps[s]!;
        plane[p] = table[covering]!;
      }
    }
    // A box of S / 30 pixels is S / 60 cells wide.
    blurPlane(plane, width, height, Math.round(size / 120));
    const out = new Uint16Array(plane.length);
    for (let i = 0; i < plane.length; i++) out[i] = Math.round(CLEAR * plane[i]!);
    kernels.veil(image, out, levels(255, image.channels));
  },
};
