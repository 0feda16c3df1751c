import type { CounterRandom } from "@seg/augment";
import { type Canvas, type Point, paint, rasterize, thickCurve } from "./raster.js";
import { fastUniform, noiseField } from "./texture.js";

/** A grey table or belt: gradient, large stains, fine grain, seams, sometimes rails; then clutter (cables, screws, smears). */
export function paintBackground(canvas: Canvas, rng: CounterRandom, scale: number): void {
  const { width, height, data } = canvas;
  const grey = rng.uniform(78, 158);
  const tint = [rng.uniform(-7, 7), rng.uniform(-4, 4), rng.uniform(-8, 9)] as const;
  const angle = rng.uniform(0, 2 * Math.PI);
  const slope = rng.uniform(0, 26);
  const [gx, gy] = [(Math.cos(angle) * slope * 2) / width, (Math.sin(angle) * slope * 2) / height];
  const large = noiseField(rng, { width, height, cell: 70 * scale });
  const medium = noiseField(rng, { width, height, cell: 17 * scale });
  const [largeGain, mediumGain, grainGain] = [rng.uniform(4, 14), rng.uniform(1.5, 6), rng.uniform(2, 9)];
  // Woven belts show a fine diagonal pattern, brushed tables streaks along one axis.
  const isWoven = rng.uniform() < 0.5;
  const weave = rng.uniform(1.1, 2.2) / scale;
  const grain = fastUniform(rng);
  const streaks = Float32Array.from({ length: height }, () => grain() - 0.5);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const pattern = isWoven ? Math.sin((x + y) * weave) * Math.sin((x - y) * weave) * 0.5 : streaks[y]!;
      const level =
        grey +
        (x - width / 2) * gx +
        (y - height / 2) * gy +
        large[at]! * largeGain +
        medium[at]! * mediumGain +
        (pattern + (grain() - 0.5) * 0.6) * grainGain;
      data[at * 3] = level + tint[0];
      data[at * 3 + 1] = level + tint[1];
      data[at * 3 + 2] = level + tint[2];
    }
  if (rng.uniform() < 0.35) paintRail(canvas, rng, scale, grey);
  const seams = rng.integer(0, 3);
  for (let i = 0; i < seams; i++) paintSeam(canvas, rng, scale, grey);
  const clutter = rng.integer(0, 4);
  for (let i = 0; i < clutter; i++) paintClutter(canvas, rng, scale, grey);
}

function fill(canvas: Canvas, points: readonly Point[], level: number, alpha: number): void {
  paint(canvas, rasterize(points, canvas.width, canvas.height), (_x, _y, ink) => {
    ink.r = level;
    ink.g = level;
    ink.b = level + 3;
    ink.alpha = alpha;
  });
}

/** The steel side of a conveyor along the top or the bottom, with bolts. */
function paintRail(canvas: Canvas, rng: CounterRandom, scale: number, grey: number): void {
  const { width, height } = canvas;
  const depth = rng.uniform(8, 20) * scale;
  const isTop = rng.uniform() < 0.5;
  const y = isTop ? depth : height - depth;
  const tilt = rng.uniform(-4, 4) * scale;
  const outer = isTop ? -2 : height + 2;
  const level = grey * rng.uniform(0.45, 0.75);
  fill(
    canvas,
    [
      [-2, outer],
      [width + 2, outer],
      [width + 2, y + tilt],
      [-2, y],
    ],
    level,
    1,
  );
  fill(
    canvas,
    thickCurve(
      [
        [-2, y],
        [width + 2, y + tilt],
      ],
      () => 1.2 * scale,
    ),
    level + 55,
    0.8,
  );
  const step = rng.uniform(50, 90) * scale;
  for (let x = rng.uniform(0, step); x < width; x += step) {
    const centre = (isTop ? depth : height - depth) + (isTop ? -depth / 2 : depth / 2);
    fill(canvas, disc(x, centre, 3 * scale), level + 40, 0.9);
  }
}

function disc(x: number, y: number, radius: number): Point[] {
  return Array.from({ length: 12 }, (_, i): Point => {
    const t = (i / 12) * 2 * Math.PI;
    return [x + radius * Math.cos(t), y + radius * Math.sin(t)];
  });
}

/** A joint or scratch right across the table. */
function paintSeam(canvas: Canvas, rng: CounterRandom, scale: number, grey: number): void {
  const { width, height } = canvas;
  const isVertical = rng.uniform() < 0.5;
  const at = rng.uniform(0.05, 0.95);
  const lean = rng.uniform(-0.15, 0.15);
  const path: Point[] = isVertical
    ? [
        [at * width, -3],
        [(at + lean) * width, height + 3],
      ]
    : [
        [-3, at * height],
        [width + 3, (at + lean) * height],
      ];
  const half = rng.uniform(0.4, 1.3) * scale;
  fill(
    canvas,
    thickCurve(path, () => half),
    grey * rng.uniform(0.5, 0.8),
    rng.uniform(0.4, 0.9),
  );
}

/** A cable, a screw or a faint smear: things that belong to no class. */
function paintClutter(canvas: Canvas, rng: CounterRandom, scale: number, grey: number): void {
  const { width, height } = canvas;
  const x = rng.uniform(0, width);
  const y = rng.uniform(0, height);
  const kind = rng.uniform();
  if (kind < 0.4) {
    const heading = rng.uniform(0, 2 * Math.PI);
    const bend = rng.uniform(-0.5, 0.5);
    const path: Point[] = [[x, y]];
    let direction = heading;
    for (let i = 0; i < 14; i++) {
      const [px, py] = path.at(-1)!;
      direction += bend * rng.uniform(0, 0.5);
      path.push([px + Math.cos(direction) * 9 * scale, py + Math.sin(direction) * 9 * scale]);
    }
    const half = rng.uniform(0.9, 2) * scale;
    fill(
      canvas,
      thickCurve(path, () => half),
      rng.uniform(20, 60),
      0.9,
    );
  } else if (kind < 0.7) {
    const radius = rng.uniform(2.5, 4.5) * scale;
    fill(canvas, disc(x + 1.5 * scale, y + 1.5 * scale, radius), grey * 0.4, 0.6);
    fill(canvas, disc(x, y, radius), grey + 45, 0.95);
    fill(canvas, disc(x, y, radius * 0.4), grey * 0.5, 0.8);
  } else {
    const reach = rng.uniform(12, 34) * scale;
    const tilt = rng.uniform(0, Math.PI);
    const points = disc(0, 0, 1).map(([px, py]): Point => {
      const [sx, sy] = [px * reach * rng.uniform(0.8, 1.1), py * reach * 0.4 * rng.uniform(0.7, 1.2)];
      return [x + sx * Math.cos(tilt) - sy * Math.sin(tilt), y + sx * Math.sin(tilt) + sy * Math.cos(tilt)];
    });
    fill(canvas, points, grey * rng.uniform(0.75, 1.25), 0.3);
  }
}
