import type { RgbImage } from "@seg/coco-dataset";
import { AugmentError } from "./errors.js";
import type { CounterRandom } from "./philox.js";
import { checkImage } from "./sample.js";

/** One sixth of a turn in hue steps: cv2's 30 half-degree pairs, each cut in 16 so that rounding the hue stays below one level. */
const SECTOR = 480;
const TURN = 6 * SECTOR;

/** round(480 * 4096 / d) and round(255 * 4096 / d) replace the divisions; entry 0 is never used with a chroma. */
const HUE_PER_CHROMA = Int32Array.from({ length: 256 }, (_, d) => (d === 0 ? 0 : Math.round((SECTOR * 4096) / d)));
const SATURATION_PER_VALUE = Int32Array.from({ length: 256 }, (_, v) => (v === 0 ? 0 : Math.round((255 * 4096) / v)));

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
  const hueTable = new Int32Array(TURN + 1);
  for (let h = 0; h <= TURN; h++) hueTable[h] = ((Math.round((h % TURN) * hue) % TURN) + TURN) % TURN;
  const clip = (x: number) => Math.min(255, Math.max(0, Math.round(x)));
  const saturationTable = Uint8Array.from({ length: 256 }, (_, s) => clip(s * saturation));
  const valueTable = Uint8Array.from({ length: 256 }, (_, v) => clip(v * value));
  const { data } = image;
  const out = new Uint8Array(data.length);
  const scale = 1 / (255 * SECTOR);
  for (let i = 0; i < data.length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const high = r > g ? (r > b ? r : b) : g > b ? g : b;
    const low = r < g ? (r < b ? r : b) : g < b ? g : b;
    const chroma = high - low;
    const v = valueTable[high]!;
    if (chroma === 0) {
      out[i] = v;
      out[i + 1] = v;
      out[i + 2] = v;
      continue;
    }
    let h: number;
    if (high === r) {
      h = (Math.imul(g - b, HUE_PER_CHROMA[chroma]!) + 2048) >> 12;
      if (h < 0) h += TURN;
    } else if (high === g) h = 2 * SECTOR + ((Math.imul(b - r, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    else h = 4 * SECTOR + ((Math.imul(r - g, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    h = hueTable[h]!;
    const s = saturationTable[(Math.imul(chroma, SATURATION_PER_VALUE[high]!) + 2048) >> 12]!;
    const sector = (h / SECTOR) | 0;
    const along = h - sector * SECTOR;
    // v(1-s), v(1-s f), v(1-s(1-f)) with s in 0..255 and f in 0..480.
    const least = (v * (255 - s) * SECTOR * scale + 0.5) | 0;
    const middle = (v * (255 * SECTOR - s * ((sector & 1) === 1 ? along : SECTOR - along)) * scale + 0.5) | 0;
    switch (sector) {
      case 0:
        out[i] = v;
        out[i + 1] = middle;
        out[i + 2] = least;
        break;
      case 1:
        out[i] = middle;
        out[i + 1] = v;
        out[i + 2] = least;
        break;
      case 2:
        out[i] = least;
        out[i + 1] = v;
        out[i + 2] = middle;
        break;
      case 3:
        out[i] = least;
        out[i + 1] = middle;
        out[i + 2] = v;
        break;
      case 4:
        out[i] = middle;
        out[i + 1] = least;
        out[i + 2] = v;
        break;
      default:
        out[i] = v;
        out[i + 1] = least;
        out[i + 2] = middle;
    }
  }
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
