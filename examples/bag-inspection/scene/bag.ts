import type { CounterRandom } from "@seg/augment";
import { type Canvas, type Coverage, type Point, paint, rasterize, thickCurve } from "./raster.js";

/** Position of a bag: centre and half sizes in pixels, turn in radians. */
export interface BagFrame {
  readonly cx: number;
  readonly cy: number;
  readonly halfWidth: number;
  readonly halfHeight: number;
  readonly turn: number;
}

/** A bag before it is painted: its outline and that of its two lobes. */
export interface Bag {
  readonly frame: BagFrame;
  readonly body: Coverage;
  readonly outline: Point[];
  readonly ears: {
    readonly cover: Coverage;
    readonly base: Point;
    readonly axis: Point;
    readonly length: number;
    readonly width: number;
  }[];
}

/** Local coordinates (-1..1 over the bag's half sizes) to pixels. */
export function toImage({ cx, cy, halfWidth, halfHeight, turn }: BagFrame, u: number, v: number): Point {
  const [x, y] = [u * halfWidth, v * halfHeight];
  return [cx + x * Math.cos(turn) - y * Math.sin(turn), cy + x * Math.sin(turn) + y * Math.cos(turn)];
}

/** Pixels to local coordinates. */
export function toLocal({ cx, cy, halfWidth, halfHeight, turn }: BagFrame, x: number, y: number): Point {
  const [dx, dy] = [x - cx, y - cy];
  return [
    (dx * Math.cos(turn) + dy * Math.sin(turn)) / halfWidth,
    (dy * Math.cos(turn) - dx * Math.sin(turn)) / halfHeight,
  ];
}

/** Shapes a bag: a quadrilateral with jittered corners and wavy sides, and a teardrop lobe at each upper corner. */
export function shapeBag(
  rng: CounterRandom,
  frame: BagFrame,
  { canvas, scale }: { canvas: Canvas; scale: number },
): Bag {
  const corners = [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ].map(([u, v]): Point => [u! * rng.uniform(0.9, 1.04), v! * rng.uniform(0.92, 1.04)]);
  const outline: Point[] = [];
  const PER_SIDE = 18;
  for (let side = 0; side < 4; side++) {
    const [a, b] = [corners[side]!, corners[(side + 1) % 4]!];
    const [bulge, wave, phase] = [rng.uniform(-0.02, 0.07), rng.uniform(0.005, 0.022), rng.uniform(0, 6.28)];
    const count = rng.integer(2, 5);
    const [nx, ny] = [
      [0, -1],
      [1, 0],
      [0, 1],
      [-1, 0],
    ][side] as [number, number];
    for (let i = 0; i < PER_SIDE; i++) {
      const t = i / PER_SIDE;
      const out = Math.sin(Math.PI * t) * (bulge + wave * Math.sin(2 * Math.PI * count * t + phase));
      outline.push(toImage(frame, a[0] + (b[0] - a[0]) * t + nx * out, a[1] + (b[1] - a[1]) * t + ny * out));
    }
  }
  const ears = [0, 1].map((side) => {
    const corner = corners[side]!;
    const base = toImage(frame, corner[0] * 0.9, corner[1] * 0.93);
    // Outwards and up: about 50 degrees from the horizontal, in the bag's own frame.
    const heading = frame.turn + (side === 0 ? Math.PI : 0) + (side === 0 ? 1 : -1) * rng.uniform(0.7, 1.15);
    const axis: Point = [Math.cos(heading), Math.sin(heading)];
    const length = rng.uniform(40, 54) * scale;
    const width = rng.uniform(29, 41) * scale;
    const [waveGain, wavePhase] = [rng.uniform(0.02, 0.08), rng.uniform(0, 6.28)];
    // A narrow neck, then a lobe that is widest behind its middle and round at the tip.
    const half = (t: number): number => {
      const bulb = Math.max(0, (t - 0.1) / 0.9);
      const lobe = Math.sin(Math.PI * bulb ** 1.15) ** 0.55;
      return (width / 2) * Math.max(0.4 * (1 - t * 1.4), lobe) * (1 + waveGain * Math.sin(9 * t + wavePhase));
    };
    const steps = 20;
    const bend = rng.uniform(-0.25, 0.25);
    const path = Array.from({ length: steps + 1 }, (_, i): Point => {
      const t = i / steps;
      const off = bend * length * t * t;
      return [base[0] + axis[0] * length * t - axis[1] * off, base[1] + axis[1] * length * t + axis[0] * off];
    });
    return { cover: rasterize(thickCurve(path, half), canvas.width, canvas.height), base, axis, length, width };
  });
  return { frame, body: rasterize(outline, canvas.width, canvas.height), outline, ears };
}

/** A soft shadow under the bag: the outline, three times, larger and fainter. */
export function paintShadow(canvas: Canvas, { outline, frame }: Bag, { dx, dy }: { dx: number; dy: number }): void {
  for (const [grow, alpha] of [
    [1.05, 0.1],
    [1.02, 0.14],
    [0.99, 0.18],
  ] as const) {
    const points = outline.map(
      ([x, y]): Point => [frame.cx + (x - frame.cx) * grow + dx, frame.cy + (y - frame.cy) * grow + dy],
    );
    paint(canvas, rasterize(points, canvas.width, canvas.height), (_x, _y, ink) => {
      ink.r = 18;
      ink.g = 18;
      ink.b = 22;
      ink.alpha = alpha;
    });
  }
}

