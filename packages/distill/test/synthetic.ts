import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import type { CocoDataset } from "@seg/coco-dataset";
import sharp from "sharp";

/** Images with one square and one triangle each, drawn by the rule of the pixel centre, and their COCO annotations. */
export async function writeSyntheticSet({
  dir,
  count,
  side,
  seed,
  masks = true,
  boxes = true,
}: {
  dir: string;
  count: number;
  side: number;
  seed: number;
  masks?: boolean;
  boxes?: boolean;
}): Promise<CocoDataset> {
  const images = [];
  const annotations = [];
  for (let n = 0; n < count; n++) {
    const random = new CounterRandom({ seed, path: "synthetic", index: n });
    const data = Buffer.alloc(side * side * 3);
    for (let i = 0; i < data.length; i++) data[i] = 90 + random.integer(0, 30);
    for (let k = 0; k < 2; k++) {
      const size = Math.round(random.uniform(0.25, 0.4) * side);
      const x = k === 0 ? random.integer(0, side / 2 - size) : random.integer(side / 2, side - size);
      const y = random.integer(0, side - size);
      const colour = k === 0 ? [230, 60, 50] : [40, 80, 240];
      const inside = (px: number, py: number) => px - x < size && py - y < size && (k === 0 || py - y >= px - x);
      for (let py = y; py < y + size; py++) {
        for (let px = x; px < x + size; px++)
          if (inside(px, py)) for (let c = 0; c < 3; c++) data[(py * side + px) * 3 + c] = colour[c]!;
      }
      const polygon =
        k === 0 ? [x, y, x + size, y, x + size, y + size, x, y + size] : [x, y, x + size, y + size, x, y + size];
      annotations.push({
        id: annotations.length + 1,
        image_id: n + 1,
        category_id: k === 0 ? 4 : 9,
        iscrowd: 0,
        ...(boxes ? { bbox: [x, y, size, size] } : {}),
        ...(masks ? { segmentation: [polygon] } : {}),
      });
    }
    const file_name = `${seed}-${n}.png`;
    writeFileSync(
      join(dir, file_name),
      await sharp(data, { raw: { width: side, height: side, channels: 3 } })
        .png()
        .toBuffer(),
    );
    images.push({ id: n + 1, width: side, height: side, file_name });
  }
  return {
    images,
    annotations,
    categories: [
      { id: 4, name: "square" },
      { id: 9, name: "triangle" },
    ],
  };
}
