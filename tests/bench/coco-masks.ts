import { loadavg } from "node:os";
import process from "node:process";
import { mask, segmentationToRle, validateDataset } from "@seg/coco-dataset";
import { cocoSet } from "./coco-set.js";
import { type BenchResult, median } from "./result.js";

const ROUNDS = 5;

async function cpuSeconds(run: () => unknown): Promise<{ median: number; cold: number }> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1e6);
  }
  return { median: median(times), cold: times[0]! };
}

/** Masks and validation of a set of val2017's size: CPU-seconds for all of them. */
export async function cocoMasks(): Promise<BenchResult[]> {
  const { groundTruth, masks } = cocoSet({ repeats: 1, withMasks: true });
  const sizeOf = new Map(groundTruth.images.map((image) => [image.id, image]));
  const polygons = groundTruth.annotations.filter((annotation) => Array.isArray(annotation.segmentation));
  const texts = masks.map(({ segmentation }) => segmentation as { size: [number, number]; counts: string });
  const rles = texts.map(({ size, counts }) => mask.fromString(counts, ...size));
  const cases: [name: string, run: () => unknown][] = [
    [
      `polygons to runs, ${polygons.length}`,
      () => {
        for (const { segmentation, image_id } of polygons) {
          const { height, width } = sizeOf.get(image_id)!;
          segmentationToRle(segmentation!, height, width);
        }
      },
    ],
    [
      `text to runs, ${texts.length}`,
      () => {
        for (const { size, counts } of texts) mask.fromString(counts, ...size);
      },
    ],
    [
      `runs to text, ${rles.length}`,
      () => {
        for (const rle of rles) mask.toString(rle);
      },
    ],
    [`validateDataset, ${groundTruth.annotations.length} annotations, no images`, () => validateDataset(groundTruth)],
  ];
  const results: BenchResult[] = [];
  for (const [name, run] of cases) {
    const { median: value, cold } = await cpuSeconds(run);
    const note = `cold ${cold.toFixed(2)} s, load ${loadavg()[0]!.toFixed(1)}`;
    results.push({ bench: "coco-masks", case: name, value, unit: "CPU-s", note });
  }
  return results;
}
