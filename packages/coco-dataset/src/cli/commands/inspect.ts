import { importDataset } from "../../convert/import-dataset.js";
import { inspectDataset } from "../../inspect-dataset.js";
import type { CliCommand } from "../command.js";
import { findingLines } from "../finding-lines.js";

/** `seg-coco inspect`: what a dataset holds and can teach. */
export const inspectCommand: CliCommand = {
  summary: "what a dataset holds and can teach",
  positional: ["DATA"],
  options: {},
  async run({ positional: [data] }) {
    const { dataset, format } = await importDataset(data!);
    const inspection = inspectDataset(dataset);
    const { numImages, numAnnotations, numClasses, task, counts } = inspection;
    const masks = counts.polygon + counts.rle;
    return {
      text: `${format}: ${numImages} images, ${numAnnotations} annotations (boxes ${counts.bbox}, masks ${masks}, keypoints ${counts.keypoints}), ${numClasses} classes; task ${task}\n${findingLines(inspection.warnings)}`.trim(),
      json: { format, ...inspection },
      findings: inspection.warnings,
    };
  },
};
