import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import { type CocoAnnotation, type CocoDataset, type CocoImage, mask } from "@seg/coco-dataset";
import sharp from "sharp";

/** Classes in the order of their category ids, which start at 1. */
export const SHAPE_NAMES = ["circle", "square", "triangle"] as const;

/** Deviation of the noise, levels of 255. */
const NOISE = 12;
/** Lines that mean nothing. */
const DISTRACTORS = 6;
/** Objects of which fewer pixels than this are visible are not annotated. */
const MIN_PIXELS = 12;
/** Places that are tried for a figure before it is left out. */
const TRIES = 20;

/** What keeps every object of a picture recognisable (decision 0025). */
export interface ShapeLimits {
  /** Share of every figure that later ones leave visible. */
  readonly visible: number;
  /** A figure's colour differs from the background and from the other figures by at least this, levels of 255 in one channel. */
  readonly contrast: number;
}

export const SHAPE_LIMITS: ShapeLimits = { visible: 0.5, contrast: 96 };

type Rgb = readonly [number, number, number];
type Inside = (dx: number, dy: number) => boolean;

/** Whether (dx, dy), in radii from the centre, belongs to the figure; y points down. */
const FIGURES: readonly Inside[] = [
  (dx, dy) => dx * dx + dy * dy <= 1,
  (dx, dy) => Math.abs(dx) <= 1 && Math.abs(dy) <= 1,
  // Isosceles: apex above, width growing linearly to the base.
  (dx, dy) => dy <= 1 && dy >= -1 && Math.abs(dx) <= (dy + 1) / 2,
];

const colour = (random: CounterRandom): Rgb => [random.integer(0, 255), random.integer(0, 255), random.integer(0, 255)];

/** A segment of one pixel's width, by steps of at most one pixel. */
function drawLine(pixels: Float32Array, side: number, random: CounterRandom): void {
  const [x1, y1, x2, y2] = Array.from({ length: 4 }, () => random.uniform(0, side)) as [number, number, number, number];
  const paint = colour(random);
  const steps = Math.ceil(Math.max(Math.abs(x2 - x1), Math.abs(y2 - y1), 1));
  for (let k = 0; k <= steps; k++) {
    const x = Math.min(side - 1, Math.floor(x1 + ((x2 - x1) * k) / steps));
    const y = Math.min(side - 1, Math.floor(y1 + ((y2 - y1) * k) / steps));
    pixels.set(paint, 3 * (y * side + x));
  }
}

const differ = (a: Rgb, b: Rgb): number => Math.max(...a.map((v, c) => Math.abs(v - b[c]!)));

/** Pixels of a figure of a random kind, size and place, row-major indices. */
function placeFigure(side: number, random: CounterRandom): { kind: number; cells: number[] } {
  const kind = random.integer(0, FIGURES.length - 1);
  const radius = random.uniform(0.07, 0.2) * side;
  const x = random.uniform(radius, side - radius);
  const y = random.uniform(radius, side - radius);
  const cells: number[] = [];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      if (FIGURES[kind]!((column + 0.5 - x) / radius, (row + 0.5 - y) / radius)) cells.push(row * side + column);
    }
  }
  return { kind, cells };
}

/** One picture: 1 to 4 figures of radius 7 to 20 % of the side, later ones on top; masks are the visible parts. */
export function drawShapes({
  seed,
  index,
  side,
  limits = SHAPE_LIMITS,
}: {
  seed: number;
  index: number;
  side: number;
  limits?: ShapeLimits;
}): {
  data: Uint8Array;
  objects: { kind: number; mask: Uint8Array }[];
} {
  const random = new CounterRandom({ seed, path: "shapes", index });
  const pixels = new Float32Array(3 * side * side);
  const background = colour(random);
  for (let i = 0; i < side * side; i++) pixels.set(background, 3 * i);
  for (let k = 0; k < DISTRACTORS; k++) drawLine(pixels, side, random);
  const owner = new Int8Array(side * side).fill(-1);
  const figures: { kind: number; area: number; visible: number }[] = [];
  const paints: Rgb[] = [background];
  for (let n = random.integer(1, 4); n > 0; n--) {
    for (let tries = 0; tries < TRIES; tries++) {
      const { kind, cells } = placeFigure(side, random);
      const paint = colour(random);
      const covered = new Array<number>(figures.length).fill(0);
      for (const cell of cells) if (owner[cell]! >= 0) covered[owner[cell]!]! += 1;
      const isHiding = figures.some(({ area, visible }, k) => visible - covered[k]! < limits.visible * area);
      if (isHiding || paints.some((other) => differ(paint, other) < limits.contrast)) continue;
      for (const cell of cells) {
        pixels.set(paint, 3 * cell);
        owner[cell] = figures.length;
      }
      figures.forEach((figure, k) => {
        figure.visible -= covered[k]!;
      });
      figures.push({ kind, area: cells.length, visible: cells.length });
      paints.push(paint);
      break;
    }
  }
  const data = new Uint8Array(pixels.length);
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.min(255, Math.max(0, Math.round(pixels[i]! + random.normal(0, NOISE))));
  }
  const objects = figures.map(({ kind }, k) => ({ kind, mask: Uint8Array.from(owner, (v) => (v === k ? 1 : 0)) }));
  return { data, objects: objects.filter((_, k) => figures[k]!.visible >= MIN_PIXELS) };
}

/** Writes `count` pictures as PNG below `dir` and returns their annotations: tight boxes, and masks as run lengths. */
export async function writeShapes({
  dir,
  count,
  side,
  seed,
  limits = SHAPE_LIMITS,
}: {
  dir: string;
  count: number;
  side: number;
  seed: number;
  limits?: ShapeLimits;
}): Promise<CocoDataset> {
  await mkdir(dir, { recursive: true });
  const images: CocoImage[] = [];
  const annotations: CocoAnnotation[] = [];
  for (let index = 0; index < count; index++) {
    const { data, objects } = drawShapes({ seed, index, side, limits });
    const file_name = `${String(index).padStart(5, "0")}.png`;
    const png = await sharp(data, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toBuffer();
    await writeFile(join(dir, file_name), png);
    images.push({ id: index + 1, width: side, height: side, file_name });
    for (const { kind, mask: visible } of objects) {
      const rle = mask.encode(visible, side, side);
      annotations.push({
        id: annotations.length + 1,
        image_id: index + 1,
        category_id: kind + 1,
        iscrowd: 0,
        bbox: mask.toBbox(rle),
        area: mask.area(rle),
        segmentation: { size: [side, side], counts: mask.toString(rle) },
      });
    }
  }
  return { images, annotations, categories: SHAPE_NAMES.map((name, i) => ({ id: i + 1, name })) };
}
