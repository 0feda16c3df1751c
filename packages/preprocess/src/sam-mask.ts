import { PreprocessError } from "./errors.js";
import type { Geometry } from "./geometry.js";
import { bilinearTaps, composeTaps, resizeTorchBilinear, sampleTaps } from "./resize-torch.js";

/**
 * SAM's mask logits back on the image: bilinear from side x side to the network size, crop of the content, bilinear to the
 * original size. Both steps are linear and separable, so each axis is one set of composed taps and the network-sized plane is never made.
 * Threshold the result at > 0.
 *
 * @param logits - float32 [side, side]
 * @param side - 256 for a 1024 input
 * @returns float32 [origH, origW]
 * @throws PreprocessError `config_invalid` when `logits` is not side x side
 */
export function samMaskToImage(logits: Float32Array, side: number, geometry: Geometry): Float32Array {
  if (logits.length !== side * side) {
    throw new PreprocessError({
      code: "config_invalid",
      message: `samMaskToImage got ${logits.length} logits, expected ${side} x ${side}. Pass one mask at a time.`,
    });
  }
  const { contentW, contentH, origW, origH, netW, netH } = geometry;
  const x = composeTaps(bilinearTaps(side, netW), bilinearTaps(contentW, origW), side);
  const y = composeTaps(bilinearTaps(side, netH), bilinearTaps(contentH, origH), side);
  const out = new Float32Array(origW * origH);
  sampleTaps(logits, side, x, y, out);
  return out;
}

/**
 * SAM 2's mask logits back on the image: one bilinear step from side x side to the original size. Threshold the result at > 0.
 *
 * @param logits - float32 [side, side]
 * @returns float32 [origH, origW]
 * @throws PreprocessError `config_invalid` when `logits` is not side x side
 */
export function sam2MaskToImage(logits: Float32Array, side: number, { origW, origH }: Geometry): Float32Array {
  return resizeTorchBilinear({ data: logits, width: side, height: side, outWidth: origW, outHeight: origH });
}
