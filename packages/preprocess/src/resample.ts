import type { RgbImage } from "@seg/coco-dataset";
import { writeChw } from "./chw.js";
import type { Placement } from "./geometry.js";
import { type ResizeRequest, resampleToChwSimd } from "./resample-simd.js";
import { resizeCv2Linear } from "./resize-cv2.js";
import { resizePillow } from "./resize-pillow.js";

/** The two uint8 kernels that models were trained with. */
export type Kernel = "pillow-bilinear" | "cv2-linear";

/** Resizes by one kernel; the picture itself (not a copy) when its size already is right. */
export function resample(image: RgbImage, kernel: Kernel, width: number, height: number): RgbImage {
  if (width === image.width && height === image.height) return image;
  return kernel === "cv2-linear" ? resizeCv2Linear(image, width, height) : resizePillow(image, width, height);
}

/**
 * The content of a model's input: resized on uint8, then written through a 3 x 256 table into the planar [3, netH, netW] canvas.
 * The border is left as it is.
 */
export function resampleToChw({
  image,
  kernel,
  geometry,
  table,
  out,
}: {
  image: RgbImage;
  kernel: Kernel;
  geometry: Placement;
  table: Float32Array | Uint8Array;
  out: Float32Array | Uint8Array;
}): void {
  const { contentW, contentH } = geometry;
  const size = { width: contentW, height: contentH };
  // Pillow skips a pass that changes nothing, so its stream also serves pictures that already have their size.
  const isSame = contentW === image.width && contentH === image.height;
  const request: ResizeRequest =
    kernel === "cv2-linear" && !isSame ? { kernel: "cv2", ...size } : { kernel: "pillow", filter: "bilinear", ...size };
  if (resampleToChwSimd(image, request, geometry, table, out)) return;
  const { netW: width, netH: height, padL: left, padT: top } = geometry;
  writeChw({ image: resample(image, kernel, contentW, contentH), table, out, width, height, left, top });
}
