import { CounterRandom } from "@seg/augment";
import {
  type Canvas,
  type Coverage,
  composite,
  dropShadow,
  maskArea,
  maskBox,
  type Placement,
  type Rgb,
  rasterize,
  toImage,
  toMask,
} from "./canvas.js";
import { type Scene, type SceneInstance, type SceneKey, textStrokes } from "./shape-world.js";
import { blob, polygonInside } from "./shapes.js";
import { addField, finish, flat, smoothField } from "./surface.js";

/** Classes of {@link bagScene}, in order. */
export const BAG_CLASSES = ["bag", "ear", "label", "defect"] as const;

/**
 * A flexible bag on a grey table: translucent wavy quadrilateral with two ears at its upper corners, one or two printed labels and, in 85 % of the
 * images, one to three dark spots or scratches. Never part of pre-training: it measures what the shape world transfers to.
 */
export function bagScene({ seed, split, index, side = 128 }: SceneKey): Scene {
  const random = new CounterRandom({ seed, path: `bag-world/${split}`, index });
  const canvas: Canvas = { side, data: new Float32Array(side * side * 3) };
  paintTable(canvas, random);

  const half = side * random.uniform(0.24, 0.33);
  const tall = half * random.uniform(1, 1.25);
  const pose: Placement = {
    x: side / 2 + random.uniform(-0.08, 0.08) * side,
    y: side * 0.54 + random.uniform(-0.06, 0.06) * side,
    radius: 1,
    angle: random.uniform(-0.35, 0.35),
  };
  const instances: SceneInstance[] = [];
  const keep = (kind: (typeof BAG_CLASSES)[number], mask: Uint8Array) => {
    const box = maskBox(mask, side);
    if (box && maskArea(mask) >= 12) instances.push({ kind, mask, box });
  };

  const outline = wavyQuad(half, tall, random);
  const bag = rasterize(side, polygonInside(outline), pose, 1.6 * Math.max(half, tall));
  const ears = [-1, 1].map((sign) => {
    const width = half * random.uniform(0.16, 0.24);
    const height = tall * random.uniform(0.16, 0.28);
    const u = sign * half * random.uniform(0.62, 0.8);
    const v = -tall - height * 0.55;
    return rasterize(
      side,
      (a, b) => ((a - u) / width) ** 2 + ((b - v) / height) ** 2 <= 1,
      pose,
      1.8 * Math.max(half, tall),
    );
  });
  const level = random.uniform(150, 235);
  const tint: Rgb = [level + random.uniform(-18, 18), level + random.uniform(-12, 12), level + random.uniform(-18, 18)];
  const alpha = random.uniform(0.55, 0.85);
  dropShadow(canvas, bag, { dx: random.integer(-4, 4), dy: random.integer(2, 5), blur: 3, strength: 0.35 });
  for (const ear of ears) composite(canvas, ear, flat(scaled(tint, 0.82)), alpha);
  composite(canvas, bag, flat(tint), alpha);
  paintFolds(canvas, bag, random);
  const bagMask = toMask(bag);
  const earMasks = ears.map((ear) => {
    const mask = toMask(ear);
    for (let i = 0; i < mask.length; i++) if (bagMask[i] === 1) mask[i] = 0;
    return mask;
  });
  keep("bag", bagMask);
  for (const mask of earMasks) keep("ear", mask);

  const labels: Uint8Array[] = [];
  for (let i = random.integer(1, 2); i > 0; i--) {
    const mask = paintLabel(canvas, { bagMask, half, tall, pose, random });
    for (const other of labels) for (let k = 0; k < mask.length; k++) if (mask[k] === 1) other[k] = 0;
    labels.push(mask);
  }
  for (const mask of labels) keep("label", mask);
  if (random.uniform() < 0.85) {
    for (let i = random.integer(1, 3); i > 0; i--) {
      keep("defect", paintDefect(canvas, { bagMask, half, tall, pose, random }));
    }
  }
  finish(canvas, random);
  return { image: toImage(canvas), instances };
}

const scaled = (colour: Rgb, factor: number): Rgb => [colour[0] * factor, colour[1] * factor, colour[2] * factor];

function paintTable(canvas: Canvas, random: CounterRandom): void {
  const { side, data } = canvas;
  const level = random.uniform(55, 130);
  const slope = random.uniform(-45, 45) / side;
  const angle = random.uniform(0, 2 * Math.PI);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = level + slope * ((x - side / 2) * Math.cos(angle) + (y - side / 2) * Math.sin(angle));
      data.fill(value, 3 * (y * side + x), 3 * (y * side + x) + 3);
    }
  }
  addField(canvas, smoothField(side, 3, random), random.uniform(3, 12));
  addField(canvas, smoothField(side, 40, random), random.uniform(1, 5));
}

