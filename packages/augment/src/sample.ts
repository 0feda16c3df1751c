import type { Box, RgbImage } from "@seg/coco-dataset";
import type { Affine } from "./affine.js";
import { AugmentError } from "./errors.js";

/** One object of a {@link Sample}. Pixels of the sample, continuous: pixel i covers [i, i + 1). */
export interface SampleInstance {
  readonly classId: number;
  readonly box: Box;
  /** Parts, flat `x, y, ...`; each part is filled by the even-odd rule, the parts are united. */
  readonly polygons?: readonly Float64Array[];
  /** Annotation id the instance came from. */
  readonly sourceId?: number;
  /** Source image pixels -> sample pixels; cached teacher results of the source image travel through it. */
  readonly matrix: Affine;
  /** A region to leave out of the loss (COCO crowd); never dropped for low visibility. */
  readonly ignore?: boolean;
}

/** A picture and its objects. Never changed by a transform; results share no pixels with it. */
export interface Sample {
  readonly image: RgbImage;
  readonly instances: readonly SampleInstance[];
}

/** @throws AugmentError `invalid_image`, `invalid_instance` */
export function checkSample({ image, instances }: Sample): void {
  checkImage(image);
  for (const [i, { box, polygons, sourceId }] of instances.entries()) {
    const name = `instance ${i}${sourceId === undefined ? "" : ` (annotation ${sourceId})`}`;
    if (!box.every(Number.isFinite)) {
      throw new AugmentError({
        code: "invalid_instance",
        message: `The box of ${name} is [${box.join(", ")}]; four finite numbers are needed.`,
      });
    }
    for (const part of polygons ?? []) {
      if (part.length % 2 !== 0 || !part.every(Number.isFinite)) {
        throw new AugmentError({
          code: "invalid_instance",
          message: `A polygon of ${name} has ${part.length} values; an even number of finite x, y values is needed.`,
        });
      }
    }
  }
}

/** @throws AugmentError `invalid_image` */
export function checkImage({ width, height, data }: RgbImage): void {
  // Above 32767 the 16.16 fixed-point coordinates of the warp overflow.
  const sane = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!sane || Math.max(width, height) > 32767 || data.length !== width * height * 3) {
    throw new AugmentError({
      code: "invalid_image",
      message: `An image of ${width} x ${height} with ${data.length} bytes is not RGB uint8 of 1..32767 px a side (expected ${width * height * 3} bytes).`,
    });
  }
}
