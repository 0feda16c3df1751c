import type { Affine } from "./affine.js";
import { transformInstances } from "./instances.js";
import type { Sample } from "./sample.js";

/** Mirrors left and right: x' = width - x, for pixels, boxes and polygons alike. */
export function flipHorizontal({ image, instances }: Sample): Sample {
  const { width, height, data } = image;
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    let p = y * width * 3;
    for (let o = p + (width - 1) * 3; o >= y * width * 3; o -= 3, p += 3) {
      out[o] = data[p]!;
      out[o + 1] = data[p + 1]!;
      out[o + 2] = data[p + 2]!;
    }
  }
  const affine: Affine = [-1, 0, width, 0, 1, 0];
  return { image: { width, height, data: out }, instances: transformInstances(instances, affine) };
}

/** Mirrors top and bottom: y' = height - y. */
export function flipVertical({ image, instances }: Sample): Sample {
  const { width, height, data } = image;
  const out = new Uint8Array(data.length);
  const row = width * 3;
  for (let y = 0; y < height; y++) out.set(data.subarray(y * row, (y + 1) * row), (height - 1 - y) * row);
  const affine: Affine = [1, 0, 0, 0, -1, height];
  return { image: { width, height, data: out }, instances: transformInstances(instances, affine) };
}
