import { resolve } from "node:path";
import type { CocoDataset } from "../document.js";
import { findDuplicates } from "../duplicates/find-duplicates.js";
import { SplitRandom } from "../split/random.js";
import { createImageProbe } from "../validate/image-probe.js";
import { forEachConcurrently, imagePath } from "../validate/images.js";
import { type Percentiles, percentiles } from "./compute-statistics.js";

/** How the images of a dataset look, each reduced to a longest side of 256 px; gray values are 0 to 255. */
export interface AppearanceStatistics {
  /** Images that were read. */
  readonly images: number;
  /** Mean gray. */
  readonly brightness: Percentiles;
  /** Standard deviation of gray. */
  readonly contrast: Percentiles;
  /** Variance of the Laplacian: low is blurred. */
  readonly sharpness: Percentiles;
  /** Share stored without colour. */
  readonly grayShare: number;
  /** Share that looks like an earlier one (64-bit difference hash, distance up to 4). */
  readonly duplicateShare: number;
}

/**
 * Brightness, contrast, sharpness, colour and repetition of a sample, drawn with the seed: the same dataset gives the same numbers. Images
 * that cannot be read take no part; they are findings of `validateDataset`.
 *
 * @param options.sample - images at most. @defaultValue 2000
 * @param options.seed - @defaultValue 1234
 * @throws SharpMissingError `coco/sharp-missing`
 */
export async function appearanceStatistics(
  dataset: CocoDataset,
  {
    imagesDir,
    sample = 2000,
    seed = 1234,
    signal,
  }: { imagesDir: string; sample?: number; seed?: number | string; signal?: AbortSignal },
): Promise<AppearanceStatistics> {
  const probe = await createImageProbe();
  const root = resolve(imagesDir);
  const images = new SplitRandom(seed).shuffle(dataset.images.toSorted((a, b) => a.id - b.id)).slice(0, sample);
  const looks: { mean: number; deviation: number; laplacianVariance: number }[] = [];
  let gray = 0;
  await forEachConcurrently(
    images,
    async ({ file_name }) => {
      const path = imagePath(root, file_name);
      const look = path === null ? null : await probe(path).catch(() => null);
      if (look?.gray === undefined) return;
      looks.push(look.gray);
      if (look.mode?.includes("gray")) gray++;
    },
    signal,
  );
  const { near } = await findDuplicates({ ...dataset, images }, { imagesDir, ...(signal ? { signal } : {}) });
  const repeated = near.reduce((count, cluster) => count + cluster.length - 1, 0);
  const share = (part: number) => (looks.length === 0 ? 0 : part / looks.length);
  return {
    images: looks.length,
    brightness: percentiles(looks.map(({ mean }) => mean)),
    contrast: percentiles(looks.map(({ deviation }) => deviation)),
    sharpness: percentiles(looks.map(({ laplacianVariance }) => laplacianVariance)),
    grayShare: share(gray),
    duplicateShare: share(repeated),
  };
}
