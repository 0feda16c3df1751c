import { loadavg } from "node:os";
import process from "node:process";
import { splitDataset } from "@seg/coco-dataset";
import { cocoSet } from "./coco-set.js";
import { type BenchResult, median } from "./result.js";

const SEEDS = [0, 1, 2, 3, 4];

/** Stratified split of 5,000 images and 80 classes; the first seed runs cold. */
export async function split(): Promise<BenchResult[]> {
  const { groundTruth } = cocoSet({ repeats: 0, withMasks: false });
  const runs = SEEDS.map((seed) => {
    const cpu = process.cpuUsage();
    const { lock } = splitDataset(groundTruth, { ratios: "train:0.8,val:0.1,test:0.1", seed });
    const used = process.cpuUsage(cpu);
    return { cpuMs: (used.user + used.system) / 1000, ...lock.metrics };
  });
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  return [
    {
      bench: "split",
      case: `${groundTruth.images.length} images, ${groundTruth.categories.length} classes, ${groundTruth.annotations.length} instances`,
      value: median(runs.map((run) => run.cpuMs)) / 1000,
      unit: "CPU-s",
      note: `cold ${(runs[0]!.cpuMs / 1000).toFixed(2)} s, mean error of a class's instance share ${percent(Math.max(...runs.map((run) => run.meanInstanceError)))}, largest ${percent(Math.max(...runs.map((run) => run.maxInstanceError)))}, LD ${Math.max(...runs.map((run) => run.labelDistribution)).toFixed(5)} (worst of ${SEEDS.length} seeds), load ${loadavg()[0]!.toFixed(1)}`,
    },
  ];
}
