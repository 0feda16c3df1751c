import type { Box, RgbImage } from "@seg/coco-dataset";
import type { Inside } from "./shapes.js";

export type Rgb = readonly [red: number, green: number, blue: number];

/** Square float picture, RGB, 0..255. */
export interface Canvas {
  readonly side: number;
  readonly data: Float32Array;
}

/** Where a figure lies: centre and radius in pixels, rotation in radians. */
export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly angle: number;
}

/** Samples per pixel and axis: 9 levels of coverage are enough for soft edges after blur and noise. */
const SAMPLES = 3;

/** Share of every pixel that lies inside, and the pixel range that can be touched. */
export interface Coverage {
  readonly data: Float32Array;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Coverage of a figure whose extent is at most `reach` units. */
export function rasterize(side: number, inside: Inside, { x, y, radius, angle }: Placement, reach = 1.45): Coverage {
  const data = new Float32Array(side * side);
  const left = Math.max(0, Math.floor(x - reach * radius));
  const right = Math.min(side, Math.ceil(x + reach * radius));
  const top = Math.max(0, Math.floor(y - reach * radius));
  const bottom = Math.min(side, Math.ceil(y + reach * radius));
  const cos = Math.cos(angle) / radius;
  const sin = Math.sin(angle) / radius;
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      let hits = 0;
      for (let j = 0; j < SAMPLES; j++) {
        const dy = row + (j + 0.5) / SAMPLES - y;
        for (let i = 0; i < SAMPLES; i++) {
          const dx = column + (i + 0.5) / SAMPLES - x;
          if (inside(dx * cos + dy * sin, dy * cos - dx * sin)) hits++;
        }
      }
      data[row * side + column] = hits / (SAMPLES * SAMPLES);
    }
  }
  return { data, left, top, right, bottom };
}

/** Pixel colour written into `out`. */
export type Paint = (x: number, y: number, out: Float32Array) => void;

/** canvas = canvas (1 - a) + paint a, a = coverage alpha. */
export function composite(canvas: Canvas, coverage: Coverage, paint: Paint, alpha = 1): void {
  const { side, data } = canvas;
  const colour = new Float32Array(3);
  for (let y = coverage.top; y < coverage.bottom; y++) {
    for (let x = coverage.left; x < coverage.right; x++) {
      const weight = coverage.data[y * side + x]! * alpha;
      if (weight <= 0) continue;
      paint(x, y, colour);
      const at = 3 * (y * side + x);
      for (let c = 0; c < 3; c++) data[at + c] = data[at + c]! * (1 - weight) + colour[c]! * weight;
    }
  }
}

/** Darkens by `strength` below a figure, shifted and blurred. */
export function dropShadow(
  canvas: Canvas,
  coverage: Coverage,
  { dx, dy, blur, strength }: { dx: number; dy: number; blur: number; strength: number },
): void {
  const { side, data } = canvas;
  const shifted = new Float32Array(side * side);
  for (let y = coverage.top; y < coverage.bottom; y++) {
    const row = y + dy;
    if (row < 0 || row >= side) continue;
    for (let x = coverage.left; x < coverage.right; x++) {
      const column = x + dx;
      if (column >= 0 && column < side) shifted[row * side + column] = coverage.data[y * side + x]!;
    }
  }
  boxBlur(shifted, side, 1, blur);
  boxBlur(shifted, side, 1, blur);
  for (let i = 0; i < side * side; i++) {
    const keep = 1 - strength * shifted[i]!;
    for (let c = 0; c < 3; c++) data[3 * i + c] = data[3 * i + c]! * keep;
  }
}

/** Mean over 2 radius + 1 pixels along both axes, edges repeated; radius in whole pixels. In place. */
export function boxBlur(data: Float32Array, side: number, channels: number, radius: number): void {
  const line = new Float32Array(side);
  const size = 2 * radius + 1;
  for (const [stepAlong, stepAcross] of [
    [channels, side * channels],
    [side * channels, channels],
  ] as const) {
    for (let k = 0; k < side; k++) {
      for (let c = 0; c < channels; c++) {
        const base = k * stepAcross + c;
        for (let i = 0; i < side; i++) line[i] = data[base + i * stepAlong]!;
        let sum = line[0]! * (radius + 1);
        for (let i = 1; i <= radius; i++) sum += line[Math.min(i, side - 1)]!;
        for (let i = 0; i < side; i++) {
          data[base + i * stepAlong] = sum / size;
          sum += line[Math.min(i + radius + 1, side - 1)]! - line[Math.max(i - radius, 0)]!;
        }
      }
    }
  }
}

/** Anti-aliased stroke of a given width, coverage only. */
export function strokeCoverage(
  side: number,
  [x1, y1, x2, y2]: readonly [number, number, number, number],
  width: number,
): Coverage {
  const data = new Float32Array(side * side);
  const left = Math.max(0, Math.floor(Math.min(x1, x2) - width));
  const right = Math.min(side, Math.ceil(Math.max(x1, x2) + width));
  const top = Math.max(0, Math.floor(Math.min(y1, y2) - width));
  const bottom = Math.min(side, Math.ceil(Math.max(y1, y2) + width));
  const dx = x2 - x1;
  const dy = y2 - y1;
  const square = Math.max(dx * dx + dy * dy, 1e-9);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - x1;
      const py = y + 0.5 - y1;
      const along = Math.min(Math.max((px * dx + py * dy) / square, 0), 1);
      const distance = Math.hypot(px - along * dx, py - along * dy);
      data[y * side + x] = Math.min(Math.max(width / 2 + 0.5 - distance, 0), 1);
    }
  }
  return { data, left, top, right, bottom };
}

/** Pixels covered by at least half. */
export function toMask(coverage: Coverage): Uint8Array {
  const mask = new Uint8Array(coverage.data.length);
  for (let i = 0; i < mask.length; i++) mask[i] = coverage.data[i]! >= 0.5 ? 1 : 0;
  return mask;
}

/** Tight box of a mask, or null when it is empty. */
export function maskBox(mask: Uint8Array, side: number): Box | null {
  let left = side;
  let top = side;
  let right = -1;
  let bottom = -1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (mask[y * side + x] === 0) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? null : [left, top, right + 1, bottom + 1];
}

export function maskArea(mask: Uint8Array): number {
  let area = 0;
  for (let i = 0; i < mask.length; i++) area += mask[i]!;
  return area;
}

/** Rounded and clipped to bytes. */
export function toImage({ side, data }: Canvas): RgbImage {
  return { width: side, height: side, data: Uint8Array.from(Uint8ClampedArray.from(data)) };
}
