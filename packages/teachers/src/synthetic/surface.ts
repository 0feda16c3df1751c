import type { CounterRandom } from "@seg/augment";
import { boxBlur, type Canvas, composite, type Paint, type Rgb, strokeCoverage } from "./canvas.js";

/** Hues in degrees: red, orange, yellow, green, cyan, blue, purple, pink. */
const HUES = [0, 28, 55, 120, 180, 225, 275, 325] as const;

/** Names of the eleven colours, in the order of {@link drawColour}'s kinds. */
export const COLOUR_KINDS = [
  "red",
  "orange",
  "yellow",
  "green",
  "cyan",
  "blue",
  "purple",
  "pink",
  "black",
  "gray",
  "white",
] as const;
export type ColourKind = (typeof COLOUR_KINDS)[number];
export const TEXTURE_KINDS = ["plain", "striped", "dotted", "checkered"] as const;
export type TextureKind = (typeof TEXTURE_KINDS)[number];

function hsv(hueDegrees: number, saturation: number, value: number): Rgb {
  const channel = (n: number) => {
    const k = (n + hueDegrees / 60) % 6;
    return 255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1)));
  };
  return [channel(5), channel(3), channel(1)];
}

/** A shade of the named colour. */
export function drawColour(kind: ColourKind, random: CounterRandom): Rgb {
  if (kind === "black") return grey(random, 5, 45);
  if (kind === "gray") return grey(random, 95, 165);
  if (kind === "white") return grey(random, 218, 252);
  const hue = HUES[COLOUR_KINDS.indexOf(kind)]! + random.uniform(-9, 9);
  return hsv((hue + 360) % 360, random.uniform(0.65, 1), random.uniform(0.6, 1));
}

function grey(random: CounterRandom, low: number, high: number): Rgb {
  const level = random.uniform(low, high);
  return [level + random.uniform(-5, 5), level + random.uniform(-5, 5), level + random.uniform(-5, 5)];
}

/** Largest difference of any channel. */
export function contrast(a: Rgb, b: Rgb): number {
  return Math.max(Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]), Math.abs(a[2] - b[2]));
}

/** A texture of `colour`; the second tone is a darker or lighter version of it or another colour. */
export function drawTexture(kind: TextureKind, colour: Rgb, random: CounterRandom, side: number): Paint {
  const angle = random.uniform(0, Math.PI);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  if (kind === "plain") {
    if (random.uniform() >= 0.4) return flat(colour);
    const slope = (random.uniform(-1, 1) * 60) / side;
    const middle = random.uniform(0, side);
    return (x, y, out) => {
      const shift = slope * (x * cos + y * sin - middle);
      for (let c = 0; c < 3; c++) out[c] = colour[c]! + shift;
    };
  }
  const second = secondTone(colour, random);
  const period = random.uniform(4.5, 9);
  const phaseU = random.uniform(0, period);
  const phaseV = random.uniform(0, period);
  const duty = random.uniform(0.35, 0.6);
  const pick = (isSecond: boolean, out: Float32Array) => {
    const source = isSecond ? second : colour;
    for (let c = 0; c < 3; c++) out[c] = source[c]!;
  };
  const wrap = (value: number) => (((value / period) % 1) + 1) % 1;
  if (kind === "striped") return (x, y, out) => pick(wrap(x * cos + y * sin + phaseU) < duty, out);
  if (kind === "checkered") {
    return (x, y, out) => pick(wrap(x * cos + y * sin + phaseU) < 0.5 !== wrap(y * cos - x * sin + phaseV) < 0.5, out);
  }
  const radius = random.uniform(0.22, 0.36);
  return (x, y, out) =>
    pick(Math.hypot(wrap(x * cos + y * sin + phaseU) - 0.5, wrap(y * cos - x * sin + phaseV) - 0.5) < radius, out);
}

export function flat(colour: Rgb): Paint {
  return (_x, _y, out) => {
    for (let c = 0; c < 3; c++) out[c] = colour[c]!;
  };
}

function secondTone(colour: Rgb, random: CounterRandom): Rgb {
  if (random.uniform() < 0.5) {
    const luminance = (colour[0] + colour[1] + colour[2]) / 3;
    const shift = (luminance > 127 ? -1 : 1) * random.uniform(45, 110);
    return [colour[0] + shift, colour[1] + shift, colour[2] + shift];
  }
  let best = colour;
  for (let attempt = 0; attempt < 4 && contrast(best, colour) < 60; attempt++) {
    best = drawColour(COLOUR_KINDS[random.integer(0, COLOUR_KINDS.length - 1)]!, random);
  }
  return best;
}

