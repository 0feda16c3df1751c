import type { CocoDataset } from "../document.js";
import type { Conversion } from "./conversion.js";
import { type CocoExportOptions, exportCoco } from "./export-coco.js";
import { exportYolo, type YoloExportOptions } from "./yolo/export-yolo.js";

/**
 * Converts a dataset in memory. Nothing is lost silently: whatever the target does not hold is in `lossReport.losses`, and what people
 * annotated is given up only with `allowLoss`.
 *
 * @throws ConversionLossError `coco/conversion-loss`
 * @example await writeConversion(convert(dataset, { to: "yolo" }), "yolo", { imagesDir: "images" })
 */
export function convert(
  dataset: CocoDataset,
  options: ({ readonly to: "yolo" } & YoloExportOptions) | ({ readonly to: "coco" } & CocoExportOptions),
): Conversion {
  return options.to === "yolo" ? exportYolo(dataset, options) : exportCoco(dataset, options);
}
