import { resolve } from "node:path";
import type { CocoDataset } from "../document.js";
import { loadSharp } from "../load-sharp.js";
import { SplitRandom } from "../split/random.js";
import { forEachConcurrently, imagePath } from "../validate/images.js";

/** Mean and standard deviation of the colour channels over all pixels of a sample, in [0, 1]; RGB order. */
export interface ChannelStatistics {
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
  /** Images that were read. */
  readonly images: number;
  /** Images of the sample that could not be read. */
  readonly unreadable: readonly number[];
}

/**
 * Normalisation constants of a dataset. Images are read one after another and never held together; the sample is drawn with the seed, so
 * the same dataset gives the same numbers.
 *
 * @param options.sample - images at most. @defaultValue 500
 * @param options.seed - @defaultValue 0
 * @throws SharpMissingError `coco/sharp-missing`
 */
export async function channelStatistics(
  dataset: CocoDataset,
  {
    imagesDir,
    sample = 500,
    seed = 0,
    signal,
  }: { imagesDir: string; sample?: number; seed?: number | string; signal?: AbortSignal },
): Promise<ChannelStatistics> {
  const sharp = await loadSharp("Reading colours of images");
  const root = resolve(imagesDir);
  const images = dataset.images.toSorted((a, b) => a.id - b.id);
  const chosen = new SplitRandom(seed).shuffle(images).slice(0, sample);
  const sums = new Map<number, { count: number; sum: number[]; squares: number[] }>();
  const unreadable: number[] = [];
  await forEachConcurrently(
    chosen,
    async (image) => {
      try {
        const path = imagePath(root, image.file_name);
        if (path === null) throw new Error("outside the folder");
        const data = await sharp(path, { failOn: "error" })
          .toColourspace("srgb")
          .removeAlpha()
          .raw({ depth: "uchar" })
          .toBuffer();
        const sum = [0, 0, 0];
        const squares = [0, 0, 0];
        for (let i = 0; i < data.length; i += 3) {
          for (let c = 0; c < 3; c++) {
            const value = data[i + c]!;
            sum[c]! += value;
            squares[c]! += value * value;
          }
        }
        sums.set(image.id, { count: data.length / 3, sum, squares });
      } catch {
        // Missing and damaged files are findings of validateDataset.
        signal?.throwIfAborted();
        unreadable.push(image.id);
      }
    },
    signal,
  );
  let count = 0;
  const sum: [number, number, number] = [0, 0, 0];
  const squares: [number, number, number] = [0, 0, 0];
  // Sums of integers below 2^53 are exact, whatever the order.
  for (const part of sums.values()) {
    count += part.count;
    for (let c = 0; c < 3; c++) {
      sum[c]! += part.sum[c]!;
      squares[c]! += part.squares[c]!;
    }
  }
  const mean = sum.map((value) => (count === 0 ? 0 : value / count / 255)) as [number, number, number];
  const deviation = squares.map((value, c) =>
    count === 0 ? 0 : Math.sqrt(Math.max(0, value / count / 255 ** 2 - mean[c]! ** 2)),
  ) as [number, number, number];
  return { mean, deviation, images: sums.size, unreadable: unreadable.sort((a, b) => a - b) };
}
