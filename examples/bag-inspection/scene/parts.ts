import type { CounterRandom } from "@seg/augment";
import { type Canvas, type Coverage, type Point, paint, rasterize, thickCurve } from "./raster.js";

type Colour = readonly [r: number, g: number, b: number];

const labelColours: readonly Colour[] = [
  [238, 238, 234],
  [242, 240, 226],
  [236, 239, 243],
  [236, 206, 70],
  [232, 138, 58],
  [112, 176, 214],
  [128, 196, 128],
];
const inkColours: readonly Colour[] = [
  [32, 32, 36],
  [40, 48, 96],
  [120, 30, 34],
];

/** A printed label: a turned rectangle with rows of text-like strokes, often a coloured header or a bar code. */
export function labelShape(
  rng: CounterRandom,
  { x, y, turn, scale }: { x: number; y: number; turn: number; scale: number },
) {
  const length = rng.uniform(40, 62) * scale;
  const width = rng.uniform(28, 40) * scale;
  const angle = turn + rng.uniform(-0.5, 0.5);
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const corner = (u: number, v: number): Point => [
    x + (u * length * c - v * width * s) / 2,
    y + (u * length * s + v * width * c) / 2,
  ];
  return { outline: [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)], length, width, c, s, x, y };
}

/** Paints a label of {@link labelShape}. */
export function paintLabel(
  canvas: Canvas,
  rng: CounterRandom,
  cover: Coverage,
  shape: ReturnType<typeof labelShape>,
): void {
  const { length, width, c, s, x: cx, y: cy } = shape;
  // White labels are the most frequent.
  const base = labelColours[rng.uniform() < 0.6 ? rng.integer(0, 2) : rng.integer(3, labelColours.length - 1)]!;
  const text = inkColours[rng.integer(0, inkColours.length - 1)]!;
  const header = rng.uniform() < 0.45 ? labelColours[rng.integer(3, labelColours.length - 1)]! : null;
  const bars = rng.uniform() < 0.4 ? rng.uniform(0.55, 0.7) : 2;
  const rows = rng.integer(3, 5);
  const strokes = Array.from({ length: rows * 24 }, () => rng.uniform() < 0.68);
  const barPattern = Array.from({ length: 40 }, () => rng.uniform() < 0.5);
  const ends = Array.from({ length: rows }, () => rng.uniform(0.55, 0.92));
  paint(canvas, cover, (x, y, ink) => {
    const [dx, dy] = [x - cx, y - cy];
    const u = (dx * c + dy * s) / length + 0.5;
    const v = (dy * c - dx * s) / width + 0.5;
    let colour: Colour = base;
    if (header && v < 0.2) colour = header;
    else if (v > bars) {
      if (v < 0.93 && u > 0.1 && u < 0.9 && barPattern[Math.floor(u * 36)]) colour = text;
    } else {
      const line = ((v - 0.22) / (Math.min(bars, 0.95) - 0.24)) * rows;
      const row = Math.floor(line);
      const inRow = line - row;
      if (
        row >= 0 &&
        row < rows &&
        inRow > 0.2 &&
        inRow < 0.72 &&
        u > 0.09 &&
        u < ends[row]! &&
        strokes[row * 24 + Math.floor(u * 24)]
      )
        colour = text;
    }
    // A slight fall-off towards one side: the label bends with the film.
    const light = 1.03 - 0.12 * u;
    ink.r = colour[0] * light;
    ink.g = colour[1] * light;
    ink.b = colour[2] * light;
    ink.alpha = 0.97;
  });
}

/** Kinds of damage: a dark blob, a brown stain, a scratch or tear. */
export type DefectKind = "blob" | "stain" | "scratch";

export function defectShape(
  rng: CounterRandom,
  { kind, x, y, scale }: { kind: DefectKind; x: number; y: number; scale: number },
): { outline: Point[]; radius: number } {
  const turn = rng.uniform(0, Math.PI * 2);
  if (kind === "scratch") {
    const reach = rng.uniform(19, 29) * scale;
    const half = rng.uniform(4.2, 6) * scale;
    const bend = rng.uniform(-0.35, 0.35);
    const path = Array.from({ length: 14 }, (_, i): Point => {
      const t = (i / 13) * 2 - 1;
      const off = bend * reach * (1 - t * t);
      return [
        x + t * reach * Math.cos(turn) - off * Math.sin(turn),
        y + t * reach * Math.sin(turn) + off * Math.cos(turn),
      ];
    });
    const jags = path.map(() => rng.uniform(0.75, 1.15));
    return {
      outline: thickCurve(path, (t) => half * (0.35 + 0.65 * Math.sin(Math.PI * t)) * jags[Math.round(t * 13)]!),
      radius: reach,
    };
  }
  const radius = (kind === "blob" ? rng.uniform(9.5, 15) : rng.uniform(12, 18)) * scale;
  const stretch = rng.uniform(0.75, 1);
  const waves = [2, 3, 5].map((n) => ({ n, gain: rng.uniform(0, 0.3 / n), phase: rng.uniform(0, 6.28) }));
  const outline = Array.from({ length: 30 }, (_, i): Point => {
    const t = (i / 30) * 2 * Math.PI;
    const r = radius * waves.reduce((sum, { n, gain, phase }) => sum + gain * Math.sin(n * t + phase), 1);
    const [px, py] = [r * Math.cos(t), r * stretch * Math.sin(t)];
    return [x + px * Math.cos(turn) - py * Math.sin(turn), y + px * Math.sin(turn) + py * Math.cos(turn)];
  });
  return { outline, radius };
}

