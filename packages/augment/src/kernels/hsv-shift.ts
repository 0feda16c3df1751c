import type { Kernels } from "./kernels.js";

/** One sixth of a turn in hue steps: 30 half-degrees, each cut in 16 so that rounding the hue stays below a level. */
const SECTOR = 480;
const TURN = 6 * SECTOR;

/** round(480 * 4096 / d) and round(255 * 4096 / d) replace the divisions; entry 0 is never used with a chroma. */
const HUE_PER_CHROMA = Int32Array.from({ length: 256 }, (_, d) => (d === 0 ? 0 : Math.round((SECTOR * 4096) / d)));
const SATURATION_PER_VALUE = Int32Array.from({ length: 256 }, (_, v) => (v === 0 ? 0 : Math.round((255 * 4096) / v)));

/** {@link Kernels.hsvShift} with integer tables. */
export const hsvShift: Kernels["hsvShift"] = ({ data }, hue, saturation, value) => {
  const shift = ((Math.round(hue * 16) % TURN) + TURN) % TURN;
  const clip = (x: number) => Math.min(255, Math.max(0, Math.round(x)));
  const saturationTable = Uint8Array.from({ length: 256 }, (_, s) => clip(s + saturation));
  const valueTable = Uint8Array.from({ length: 256 }, (_, v) => clip(v + value));
  // v(255 - s) / 255 and so on: 255 * 480 as one multiplication.
  const scale = 1 / (255 * SECTOR);
  for (let i = 0; i + 2 < data.length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const high = r > g ? (r > b ? r : b) : g > b ? g : b;
    const low = r < g ? (r < b ? r : b) : g < b ? g : b;
    const chroma = high - low;
    const v = valueTable[high]!;
    if (chroma === 0) {
      data[i] = v;
      data[i + 1] = v;
      data[i + 2] = v;
      continue;
    }
    let h: number;
    if (high === r) h = (Math.imul(g - b, HUE_PER_CHROMA[chroma]!) + 2048) >> 12;
    else if (high === g) h = 2 * SECTOR + ((Math.imul(b - r, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    else h = 4 * SECTOR + ((Math.imul(r - g, HUE_PER_CHROMA[chroma]!) + 2048) >> 12);
    h += shift;
    if (h < 0) h += TURN;
    else if (h >= TURN) h -= TURN;
    const s = saturationTable[(Math.imul(chroma, SATURATION_PER_VALUE[high]!) + 2048) >> 12]!;
    const sector = (h / SECTOR) | 0;
    const along = h - sector * SECTOR;
    const least = (v * (255 - s) * SECTOR * scale + 0.5) | 0;
    const middle = (v * (255 * SECTOR - s * ((sector & 1) === 1 ? along : SECTOR - along)) * scale + 0.5) | 0;
    if (sector < 2) {
      data[i] = sector === 0 ? v : middle;
      data[i + 1] = sector === 0 ? middle : v;
      data[i + 2] = least;
    } else if (sector < 4) {
      data[i] = least;
      data[i + 1] = sector === 2 ? v : middle;
      data[i + 2] = sector === 2 ? middle : v;
    } else {
      data[i] = sector === 4 ? middle : v;
      data[i + 1] = least;
      data[i + 2] = sector === 4 ? v : middle;
    }
  }
};
