import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type CocoDataset, mask, xyxyToXywh } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import { detectorScene } from "@seg/teachers";
import sharp from "sharp";

/** The pictures of a folder as COCO knows them: classes, but not one annotation. */
export async function picturesOf(folder: string, classes: readonly string[]): Promise<CocoDataset> {
  const names = readdirSync(folder)
    .filter((name) => /\.(jpe?g|png|webp)$/i.test(name))
    .sort();
  const images = await Promise.all(
    names.map(async (file_name, k) => {
      const { width, height } = await decodeImage(join(folder, file_name));
      return { id: k + 1, file_name, width, height };
    }),
  );
  return { images, annotations: [], categories: classes.map((name, k) => ({ id: k + 1, name })) };
}

/**
 * Draws pictures of the kind that the small teachers know: figures of eleven shapes, eleven colours and four textures on a cluttered ground. The
 * classes are some of the colours.
 *
 * @returns what is in them, for those who only want to measure
 */
export async function drawPictures(
  folder: string,
  { count, seed, classes }: { count: number; seed: number; classes: readonly string[] },
): Promise<CocoDataset> {
  mkdirSync(folder, { recursive: true });
  const annotations: CocoDataset["annotations"][number][] = [];
  const images = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { image, instances } = detectorScene({ seed, split: "held-out", index });
      const { width, height, data } = image;
      const file_name = `${String(index).padStart(4, "0")}.png`;
      for (const { colour, box, mask: bitmap } of instances) {
        const category = classes.indexOf(colour);
        if (category < 0) continue;
        const rle = mask.encode(bitmap, height, width);
        annotations.push({
          ...{ id: annotations.length + 1, image_id: index + 1, category_id: category + 1, iscrowd: 0 },
          ...{ bbox: xyxyToXywh(box), area: mask.area(rle) },
          segmentation: { size: rle.size, counts: mask.toString(rle) },
        });
      }
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toFile(join(folder, file_name));
      return { id: index + 1, file_name, width, height };
    }),
  );
  return { images, annotations, categories: classes.map((name, k) => ({ id: k + 1, name })) };
}
