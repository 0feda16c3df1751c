import { join } from "node:path";
import type { CocoDataset, Finding } from "@seg/coco-dataset";
import { contactSheet, findingTiles, type SheetTile } from "@seg/coco-dataset/preview";
import { writeFileAtomic } from "../files.js";

/** A picture that was written. */
export interface WrittenPicture {
  readonly path: string;
  readonly title: string;
  readonly bytes: Uint8Array;
}

/**
 * `preview.png`, images that show every class, and `findings.png`, the images with errors and warnings and only the annotations concerned.
 *
 * @param input.dataset - as it was annotated, so that findings show what is wrong
 * @param input.count - images on the preview; none for 0
 */
export async function writePictures({
  dataset,
  imagesDir,
  findings,
  count,
  directory,
  source,
  signal,
}: {
  dataset: CocoDataset;
  imagesDir: string;
  findings: readonly Finding[];
  count: number;
  directory: string;
  source: string;
  signal: AbortSignal;
}): Promise<WrittenPicture[]> {
  if (count === 0) return [];
  const written: WrittenPicture[] = [];
  const add = async (name: string, title: string, options: { count: number } | { tiles: readonly SheetTile[] }) => {
    const path = join(directory, name);
    const bytes = await contactSheet({ dataset, imagesDir, title, signal, ...options });
    writeFileAtomic(path, bytes);
    written.push({ path, title, bytes });
  };
  const shown = Math.min(count, dataset.images.length);
  const { images, annotations } = dataset;
  await add("preview.png", `${source}: ${shown} of ${images.length} images, ${annotations.length} annotations`, {
    count,
  });
  const tiles = findingTiles(findings, dataset, count);
  if (tiles.length > 0) await add("findings.png", `${source}: where the findings are`, { tiles });
  return written;
}
