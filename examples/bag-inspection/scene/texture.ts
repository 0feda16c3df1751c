import type { CounterRandom } from "@seg/augment";
import type { Canvas } from "./raster.js";

/** Smooth random values of mean 0 and range about -1..1 over the image: a random grid, interpolated with the smoothstep curve. */
export function noiseField(
  rng: CounterRandom,
  { width, height, cell }: { width: number; height: number; cell: number },
): Float32Array {
  const columns = Math.ceil(width / cell) + 2;
  const rows = Math.ceil(height / cell) + 2;
  const grid = Float32Array.from({ length: columns * rows }, () => rng.uniform(-1, 1));
  const field = new Float32Array(width * height);
  const smooth = (t: number): number => t * t * (3 - 2 * t);
  for (let y = 0; y < height; y++) {
    const gy = Math.floor(y / cell);
    const fy = smooth(y / cell - gy);
    for (let x = 0; x < width; x++) {
      const gx = Math.floor(x / cell);
      const fx = smooth(x / cell - gx);
      const at = gy * columns + gx;
      const top = grid[at]! + (grid[at + 1]! - grid[at]!) * fx;
      const low = grid[at + columns]! + (grid[at + columns + 1]! - grid[at + columns]!) * fx;
      field[y * width + x] = top + (low - top) * fy;
    }
  }
  return field;
}

/** Uniform [0, 1) numbers that are cheap enough for every pixel: xorshift32 (Marsaglia 2003), seeded from the counter-based stream. */
export function fastUniform(rng: CounterRandom): () => number {
  let state = rng.uint32() | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  };
}

/** Separable 3-tap blur with weights (side, 1 - 2 side, side); the border repeats. Standard deviation in pixels is sqrt(2 side). */
export function blur(canvas: Canvas, side: number): void {
  const { width, height, data } = canvas;
  const middle = 1 - 2 * side;
  const row = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    const base = y * width * 3;
    row.set(data.subarray(base, base + width * 3));
    for (let i = 0; i < width * 3; i++) {
      const before = row[i < 3 ? i : i - 3]!;
      const after = row[i >= width * 3 - 3 ? i : i + 3]!;
      data[base + i] = side * (before + after) + middle * row[i]!;
    }
  }
  const stride = width * 3;
  let previous = data.slice(0, stride);
  for (let y = 0; y < height; y++) {
    const base = y * stride;
    const current = data.slice(base, base + stride);
    const below = y + 1 < height ? base + stride : base;
    for (let i = 0; i < stride; i++) data[base + i] = side * (previous[i]! + data[below + i]!) + middle * current[i]!;
    previous = current;
  }
}

/**
 * Final step of a picture: sensor noise, rounding to bytes. Noise is the sum of the four bytes of a random word (Irwin-Hall: mean 510,
 * standard deviation sqrt(4 (256^2 - 1) / 12) = 147.8), close to normal and ten times cheaper.
 */
export function toBytes(canvas: Canvas, { rng, sigma }: { rng: CounterRandom; sigma: number }): Uint8Array {
  const { data } = canvas;
  const bytes = new Uint8Array(data.length);
  const scale = sigma / 147.8;
  let state = rng.uint32() | 1;
  for (let i = 0; i < data.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const sum = (state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + (state >>> 24);
    bytes[i] = Math.max(0, Math.min(255, Math.round(data[i]! + (sum - 510) * scale)));
  }
  return bytes;
}
