import { PreprocessError } from "./errors.js";
import type { Geometry } from "./geometry.js";
import { type LinearTaps, sampleTaps } from "./resize-torch.js";

function checkLength(name: string, length: number, width: number, height: number): void {
  if (length === width * height) return;
  throw new PreprocessError({
    code: "config_invalid",
    message: `${name} got ${length} values for ${width} x ${height}, expected ${width * height}. Pass one row-major mask at a time.`,
  });
}

/** Source index of each network pixel: floor((d + 0.5 - pad) / scale), or -1 outside the content. */
function nearestIndices(net: number, pad: number, scale: number, size: number): Int32Array {
  return Int32Array.from({ length: net }, (_, d) => {
    const at = Math.floor((d + 0.5 - pad) / scale);
    return at >= 0 && at < size ? at : -1;
  });
}

/**
 * A binary mask of the image on the model's input: the training target of segmentation. Nearest neighbour with half-pixel centres,
 * src = floor((d + 0.5 - pad) / scale); the padding is 0.
 *
 * @param mask - row-major [origH, origW]
 * @returns row-major [netH, netW]
 * @throws PreprocessError `config_invalid` when `mask` has another length
 */
export function mapMaskToModel(mask: Uint8Array, geometry: Geometry): Uint8Array {
  const { origW, origH, netW, netH, padL, padT, scaleX, scaleY } = geometry;
  checkLength("mapMaskToModel", mask.length, origW, origH);
  const xs = nearestIndices(netW, padL, scaleX, origW);
  const ys = nearestIndices(netH, padT, scaleY, origH);
  const out = new Uint8Array(netW * netH);
  for (let y = 0; y < netH; y++) {
    if (ys[y]! < 0) continue;
    const row = ys[y]! * origW;
    for (let x = 0; x < netW; x++) if (xs[x]! >= 0) out[y * netW + x] = mask[row + xs[x]!]!;
  }
  return out;
}

/** Bilinear taps that take image pixel x to ((x + 0.5) * scale + pad) * grid / net - 0.5, clamped to the grid. */
function directTaps(orig: number, scale: number, pad: number, net: number, grid: number): LinearTaps {
  const taps = Math.min(2, grid);
  const start = new Int32Array(orig);
  const weights = new Float64Array(orig * taps);
  for (let x = 0; x < orig; x++) {
    const at = Math.min(Math.max((((x + 0.5) * scale + pad) * grid) / net - 0.5, 0), grid - 1);
    const low = Math.min(Math.floor(at), grid - taps);
    start[x] = low;
    weights[x * taps] = taps === 1 ? 1 : 1 - (at - low);
    if (taps === 2) weights[x * taps + 1] = at - low;
  }
  return { taps, start, weights };
}

/**
 * Mask logits of a model back on the image by one bilinear sample per pixel, without rounding the padding. Threshold the result, not
 * the input. SAM's and YOLO's own chains are `samMaskToImage` and `yoloMaskToImage`.
 *
 * @param logits - row-major [gridH, gridW], covering the whole network input (its size, or prototypes of a fraction of it)
 * @returns float32 [origH, origW]
 * @throws PreprocessError `config_invalid` when `logits` has another length
 */
export function mapMaskToImage(
  logits: Float32Array,
  { gridW, gridH, geometry }: { gridW: number; gridH: number; geometry: Geometry },
): Float32Array {
  checkLength("mapMaskToImage", logits.length, gridW, gridH);
  const { origW, origH, netW, netH, padL, padT, scaleX, scaleY } = geometry;
  const out = new Float32Array(origW * origH);
  const x = directTaps(origW, scaleX, padL, netW, gridW);
  const y = directTaps(origH, scaleY, padT, netH, gridH);
  sampleTaps(logits, gridW, x, y, out);
  return out;
}
