import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";

export const WIDTH = 96;
export const HEIGHT = 64;

/** Annotations in COCO's own words, loose on purpose: tests break them. */
export interface TinyDocument {
  images: { id: number; file_name: string; width: number; height: number }[];
  categories: { id: number; name: string }[];
  annotations: Record<string, unknown>[];
}

/** Category ids have gaps and are out of order: class indices are their ranks. */
const CATEGORIES = [
  { id: 7, name: "square" },
  { id: 3, name: "bar" },
];

/** One image with a bright square and a dark bar on a patterned ground; places follow from the index. */
function scene(index: number): {
  pixels: Uint8Array;
  boxes: { category: number; box: [number, number, number, number] }[];
} {
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3);
  const boxes: { category: number; box: [number, number, number, number] }[] = [
    { category: 7, box: [6 + 5 * index, 8 + 3 * index, 20, 20] },
    { category: 3, box: [50 - 4 * index, 40 + index, 34, 10] },
  ];
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const ground = 90 + ((x * 7 + y * 13 + index * 31) % 29);
      const at = 3 * (y * WIDTH + x);
      pixels.set([ground, ground, ground], at);
      for (const { category, box } of boxes) {
        const [bx, by, w, h] = box;
        const inside = x >= bx && x < bx + w && y >= by && y < by + h;
        if (inside) pixels.set(category === 7 ? [240, 220, 60] : [20, 40, 160], at);
      }
    }
  }
  return { pixels, boxes };
}

/**
 * Writes `count` JPEG images of 96 x 64 px under `folder/images` and `folder/annotations.json` with boxes and polygons.
 * @returns the document and the path of the annotations
 */
export async function writeTinyDataset(
  folder: string,
  { count = 6, edit = () => {} }: { count?: number; edit?: (document: TinyDocument) => void } = {},
): Promise<{ annotations: string; images: string; document: TinyDocument }> {
  const images = join(folder, "images");
  await mkdir(images, { recursive: true });
  const document: TinyDocument = { images: [], categories: structuredClone(CATEGORIES), annotations: [] };
  for (let i = 0; i < count; i++) {
    const { pixels, boxes } = scene(i);
    const file_name = `scene-${i}.jpg`;
    const raw = { width: WIDTH, height: HEIGHT, channels: 3 as const };
    await sharp(pixels, { raw }).jpeg({ quality: 92 }).toFile(join(images, file_name));
    document.images.push({ id: i + 1, file_name, width: WIDTH, height: HEIGHT });
    for (const { category, box } of boxes) {
      const [x, y, w, h] = box;
      document.annotations.push({
        id: document.annotations.length + 1,
        image_id: i + 1,
        category_id: category,
        bbox: box,
        area: w * h,
        iscrowd: 0,
        segmentation: [[x, y, x + w, y, x + w, y + h, x, y + h]],
      });
    }
  }
  edit(document);
  const annotations = join(folder, "annotations.json");
  await writeFile(annotations, JSON.stringify(document));
  return { annotations, images, document };
}
