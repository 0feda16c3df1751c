import { loadavg } from "node:os";
import process from "node:process";
import { type CocoDataset, convert } from "@seg/coco-dataset";
import { cocoSet } from "./coco-set.js";
import { type BenchResult, median } from "./result.js";

const IMAGES = 1000;
const REPEATS = 3;

/** COCO to YOLO with the audit: each mask is written, read back and compared. A third of the set leaves its image and is traced. */
export async function convertBench(): Promise<BenchResult[]> {
  const { groundTruth } = cocoSet({ repeats: 0, withMasks: false });
  const images = groundTruth.images.slice(0, IMAGES);
  const kept = new Set(images.map((image) => image.id));
  const part: CocoDataset = {
    ...groundTruth,
    images,
    annotations: groundTruth.annotations.filter((annotation) => kept.has(annotation.image_id)),
  };
  let audit = convert(part, { to: "yolo" }).lossReport.audit;
  const seconds = Array.from({ length: REPEATS }, () => {
    const cpu = process.cpuUsage();
    audit = convert(part, { to: "yolo" }).lossReport.audit;
    const used = process.cpuUsage(cpu);
    return (used.user + used.system) / 1e6;
  });
  return [
    {
      bench: "convert",
      case: `COCO to YOLO with audit, ${audit.numCompared} masks in ${IMAGES} images`,
      value: (1e6 * median(seconds)) / audit.numCompared,
      unit: "CPU-us/mask",
      note: `${audit.numLossless} of ${audit.numCompared} equal in every pixel, lowest IoU ${audit.minIou}, load ${loadavg()[0]!.toFixed(1)}`,
    },
  ];
}
