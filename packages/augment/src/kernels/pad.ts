import type { SourceImage } from "./work-image.js";

/** Index of a tap mirrored at the centres of the border pixels (`gfedcb|abcdefgh|gfedcba`); also for images of one pixel. */
export function reflect101(index: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * size - 2;
  const at = ((index % period) + period) % period;
  return at < size ? at : period - at;
}

/**
 * A copy with `radius` reflect101 pixels on every side; convolutions then need no border code.
 *
 * @param out - at least (width + 2 radius) * (height + 2 radius) * channels bytes
 */
export function padInto({ width, height, channels, data }: SourceImage, radius: number, out: Uint8Array): void {
  const stride = width * channels;
  const padded = (width + 2 * radius) * channels;
  for (let y = 0; y < height; y++) {
    const p = y * stride;
    const o = (y + radius) * padded;
    out.set(data.subarray(p, p + stride), o + radius * channels);
    for (let x = 1; x <= radius; x++) {
      const left = p + reflect101(-x, width) * channels;
      const right = p + reflect101(width - 1 + x, width) * channels;
      const a = o + (radius - x) * channels;
      const b = o + (radius + width - 1 + x) * channels;
      for (let c = 0; c < channels; c++) {
        out[a + c] = data[left + c]!;
        out[b + c] = data[right + c]!;
      }
    }
  }
  for (let y = 1; y <= radius; y++) {
    const top = (radius + reflect101(-y, height)) * padded;
    const bottom = (radius + reflect101(height - 1 + y, height)) * padded;
    out.copyWithin((radius - y) * padded, top, top + padded);
    out.copyWithin((radius + height - 1 + y) * padded, bottom, bottom + padded);
  }
}
