import { type CocoAnnotation, type CocoDataset, type CocoResult, mask } from "@seg/coco-dataset";

/** Sizes of COCO val2017. */
const IMAGES = 5000;
const CATEGORIES = 80;
const TRUTHS = 36_781;

/** Uniform numbers in [0, 1): a Weyl sequence through a 32-bit finaliser, so that value i of a stream depends on i alone. */
function stream(seed: number): () => number {
  let counter = Math.imul(seed + 1, 0x9e3779b1);
  return () => {
    counter = (counter + 0x9e3779b9) | 0;
    let z = counter;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** COCO files hold two decimals. */
const round = (value: number) => Math.round(value * 100) / 100;

interface Shape {
  readonly x: number;
  readonly y: number;
  readonly radii: readonly number[];
}

function ring({ x, y, radii }: Shape, scale: number): number[] {
  return radii.flatMap((radius, i) => {
    const angle = (2 * Math.PI * i) / radii.length;
    return [round(x + scale * radius * Math.cos(angle)), round(y + scale * radius * Math.sin(angle))];
  });
}

function bounds(part: readonly number[]): [number, number, number, number] {
  const xs = part.filter((_, i) => i % 2 === 0);
  const ys = part.filter((_, i) => i % 2 === 1);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}

function shoelace(part: readonly number[]): number {
  let doubled = 0;
  for (let i = 0, j = part.length - 2; i < part.length; j = i, i += 2) {
    doubled += part[j]! * part[i + 1]! - part[i]! * part[j + 1]!;
  }
  return Math.abs(doubled) / 2;
}

/** A seeded set of the size of val2017 with results of both kinds. */
export interface CocoSet {
  readonly groundTruth: CocoDataset;
  readonly boxes: CocoResult[];
  /** Compressed run lengths, as results files hold them; empty unless asked for. */
  readonly masks: CocoResult[];
}

/**
 * 5,000 images, 80 categories of falling frequency, 36,781 star polygons of 8 to 50 vertices (1 % crowds as run lengths), sizes spread over
 * COCO's small, medium and large; detections are shifted, scaled copies, 13 % of them of another class, and a few false alarms.
 *
 * @param repeats - detections per ground truth
 * @param withMasks - also rasterise the detections
 */
export function cocoSet({
  repeats,
  withMasks,
  seed = 0,
}: {
  repeats: number;
  withMasks: boolean;
  seed?: number;
}): CocoSet {
  const random = stream(seed);
  const below = (n: number) => Math.floor(random() * n);
  const images = Array.from({ length: IMAGES }, (_, i) => {
    const isPortrait = random() < 0.25;
    const [width, height] = isPortrait ? [480, 640] : [640, 480];
    return { id: 3 * i + 7, width, height, file_name: `${String(i).padStart(12, "0")}.jpg` };
  });
  const categories = Array.from({ length: CATEGORIES }, (_, i) => ({
    id: i + 1 + Math.floor(i / 10),
    name: `class ${i}`,
  }));
  const annotations: CocoAnnotation[] = [];
  const boxes: CocoResult[] = [];
  const masks: CocoResult[] = [];
  const detect = (image: (typeof images)[number], category_id: number, shape: Shape, scale: number, score: number) => {
    const part = ring(shape, scale);
    boxes.push({ image_id: image.id, category_id, bbox: bounds(part).map(round), score });
    if (!withMasks) return;
    const rle = mask.fromPolygons([part], image.height, image.width);
    masks.push({
      image_id: image.id,
      category_id,
      segmentation: { size: [image.height, image.width], counts: mask.toString(rle) },
      score,
    });
  };
  for (let k = 0; k < TRUTHS; k++) {
    // Squared: some images crowded, some empty.
    const image = images[Math.floor(random() ** 1.5 * IMAGES)]!;
    const category = categories[Math.floor(random() ** 2 * CATEGORIES)]!.id;
    // Radius 5 to 160 px, log-uniform: about 40 % small, 35 % medium, 25 % large.
    const radius = 5 * 32 ** random();
    const shape: Shape = {
      x: random() * image.width,
      y: random() * image.height,
      radii: Array.from({ length: 8 + below(43) }, () => radius * (0.7 + 0.6 * random())),
    };
    const part = ring(shape, 1);
    const isCrowd = random() < 0.01;
    const runs = isCrowd ? Array.from(mask.fromPolygons([part], image.height, image.width).counts) : null;
    annotations.push({
      id: k + 1,
      image_id: image.id,
      category_id: category,
      bbox: bounds(part).map(round),
      area: shoelace(part),
      iscrowd: isCrowd ? 1 : 0,
      segmentation: runs === null ? [part] : { size: [image.height, image.width], counts: runs },
    });
    for (let r = 0; r < repeats; r++) {
      const label = random() < 0.87 ? category : categories[below(CATEGORIES)]!.id;
      const moved = {
        ...shape,
        x: shape.x + radius * 0.3 * (random() - 0.5),
        y: shape.y + radius * 0.3 * (random() - 0.5),
      };
      detect(image, label, moved, 0.9 + 0.2 * random(), round(random() * 100) / 100);
    }
  }
  for (let k = 0; k < 93 * repeats; k++) {
    const image = images[below(IMAGES)]!;
    const radii = Array.from({ length: 8 }, () => 10 + 40 * random());
    const shape = { x: random() * image.width, y: random() * image.height, radii };
    detect(image, categories[below(CATEGORIES)]!.id, shape, 1, round(random() * 100) / 100);
  }
  return { groundTruth: { images, categories, annotations }, boxes, masks };
}
