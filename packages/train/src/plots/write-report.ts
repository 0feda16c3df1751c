import { existsSync } from "node:fs";
import { type CocoDataset, type CocoResult, confusionMatrix, detectionCurves } from "@seg/coco-dataset";
import { svgFile } from "../charts/index.js";
import { optionalSharp, writeChart } from "../charts/write-chart.js";
import type { RunDirectory } from "../run-directory.js";
import { confusionPlots, curvePlots } from "./curve-plots.js";
import { labelsPlot } from "./labels-plot.js";
import { type MosaicPicture, pictureMosaic } from "./picture-mosaic.js";
import { resultsPlot } from "./results-plot.js";

/** What {@link writeReport} draws beside the curves of the run; absent parts are left out. */
export interface ReportInput {
  /** Training split, for `labels.jpg`. */
  readonly labels?: CocoDataset;
  /** The last evaluation: curves `Box*`, confusion matrices; `Mask*` where masks were predicted. */
  readonly evaluation?: {
    readonly dataset: CocoDataset;
    readonly detections: readonly CocoResult[];
    readonly maskDetections?: readonly CocoResult[];
  };
  /** JPEG mosaics by name without its end, for example `train_batch0`, `val_batch0_pred`. */
  readonly mosaics?: Readonly<Record<string, readonly MosaicPicture[]>>;
}

/**
 * Writes the pictures of a run in the Ultralytics layout: `results`, `Box{PR,F1,P,R}_curve`, `Mask...`, `confusion_matrix`,
 * `confusion_matrix_normalized` as SVG and PNG, `labels.jpg` and the given mosaics as JPEG. Without the optional package sharp only the SVG files.
 *
 * @returns names of the files, in the order of writing
 */
export async function writeReport(
  run: RunDirectory,
  { labels, evaluation, mosaics = {} }: ReportInput = {},
): Promise<string[]> {
  const files: string[] = [];
  if (existsSync(run.file("results.csv")))
    files.push(...(await writeChart(run, "results", resultsPlot(run), { scale: 1 })));
  if (evaluation) {
    const { dataset, detections, maskDetections } = evaluation;
    const kinds = [{ prefix: "Box", iouType: "bbox" as const, rows: detections }];
    const sets = maskDetections?.length
      ? [...kinds, { prefix: "Mask", iouType: "segm" as const, rows: maskDetections }]
      : kinds;
    for (const { prefix, iouType, rows } of sets) {
      const curves = curvePlots(detectionCurves({ groundTruth: dataset, detections: rows, iouType }));
      for (const [name, chart] of Object.entries(curves)) {
        files.push(...(await writeChart(run, `${prefix}${name}`, chart)));
      }
    }
    const confusion = confusionPlots(confusionMatrix({ groundTruth: dataset, detections }));
    for (const [name, chart] of Object.entries(confusion)) files.push(...(await writeChart(run, name, chart)));
  }
  if (labels) files.push(...(await writeLabels(run, labels)));
  for (const [name, pictures] of Object.entries(mosaics)) {
    const jpeg = await pictureMosaic(pictures);
    if (jpeg === null) continue;
    run.write(`${name}.jpg`, jpeg);
    files.push(`${name}.jpg`);
  }
  return files;
}

/** `labels.svg`, and `labels.jpg`, the name that other tools look for. */
async function writeLabels(run: RunDirectory, labels: CocoDataset): Promise<string[]> {
  const svg = svgFile(labelsPlot(labels));
  run.write("labels.svg", `${svg}\n`);
  const sharp = await optionalSharp();
  if (sharp === null) return ["labels.svg"];
  run.write("labels.jpg", await sharp(Buffer.from(svg)).jpeg({ quality: 90 }).toBuffer());
  return ["labels.svg", "labels.jpg"];
}