/** Smooth random field in about [-1, 1]: Catmull-Rom interpolation of random values on a grid of `cells` per side. */
export function smoothField(side: number, cells: number, random: CounterRandom): Float32Array {
  const count = cells + 3;
  const grid = Float64Array.from({ length: count * count }, () => random.uniform(-1, 1));
  const base = new Int32Array(side);
  const weights = new Float64Array(side * 4);
  for (let i = 0; i < side; i++) {
    const position = ((i + 0.5) * cells) / side;
    const index = Math.min(Math.floor(position), cells - 1);
    const t = position - index;
    base[i] = index;
    weights.set(
      [
        (-t + 2 * t * t - t * t * t) / 2,
        (2 - 5 * t * t + 3 * t * t * t) / 2,
        (t + 4 * t * t - 3 * t * t * t) / 2,
        (t * t * t - t * t) / 2,
      ],
      4 * i,
    );
  }
  const field = new Float32Array(side * side);
  const rows = new Float64Array(count);
  for (let y = 0; y < side; y++) {
    for (let k = 0; k < count; k++) {
      let sum = 0;
      for (let j = 0; j < 4; j++) sum += weights[4 * y + j]! * grid[(base[y]! + j) * count + k]!;
      rows[k] = sum;
    }
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let j = 0; j < 4; j++) sum += weights[4 * x + j]! * rows[base[x]! + j]!;
      field[y * side + x] = sum;
    }
  }
  return field;
}

/** Adds a field times `amplitude`, the same to all channels or each scaled by `tint`. */
export function addField({ side, data }: Canvas, field: Float32Array, amplitude: number, tint: Rgb = [1, 1, 1]): void {
  for (let i = 0; i < side * side; i++) {
    const shift = field[i]! * amplitude;
    for (let c = 0; c < 3; c++) data[3 * i + c] = data[3 * i + c]! + shift * tint[c]!;
  }
}

/** Thin lines across the picture. */
export function clutterLines(canvas: Canvas, random: CounterRandom, count: number): void {
  const { side } = canvas;
  for (let i = 0; i < count; i++) {
    const coverage = strokeCoverage(
      side,
      [random.uniform(0, side), random.uniform(0, side), random.uniform(0, side), random.uniform(0, side)],
      random.uniform(0.5, 1.8),
    );
    const colour: Rgb = [random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)];
    composite(canvas, coverage, flat(colour), random.uniform(0.3, 0.9));
  }
}

/** Four bytes of one xorshift word added up: near enough to N(0, 1) for sensor noise, and one word per value. */
export function fastNormal(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const sum = (state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + (state >>> 24);
    return (sum - 510) / 147.8;
  };
}

/** Base colour with slow and fast variation, sometimes a faint pattern. @returns the base colour */
export function paintBackground(canvas: Canvas, random: CounterRandom): Rgb {
  const { side, data } = canvas;
  const level = random.uniform(25, 230);
  const base: Rgb = [level + random.uniform(-35, 35), level + random.uniform(-35, 35), level + random.uniform(-35, 35)];
  for (let i = 0; i < data.length; i++) data[i] = base[i % 3]!;
  const tint: Rgb = [random.uniform(0.6, 1.2), random.uniform(0.6, 1.2), random.uniform(0.6, 1.2)];
  addField(canvas, smoothField(side, random.integer(2, 4), random), random.uniform(5, 30), tint);
  if (random.uniform() < 0.5) {
    addField(canvas, smoothField(side, random.integer(12, 28), random), random.uniform(2, 12), tint);
  }
  if (random.uniform() < 0.25) {
    const kind = TEXTURE_KINDS[random.integer(1, 3)]!;
    const paint = drawTexture(kind, base, random, side);
    const colour = new Float32Array(3);
    const alpha = random.uniform(0.06, 0.22);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        paint(x, y, colour);
        const at = 3 * (y * side + x);
        for (let c = 0; c < 3; c++) data[at + c] = data[at + c]! * (1 - alpha) + colour[c]! * alpha;
      }
    }
  }
  return base;
}

/** Uneven light, optics and sensor: illumination field, 40 % blur, 70 % noise of 1 to 9 levels. */
export function finish(canvas: Canvas, random: CounterRandom): void {
  const { side, data } = canvas;
  const light = smoothField(side, random.integer(1, 3), random);
  const strength = random.uniform(0.03, 0.2);
  for (let i = 0; i < side * side; i++) {
    const gain = 1 + strength * light[i]!;
    for (let c = 0; c < 3; c++) data[3 * i + c] = data[3 * i + c]! * gain;
  }
  if (random.uniform() < 0.4) {
    // Blending with a 3-pixel mean has a deviation of sqrt(2 w / 3) pixels per axis: w = .14 .. 1 gives 0.3 .. 0.8.
    const weight = random.uniform(0.14, 1);
    const blurred = Float32Array.from(data);
    boxBlur(blurred, side, 3, 1);
    for (let i = 0; i < data.length; i++) data[i] = data[i]! * (1 - weight) + blurred[i]! * weight;
  }
  if (random.uniform() < 0.7) {
    const deviation = random.uniform(1, 9);
    const normal = fastNormal(random.uint32());
    for (let i = 0; i < data.length; i++) data[i] = data[i]! + deviation * normal();
  }
}
