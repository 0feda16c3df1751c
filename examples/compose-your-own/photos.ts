import { CounterRandom, polygonBounds, rasterizePolygons } from "@seg/augment";
import { type CocoDataset, mask, type RgbImage, xyxyToXywh } from "@seg/coco-dataset";

/** A picture of our own with what is known of it. */
export interface Photo {
  readonly image: RgbImage;
  readonly objects: readonly {
    readonly classId: number;
    /** Flat x, y, ... in pixels of the picture. */
    readonly outline: Float64Array;
  }[];
}

/** Class index -> name, number of corners and level of red, green and blue. */
const KINDS = [
  { name: "coin", corners: 24, colour: [214, 166, 62] },
  { name: "nut", corners: 6, colour: [150, 158, 170] },
] as const;

export const CLASS_NAMES: readonly string[] = KINDS.map(({ name }) => name);

const SIZE = { width: 160, height: 120 };

/** What COCO says of the pictures: `0.png`, `1.png`, ... with boxes and polygons. */
export function cocoOf(photos: readonly Photo[]): CocoDataset {
  const found = photos.flatMap(({ image, objects }, image_id) => objects.map((it) => ({ image, image_id, ...it })));
  return {
    images: photos.map(({ image: { width, height } }, id) => ({ id, width, height, file_name: `${id}.png` })),
    categories: CLASS_NAMES.map((name, index) => ({ id: index + 1, name })),
    annotations: found.map(({ image: { width, height }, image_id, classId, outline }, k) => ({
      ...{ id: k + 1, image_id, category_id: classId + 1, iscrowd: 0 },
      bbox: xyxyToXywh(polygonBounds([outline])!),
      segmentation: [Array.from(outline)],
      area: mask.area(mask.fromPolygons([outline], height, width)),
    })),
  };
}

/** Coins and nuts on a bench: 2 to 5 in a picture, in uneven light. Picture k of a seed is always the same. */
export function drawPhotos({ count, seed }: { count: number; seed: number }): Photo[] {
  return Array.from({ length: count }, (_, index) => drawPhoto(new CounterRandom({ seed, path: "photos", index })));
}

function drawPhoto(random: CounterRandom): Photo {
  const { width, height } = SIZE;
  const data = new Uint8ClampedArray(width * height * 3);
  const [level, slope, grain] = [random.uniform(60, 110), random.uniform(-0.25, 0.25), random.uniform(5, 14)];
  const light = (x: number) => 1 + slope * (x / width - 0.5);
  for (let i = 0; i < width * height; i++) {
    const ground = level * light(i % width) + random.normal(0, grain);
    data.set([1.15 * ground, ground, 0.8 * ground], 3 * i);
  }
  const taken: { x: number; y: number; radius: number }[] = [];
  const objects: { classId: number; outline: Float64Array }[] = [];
  const wanted = random.integer(2, 5);
  while (objects.length < wanted) {
    const radius = random.uniform(11, 22);
    const [x, y] = [random.uniform(radius, width - radius), random.uniform(radius, height - radius)];
    const classId = random.integer(0, KINDS.length - 1);
    const angle = random.uniform(0, 2 * Math.PI);
    // Draws of a place that is taken are spent: the next one is another place.
    if (taken.some((other) => Math.hypot(other.x - x, other.y - y) < 0.9 * (other.radius + radius))) continue;
    taken.push({ x, y, radius });
    const { corners, colour } = KINDS[classId]!;
    const outline = Float64Array.from({ length: 2 * corners }, (_, k) => {
      const turn = angle + (2 * Math.PI * Math.floor(k / 2)) / corners;
      return k % 2 === 0 ? x + radius * Math.cos(turn) : y + radius * Math.sin(turn);
    });
    objects.push({ classId, outline });
    const shine = random.uniform(0.8, 1.15);
    rasterizePolygons({ polygons: [outline], width, height }).forEach((isInside, i) => {
      if (isInside === 0) return;
      const gain = shine * light(i % width) + random.normal(0, 0.04);
      data.set(
        colour.map((value) => value * gain),
        3 * i,
      );
    });
  }
  return { image: { width, height, data: Uint8Array.from(data) }, objects };
}