/** Corners joined by sine waves, in pixels around the origin. */
function wavyQuad(half: number, tall: number, random: CounterRandom): number[] {
  const corner = (x: number, y: number): [number, number] => [
    x * half * random.uniform(0.88, 1.08),
    y * tall * random.uniform(0.9, 1.06),
  ];
  const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
  const points: number[] = [];
  for (let i = 0; i < 4; i++) {
    const [x1, y1] = corners[i]!;
    const [x2, y2] = corners[(i + 1) % 4]!;
    const length = Math.hypot(x2 - x1, y2 - y1);
    const waves = random.uniform(1, 3.5);
    const phase = random.uniform(0, 2 * Math.PI);
    const size = half * random.uniform(0.02, 0.07);
    for (let k = 0; k < 16; k++) {
      const t = k / 16;
      // Zero at the corners, so that the sides meet.
      const shift = size * Math.sin(2 * Math.PI * waves * t + phase) * Math.sin(Math.PI * t);
      points.push(x1 + (x2 - x1) * t - ((y2 - y1) / length) * shift, y1 + (y2 - y1) * t + ((x2 - x1) / length) * shift);
    }
  }
  return points;
}

/** Bright and dark streaks of folded film, and a darker rim. */
function paintFolds({ side, data }: Canvas, bag: Coverage, random: CounterRandom): void {
  const streaks = Array.from({ length: random.integer(2, 5) }, () => ({
    x: random.uniform(0.2, 0.8) * side,
    y: random.uniform(0.2, 0.8) * side,
    angle: random.uniform(0, Math.PI),
    width: random.uniform(1, 3.5),
    shift: random.uniform(-28, 34),
  }));
  const rim = Float32Array.from(bag.data);
  const field = smoothField(side, 6, random);
  for (let y = bag.top; y < bag.bottom; y++) {
    for (let x = bag.left; x < bag.right; x++) {
      const at = y * side + x;
      if (rim[at]! <= 0) continue;
      let shift = 9 * field[at]!;
      for (const streak of streaks) {
        const distance = (x - streak.x) * Math.sin(streak.angle) - (y - streak.y) * Math.cos(streak.angle);
        shift += streak.shift * Math.exp(-((distance / streak.width) ** 2));
      }
      const open =
        x < 2 || y < 2 || x > side - 3 || y > side - 3
          ? 0
          : 4 - rim[at - 2]! - rim[at + 2]! - rim[at - 2 * side]! - rim[at + 2 * side]!;
      const gain = 1 - 0.1 * open;
      for (let c = 0; c < 3; c++) data[3 * at + c] = (data[3 * at + c]! + shift) * gain;
    }
  }
}

interface OnBag {
  readonly bagMask: Uint8Array;
  readonly half: number;
  readonly tall: number;
  readonly pose: Placement;
  readonly random: CounterRandom;
}

/** A point of the bag in image pixels. */
function spot({ half, tall, pose, random }: OnBag, share: number): { x: number; y: number } {
  const u = random.uniform(-share, share) * half;
  const v = random.uniform(-share, share) * tall;
  const cos = Math.cos(pose.angle);
  const sin = Math.sin(pose.angle);
  return { x: pose.x + u * cos - v * sin, y: pose.y + u * sin + v * cos };
}

function paintLabel(canvas: Canvas, on: OnBag): Uint8Array {
  const { half, pose, random, bagMask } = on;
  const { x, y } = spot(on, 0.45);
  const width = half * random.uniform(0.28, 0.5);
  const height = width * random.uniform(0.45, 0.8);
  const isWhite = random.uniform() < 0.6;
  const colour: Rgb = isWhite
    ? [random.uniform(225, 252), random.uniform(225, 252), random.uniform(225, 252)]
    : [random.uniform(20, 250), random.uniform(20, 250), random.uniform(20, 250)];
  const placement: Placement = { x, y, radius: 1, angle: pose.angle + random.uniform(-0.4, 0.4) };
  const coverage = rasterize(
    canvas.side,
    (u, v) => Math.abs(u) <= width && Math.abs(v) <= height,
    placement,
    width * 1.5,
  );
  for (let i = 0; i < bagMask.length; i++) if (bagMask[i] === 0) coverage.data[i] = 0;
  const mask = toMask(coverage);
  composite(canvas, coverage, flat(colour));
  textStrokes(canvas, mask, { ...placement, radius: width }, colour, random);
  return mask;
}

function paintDefect(canvas: Canvas, on: OnBag): Uint8Array {
  const { half, random, bagMask } = on;
  const { x, y } = spot(on, 0.85);
  const isScratch = random.uniform() < 0.4;
  const angle = random.uniform(0, Math.PI);
  const level = random.uniform(5, 60);
  const radius = half * (isScratch ? random.uniform(0.16, 0.3) : random.uniform(0.07, 0.16));
  const width = random.uniform(0.14, 0.26);
  const inside = isScratch
    ? (u: number, v: number) => Math.abs(u) <= 1 && Math.abs(v + 0.2 * Math.cos(2 * u)) <= width
    : blob(random);
  const coverage = rasterize(canvas.side, inside, { x, y, radius, angle });
  for (let i = 0; i < bagMask.length; i++) if (bagMask[i] === 0) coverage.data[i] = 0;
  composite(canvas, coverage, flat([level, level * 0.9, level * 0.8]), random.uniform(0.75, 1));
  return toMask(coverage);
}
