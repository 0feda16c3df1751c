/**
 * Writes a synthetic bag-inspection data set in COCO form: the classes of the project's example without anybody's photographs.
 *
 *     node --conditions=@seg/source --import tsx generate.ts --count 400 --seed 1 --out data
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { CounterRandom } from "@seg/augment";
import sharp from "sharp";
import { signedArea, simplifyLoop, traceContours } from "./scene/contour.js";
import type { Coverage } from "./scene/raster.js";
import { type PartClass, renderScene, type ScenePart } from "./scene/scene.js";

/** COCO category ids, with gaps on purpose: nothing may take an id for an index. */
export const CATEGORIES: readonly { readonly id: number; readonly name: PartClass; readonly supercategory: string }[] =
  [
    { id: 3, name: "ear", supercategory: "bag" },
    { id: 7, name: "defect", supercategory: "bag" },
    { id: 12, name: "label", supercategory: "bag" },
  ];

/** Shares of annotations without polygons (run lengths only) and with polygons but no box. */
const RLE_SHARE = 0.1;
const NO_BOX_SHARE = 0.06;
/** Polygon points may leave the traced outline by this many pixels. */
const POLYGON_TOLERANCE = 0.3;
/** Splinters below this many square pixels are left out. */
const MIN_LOOP_AREA = 10;

/** An annotation as written; which optional fields exist varies on purpose. */
export interface BagAnnotation {
  id: number;
  image_id: number;
  category_id: number;
  iscrowd: 0;
  segmentation: number[][] | { size: [height: number, width: number]; counts: number[] };
  /** `[x, y, width, height]` in pixels. */
  bbox?: [number, number, number, number];
  area?: number;
}

export interface BagDataset {
  info: { description: string; version: string };
  licenses: [];
  images: { id: number; file_name: string; width: number; height: number }[];
  categories: typeof CATEGORIES;
  annotations: BagAnnotation[];
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** Run lengths of `visible >= 0.5`, column by column, the first run counting zeros. */
function runLengths(visible: Coverage, width: number, height: number): number[] {
  const counts: number[] = [];
  let current = 0;
  let run = 0;
  for (let x = 0; x < width; x++)
    for (let y = 0; y < height; y++) {
      const [i, j] = [x - visible.x0, y - visible.y0];
      const isInWindow = i >= 0 && j >= 0 && i < visible.width && j < visible.height;
      const bit = isInWindow && visible.data[j * visible.width + i]! >= 0.5 ? 1 : 0;
      if (bit !== current) {
        counts.push(run);
        run = 0;
        current = bit;
      }
      run++;
    }
  counts.push(run);
  return counts;
}

/** Annotation of one part, null if next to nothing of it is visible. */
function annotate(
  part: ScenePart,
  ids: { id: number; imageId: number },
  { rng, width, height }: { rng: CounterRandom; width: number; height: number },
): BagAnnotation | null {
  const { outer, holes } = traceContours(part.visible);
  const loops = outer
    .map((loop) => simplifyLoop(loop, POLYGON_TOLERANCE))
    .filter((loop) => -signedArea(loop) >= MIN_LOOP_AREA);
  if (loops.length === 0) return null;
  const category = CATEGORIES.find(({ name }) => name === part.className)!;
  const head = { id: ids.id, image_id: ids.imageId, category_id: category.id, iscrowd: 0 as const };
  const draw = rng.uniform();
  // Polygons cannot say "hole", run lengths can.
  if (holes.some((hole) => signedArea(hole) >= MIN_LOOP_AREA) || draw < RLE_SHARE)
    return { ...head, segmentation: { size: [height, width], counts: runLengths(part.visible, width, height) } };
  const clamp = (value: number, limit: number): number => round(Math.min(limit, Math.max(0, value)));
  const segmentation = loops.map((loop) => loop.flatMap(([x, y]) => [clamp(x, width), clamp(y, height)]));
  const area = round(loops.reduce((sum, loop) => sum - signedArea(loop), 0));
  if (draw < RLE_SHARE + NO_BOX_SHARE) return { ...head, segmentation, area };
  const xs = segmentation.flatMap((polygon) => polygon.filter((_, i) => i % 2 === 0));
  const ys = segmentation.flatMap((polygon) => polygon.filter((_, i) => i % 2 === 1));
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { ...head, segmentation, bbox: [x, y, round(Math.max(...xs) - x), round(Math.max(...ys) - y)], area };
}

async function writeAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Renders `count` pictures and their annotations. The same arguments give the same files; image i does not depend on `count`. Every file is
 * written under a temporary name, `annotations.json` last: where it exists the set is complete.
 *
 * @param options.size - `[width, height]` in pixels. @defaultValue [320, 256]
 * @param options.outDir - receives `images/*.jpg` and `annotations.json`
 * @example await generateBagScenes({ count: 400, seed: 1, outDir: "data" }) // data/annotations.json, data/images/bag_00000.jpg ...
 */
export async function generateBagScenes({
  count,
  seed,
  size = [320, 256],
  outDir,
}: {
  count: number;
  seed: number;
  size?: readonly [width: number, height: number];
  outDir: string;
}): Promise<BagDataset> {
  const [width, height] = size;
  if (!Number.isInteger(count) || count < 0)
    throw new RangeError(`count must be a whole number of images, got ${count}.`);
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 64 || height < 64)
    throw new RangeError(`size must be two whole numbers from 64 on, got [${width}, ${height}].`);
  const imagesDir = join(outDir, "images");
  await mkdir(imagesDir, { recursive: true });
  const dataset: BagDataset = {
    info: { description: `Synthetic bag inspection, ${count} images, seed ${seed}`, version: "1" },
    licenses: [],
    images: [],
    categories: CATEGORIES,
    annotations: [],
  };
  for (let index = 0; index < count; index++) {
    const { data, parts } = renderScene({ seed, index, size });
    const file_name = `bag_${String(index).padStart(5, "0")}.jpg`;
    const jpeg = await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 92, chromaSubsampling: "4:4:4" })
      .toBuffer();
    await writeAtomic(join(imagesDir, file_name), jpeg);
    // Ids start anywhere and leave gaps, as they do after years of labelling.
    const imageId = 1001 + index * 3;
    dataset.images.push({ id: imageId, file_name, width, height });
    const rng = new CounterRandom({ seed, path: "bag-scene/annotation", index });
    for (const [i, part] of parts.entries()) {
      const annotation = annotate(part, { id: imageId * 100 + i, imageId }, { rng, width, height });
      if (annotation) dataset.annotations.push(annotation);
    }
  }
  await writeAtomic(join(outDir, "annotations.json"), `${JSON.stringify(dataset)}\n`);
  return dataset;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "400" },
      seed: { type: "string", default: "1" },
      out: { type: "string", default: "data" },
    },
  });
  const dataset = await generateBagScenes({
    count: Number(values.count),
    seed: Number(values.seed),
    outDir: values.out,
  });
  process.stdout.write(`${dataset.images.length} images, ${dataset.annotations.length} annotations in ${values.out}\n`);
}