/** Translucent film with fold streaks, a darkened edge and bright lines where it catches the light; lobes are denser and brighter. */
export function paintBag(
  canvas: Canvas,
  rng: CounterRandom,
  bag: Bag,
  { warp, scale }: { warp: Float32Array; scale: number },
): void {
  const { frame } = bag;
  const level = rng.uniform(150, 205);
  const tint = [rng.uniform(-12, 10), rng.uniform(-4, 6), rng.uniform(-8, 16)] as const;
  const opacity = rng.uniform(0.55, 0.8);
  const folds = Array.from({ length: 3 }, (_, i) => ({
    // Folds run mostly downwards from the lobes.
    angle: rng.uniform(-0.5, 0.5) + (i === 2 ? 1.4 : 0),
    frequency: rng.uniform(3, 8),
    phase: rng.uniform(0, 6.28),
    bend: rng.uniform(0.8, 2.2),
    gain: rng.uniform(6, 17) * (rng.uniform() < 0.5 ? 1 : -1),
  })).map((fold) => ({
    ...fold,
    cu: Math.cos(fold.angle) * fold.frequency,
    cv: Math.sin(fold.angle) * fold.frequency,
  }));
  const sag = rng.uniform(-14, 10);
  paint(canvas, bag.body, (x, y, ink) => {
    const [u, v] = toLocal(frame, x, y);
    const w = warp[Math.floor(y) * canvas.width + Math.floor(x)]!;
    let light = level + w * 9 + sag * v;
    for (const { cu, cv, phase, bend, gain } of folds) {
      const ridge = 1 - Math.abs(Math.sin(cu * u + cv * v + bend * w + phase));
      light += gain * ridge * ridge * ridge * 1.4;
    }
    const edge = Math.max(0, (Math.max(Math.abs(u), Math.abs(v)) - 0.86) / 0.14);
    light -= Math.min(1, edge * edge) * 42;
    ink.r = light + tint[0];
    ink.g = light + tint[1];
    ink.b = light + tint[2];
    ink.alpha = Math.min(0.95, opacity + 0.2 * Math.min(1, edge));
  });
  const streaks = rng.integer(5, 9);
  for (let i = 0; i < streaks; i++) paintStreak(canvas, rng, frame, scale);
  for (const ear of bag.ears) {
    const earLevel = level + rng.uniform(8, 30);
    const [pleats, phase] = [rng.uniform(7, 12), rng.uniform(0, 6.28)];
    paint(canvas, ear.cover, (x, y, ink) => {
      const [dx, dy] = [x - ear.base[0], y - ear.base[1]];
      const along = (dx * ear.axis[0] + dy * ear.axis[1]) / ear.length;
      const across = (dy * ear.axis[0] - dx * ear.axis[1]) / (ear.width / 2);
      const pleat = 1 - Math.abs(Math.sin(pleats * 0.35 * across + phase + along * 1.5));
      // A dark tied neck, pleats that fan out from it, a darker rim.
      const neck = Math.max(0, 1 - Math.abs(along - 0.15) / 0.07);
      const rim = Math.max(0, Math.abs(across) - 0.6) * 60 + Math.max(0, along - 0.86) * 190;
      const light = earLevel + 24 * pleat * pleat - 14 - 70 * neck - rim;
      ink.r = light + tint[0] * 0.5;
      ink.g = light + tint[1] * 0.5;
      ink.b = light + tint[2] * 0.5;
      ink.alpha = 0.88;
    });
  }
}

/** One thin, tapered highlight or crease. */
function paintStreak(canvas: Canvas, rng: CounterRandom, frame: BagFrame, scale: number): void {
  const isBright = rng.uniform() < 0.55;
  const u = rng.uniform(-0.8, 0.8);
  const v = rng.uniform(-0.85, 0.3);
  const reach = rng.uniform(0.25, 0.7);
  const lean = rng.uniform(-0.35, 0.35) - u * 0.2;
  const bend = rng.uniform(-0.12, 0.12);
  const path = Array.from({ length: 12 }, (_, i): Point => {
    const t = i / 11;
    return toImage(frame, u + lean * t + bend * Math.sin(Math.PI * t), Math.min(0.93, v + reach * t));
  });
  const half = rng.uniform(0.7, 1.7) * scale;
  const cover = rasterize(
    thickCurve(path, (t) => half * Math.sin(Math.PI * (0.05 + 0.9 * t))),
    canvas.width,
    canvas.height,
  );
  const alpha = rng.uniform(0.25, 0.6);
  paint(canvas, cover, (_x, _y, ink) => {
    const light = isBright ? 246 : 92;
    ink.r = light;
    ink.g = light;
    ink.b = light + 2;
    ink.alpha = alpha;
  });
}
