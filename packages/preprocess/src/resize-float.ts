import type { RgbImage } from "@seg/coco-dataset";
import type { Triple } from "./chw.js";
import { antialiasTaps } from "./resize-torch.js";

/**
 * RGB uint8 -> normalised planar float32 of another size, antialiased bilinear with torch's weights and no rounding between the passes:
 * (value / 255 - mean) / std. Rows stream through a ring of as many as one output row needs, so memory does not grow with the picture.
 *
 * @param out - float32 [3, height, width]
 */
export function resizeFloatAntialias({
  image,
  width,
  height,
  mean,
  std,
  out,
}: {
  image: RgbImage;
  width: number;
  height: number;
  mean: Triple;
  std: Triple;
  out: Float32Array;
}): void {
  const x = antialiasTaps(image.width, width);
  const y = antialiasTaps(image.height, height);
  const stride = width * 3;
  const ring = new Float32Array(y.taps * stride);
  const sums = new Float64Array(stride);
  const scale = [0, 1, 2].map((c) => 1 / (255 * std[c]!));
  const shift = [0, 1, 2].map((c) => mean[c]! / std[c]!);
  const plane = width * height;
  let next = 0;
  for (let row = 0; row < height; row++) {
    const first = y.start[row]!;
    for (next = Math.max(next, first); next < first + y.taps; next++) {
      horizontalRow(image, next, x.start, x.weights, x.taps, ring, (next % y.taps) * stride);
    }
    for (let t = 0; t < y.taps; t++) {
      const weight = y.weights[row * y.taps + t]!;
      const from = ((first + t) % y.taps) * stride;
      if (t === 0) for (let i = 0; i < stride; i++) sums[i] = weight * ring[from + i]!;
      else if (weight !== 0) for (let i = 0; i < stride; i++) sums[i]! += weight * ring[from + i]!;
    }
    for (let c = 0; c < 3; c++) {
      const k = scale[c]!;
      const b = shift[c]!;
      for (let i = c, o = c * plane + row * width; i < stride; i += 3, o++) out[o] = sums[i]! * k - b;
    }
  }
}

function horizontalRow(
  { data, width }: RgbImage,
  row: number,
  start: Int32Array,
  weights: Float64Array,
  taps: number,
  out: Float32Array,
  at: number,
): void {
  const from = row * width * 3;
  for (let i = 0, o = at; i < start.length; i++, o += 3) {
    let p = from + start[i]! * 3;
    let r = 0;
    let g = 0;
    let b = 0;
    for (let k = i * taps; k < (i + 1) * taps; k++, p += 3) {
      const w = weights[k]!;
      r += w * data[p]!;
      g += w * data[p + 1]!;
      b += w * data[p + 2]!;
    }
    out[o] = r;
    out[o + 1] = g;
    out[o + 2] = b;
  }
}
