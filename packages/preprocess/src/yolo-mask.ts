import type { Box } from "@seg/coco-dataset";
import { PreprocessError } from "./errors.js";
import { type Geometry, mapBoxToModel } from "./geometry.js";
import { mapMaskToImage } from "./map-mask.js";
import { resizeTorchBilinear } from "./resize-torch.js";
import { pyRound } from "./rounding.js";

/**
 * How YOLO's prototype logits become a mask of the image:
 * - `native`: strip the padding in prototype space (rounded), bilinear to the image, crop by the box
 * - `upsample-first`: bilinear to the network input, crop by the box there, strip the padding, bilinear to the image
 * - `direct`: one bilinear sample per pixel, the padding not rounded, crop by the box
 */
export type YoloMaskMode = "native" | "upsample-first" | "direct";

/** Prototype rows (or columns) of the content: [from, to). */
function protoRange(
  orig: number,
  gain: number,
  before: number,
  after: number,
  proto: number,
): readonly [number, number] {
  if (before + after === 0) return [0, proto];
  // The reference rounds the content in prototype space and centres that, docs/decisions/0009; a top-left content starts at 0.
  const content = Math.min(proto, Math.max(1, pyRound(orig * gain)));
  if (before === 0 && after > 1) return [0, content];
  const pad = (proto - content) / 2;
  const from = pyRound(pad - 0.1);
  return [from, Math.max(from + 1, proto - pyRound(pad + 0.1))];
}

/** The unrounded scale of the letterbox: that of the axis which fills the input, else of the longer content. */
function exactScale({ contentW, contentH, netW, netH, scaleX, scaleY }: Geometry): number {
  if (contentW === netW) return contentH === netH ? Math.min(scaleX, scaleY) : scaleX;
  if (contentH === netH) return scaleY;
  return contentW >= contentH ? scaleX : scaleY;
}

function subPlane(
  plane: Float32Array,
  width: number,
  [x1, x2]: readonly [number, number],
  [y1, y2]: readonly [number, number],
): Float32Array {
  const out = new Float32Array((x2 - x1) * (y2 - y1));
  for (let y = y1; y < y2; y++) out.set(plane.subarray(y * width + x1, y * width + x2), (y - y1) * (x2 - x1));
  return out;
}

/** Zeroes what lies outside the box; pixel c is inside when x1 <= c < x2. */
function crop(plane: Float32Array, width: number, [x1, y1, x2, y2]: Box): void {
  for (let y = 0, i = 0; i < plane.length; y++) {
    for (let x = 0; x < width; x++, i++) if (!(x >= x1 && x < x2 && y >= y1 && y < y2)) plane[i] = 0;
  }
}

/**
 * One instance's logits (coefficients x prototypes) as a binary mask of the image; float32 throughout, thresholded at > 0.
 *
 * @param logits - row-major [protoH, protoW], 160 x 160 for a 640 input
 * @param box - of the instance, xyxy pixels of the image
 * @param mode - record it beside the results; the modes differ by a pixel at edges. @defaultValue "native"
 * @returns row-major [origH, origW] of 0 and 1
 * @throws PreprocessError `config_invalid` when `logits` has another length
 */
export function yoloMaskToImage({
  logits,
  protoW,
  protoH,
  box,
  geometry,
  mode = "native",
}: {
  logits: Float32Array;
  protoW: number;
  protoH: number;
  box: Box;
  geometry: Geometry;
  mode?: YoloMaskMode;
}): Uint8Array {
  if (logits.length !== protoW * protoH) {
    throw new PreprocessError({
      code: "config_invalid",
      message: `yoloMaskToImage got ${logits.length} logits for ${protoW} x ${protoH}, expected ${protoW * protoH}.`,
    });
  }
  const { origW, origH, contentW, contentH, netW, netH, padL, padT, padR, padB } = geometry;
  let plane: Float32Array;
  if (mode === "direct") plane = mapMaskToImage(logits, { gridW: protoW, gridH: protoH, geometry });
  else if (mode === "native") {
    const scale = exactScale(geometry);
    const xs = protoRange(origW, (scale * protoW) / netW, padL, padR, protoW);
    const ys = protoRange(origH, (scale * protoH) / netH, padT, padB, protoH);
    plane = resizeTorchBilinear({
      data: subPlane(logits, protoW, xs, ys),
      width: xs[1] - xs[0],
      height: ys[1] - ys[0],
      outWidth: origW,
      outHeight: origH,
    });
  } else {
    const net = resizeTorchBilinear({
      data: logits,
      width: protoW,
      height: protoH,
      outWidth: netW,
      outHeight: netH,
    });
    crop(net, netW, mapBoxToModel(box, geometry, { clip: false }));
    plane = resizeTorchBilinear({
      data: subPlane(net, netW, [padL, padL + contentW], [padT, padT + contentH]),
      width: contentW,
      height: contentH,
      outWidth: origW,
      outHeight: origH,
    });
  }
  if (mode !== "upsample-first") crop(plane, origW, box);
  return Uint8Array.from(plane, (value) => (value > 0 ? 1 : 0));
}