export function paintDefect(
  canvas: Canvas,
  rng: CounterRandom,
  cover: Coverage,
  { kind, x: cx, y: cy, radius, warp }: { kind: DefectKind; x: number; y: number; radius: number; warp: Float32Array },
): void {
  const dark: Colour =
    kind === "stain"
      ? [rng.uniform(88, 116), rng.uniform(62, 80), rng.uniform(32, 50)]
      : [rng.uniform(26, 58), rng.uniform(24, 50), rng.uniform(24, 46)];
  const alpha = kind === "stain" ? rng.uniform(0.72, 0.88) : rng.uniform(0.84, 0.96);
  paint(canvas, cover, (x, y, ink) => {
    const w = warp[Math.floor(y) * canvas.width + Math.floor(x)]!;
    const distance = Math.min(1, Math.hypot(x - cx, y - cy) / radius);
    // Stains dry darkest at the rim, blobs are darkest inside.
    const light = kind === "stain" ? 1.15 - 0.3 * distance : 0.85 + 0.3 * distance;
    ink.r = dark[0] * light + 8 * w;
    ink.g = dark[1] * light + 8 * w;
    ink.b = dark[2] * light + 8 * w;
    ink.alpha = alpha;
  });
}

/** Something that lies over the scene: a strap through `aim`, or an arm that reaches towards it from an image edge. */
export function occluderShape(
  rng: CounterRandom,
  { canvas, aim, scale }: { canvas: Canvas; aim: Point; scale: number },
): { cover: Coverage; kind: "strap" | "arm"; axis: Point } {
  const { width, height } = canvas;
  const kind = rng.uniform() < 0.72 ? "strap" : "arm";
  const angle = rng.uniform(0, Math.PI * 2);
  const axis: Point = [Math.cos(angle), Math.sin(angle)];
  const far = width + height;
  if (kind === "strap") {
    const half = rng.uniform(4, 8) * scale;
    const path: Point[] = [
      [aim[0] - axis[0] * far, aim[1] - axis[1] * far],
      [aim[0] + axis[0] * far, aim[1] + axis[1] * far],
    ];
    return {
      cover: rasterize(
        thickCurve(path, () => half),
        width,
        height,
      ),
      kind,
      axis,
    };
  }
  const half = rng.uniform(15, 22) * scale;
  const bend = rng.uniform(-0.12, 0.12);
  const path = Array.from({ length: 24 }, (_, i): Point => {
    const along = (i / 23) * far * 0.8;
    const off = bend * along;
    return [aim[0] + axis[0] * along - axis[1] * off, aim[1] + axis[1] * along + axis[0] * off];
  });
  // A rounded hand, then the sleeve.
  const outline = thickCurve(path, (t) => half * Math.min(1, 0.45 + Math.sqrt(t * 22)) * (t < 0.12 ? 0.92 : 1.05));
  return { cover: rasterize(outline, width, height), kind, axis };
}

export function paintOccluder(
  canvas: Canvas,
  rng: CounterRandom,
  { cover, kind, axis, aim, scale }: { cover: Coverage; kind: "strap" | "arm"; axis: Point; aim: Point; scale: number },
): void {
  const straps: readonly Colour[] = [
    [44, 46, 52],
    [196, 96, 36],
    [58, 84, 128],
    [150, 148, 140],
  ];
  const gloves: readonly Colour[] = [
    [54, 88, 150],
    [196, 152, 124],
    [70, 72, 76],
  ];
  const base = (kind === "strap" ? straps : gloves)[rng.integer(0, kind === "strap" ? 3 : 2)]!;
  const sleeve: Colour = [rng.uniform(50, 110), rng.uniform(60, 110), rng.uniform(70, 130)];
  const reach = (kind === "strap" ? 8 : 20) * scale;
  paint(canvas, cover, (x, y, ink) => {
    const [dx, dy] = [x - aim[0], y - aim[1]];
    const along = dx * axis[0] + dy * axis[1];
    const across = (dy * axis[0] - dx * axis[1]) / reach;
    const weave = kind === "strap" ? (Math.sin((along * 1.6) / scale) > 0.2 ? 1.06 : 0.95) : 1;
    const round = 1.1 - 0.35 * Math.min(1, across * across);
    const colour = kind === "arm" && along > 46 * scale ? sleeve : base;
    ink.r = colour[0] * weave * round;
    ink.g = colour[1] * weave * round;
    ink.b = colour[2] * weave * round;
  });
}
