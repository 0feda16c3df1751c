import type { RgbImage } from "@seg/coco-dataset";
import { AugmentError } from "./errors.js";
import { hueTable, levelTable, mapHsv } from "./kernels/map-hsv.js";
import type { CounterRandom } from "./philox.js";
import { checkImage } from "./sample.js";

/** How far each gain may go from 1. */
export interface HsvRange {
  /** @defaultValue 0.015 */
  readonly hue?: number;
  /** @defaultValue 0.7 */
  readonly saturation?: number;
  /** @defaultValue 0.4 */
  readonly value?: number;
}

/** Multiplies hue (mod one turn), saturation and value (both clipped) by gains. Gray pixels keep their lack of colour. */
export function applyHsvGains(
  image: RgbImage,
  { hue, saturation, value }: { hue: number; saturation: number; value: number },
): RgbImage {
  checkImage(image);
  const out = new Uint8Array(image.data.length);
  mapHsv(image.data, out, {
    hue: hueTable((h) => h * hue),
    saturation: levelTable((s) => s * saturation),
    value: levelTable((v) => v * value),
  });
  return { width: image.width, height: image.height, data: out };
}

/**
 * YOLO's colour jitter: gains 1 + U(-1, 1) * range on hue, saturation and value. Consumes three numbers.
 *
 * @throws AugmentError `invalid_option` for a range outside [0, 1]
 */
export function hsvJitter(
  image: RgbImage,
  { hue = 0.015, saturation = 0.7, value = 0.4, random }: HsvRange & { random: CounterRandom },
): RgbImage {
  for (const [name, range] of Object.entries({ hue, saturation, value })) {
    if (!(range >= 0 && range <= 1)) {
      throw new AugmentError({ code: "invalid_option", message: `hsv ${name} must be in [0, 1], got ${range}.` });
    }
  }
  const gain = (range: number) => Math.fround(1 + random.uniform(-1, 1) * range);
  return applyHsvGains(image, { hue: gain(hue), saturation: gain(saturation), value: gain(value) });
}
