/** One sixth of a turn in hue steps: 30 half-degrees, each cut in 16 so that rounding the hue stays below a level. */
const SECTOR = 480;
/** Hue steps of one turn. */
export const HSV_TURN = 6 * SECTOR;

/** round(480 * 4096 / d) and round(255 * 4096 / d) replace the divisions; entry 0 is never used with a chroma. */
const HUE_PER_CHROMA = Int32Array.from({ length: 256 }, (_, d) => (d === 0 ? 0 : Math.round((SECTOR * 4096) / d)));
const SATURATION_PER_VALUE = Int32Array.from({ length: 256 }, (_, v) => (v === 0 ? 0 : Math.round((255 * 4096) / v)));
/** v (255 - s) / 255 and so on: 255 * 480 as one multiplication. */
const SCALE = 1 / (255 * SECTOR);

/** A table of 256 levels: the rounded, clipped value of `map`. */
export const levelTable = (map: (level: number) => number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, level) => Math.min(255, Math.max(0, Math.round(map(level)))));

/** A table of the hues of one turn, and one more: the rounded value of `map`, modulo one turn. */
export const hueTable = (map: (hue: number) => number): Uint16Array =>
  Uint16Array.from(
    { length: HSV_TURN + 1 },
    (_, h) => ((Math.round(map(h % HSV_TURN)) % HSV_TURN) + HSV_TURN) % HSV_TURN,
  );

/**
 * Sends RGB pixels through tables of hue ({@link HSV_TURN} steps), saturation and value (256 levels) of OpenCV's HSV. Gray pixels stay gray.
 *
 * @param out - may be `data`
 */
export function mapHsv(
  data: Uint8Array,
  out: Uint8Array,
  { hue, saturation, value }: { hue: Uint16Array; saturation: Uint8Array; value: Uint8Array },
): void {
  for (let i = 0; i + 2 < data.length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const high = r > g ? (r > b ? r : b) : g > b ? g : b;
    const low = r < g ? (r < b ? r : b) : g < b ? g : b;
    const chroma = high - low;
    const v = value[high]!;
    if (chroma === 0) {
      out[i] = v;
      out[i + 1] = v;
      out[i + 2] = v;
      continue;
    }
    let h: number;
    if (high === r) {
      h = (Math.imul(g - b, HUE_PER_CHROMA[chroma]!) + 2048) >> 12;
      if (h < 0) h += HSV_TURN;
    } else if (high === g) h = 2 * SECTOR + ((Math.imul(b - r, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    else h = 4 * SECTOR + ((Math.imul(r - g, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    h = hue[h]!;
    const s = saturation[(Math.imul(chroma, SATURATION_PER_VALUE[high]!) + 2048) >> 12]!;
    const sector = (h / SECTOR) | 0;
    const along = h - sector * SECTOR;
    // v (1 - s), and v (1 - s f) or v (1 - s (1 - f)), with s in 0..255 and f in 0..480.
    const least = (v * (255 - s) * SECTOR * SCALE + 0.5) | 0;
    const middle = (v * (255 * SECTOR - s * ((sector & 1) === 1 ? along : SECTOR - along)) * SCALE + 0.5) | 0;
    if (sector < 2) {
      out[i] = sector === 0 ? v : middle;
      out[i + 1] = sector === 0 ? middle : v;
      out[i + 2] = least;
    } else if (sector < 4) {
      out[i] = least;
      out[i + 1] = sector === 2 ? v : middle;
      out[i + 2] = sector === 2 ? middle : v;
    } else {
      out[i] = sector === 4 ? middle : v;
      out[i + 1] = least;
      out[i + 2] = sector === 4 ? v : middle;
    }
  }
}
