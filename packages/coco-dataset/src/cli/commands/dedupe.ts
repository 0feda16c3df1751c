import { importDataset } from "../../convert/import-dataset.js";
import { findDuplicates } from "../../duplicates/find-duplicates.js";
import { validateDataset } from "../../validate/validate-dataset.js";
import type { CliCommand } from "../command.js";
import { CliUsageError } from "../errors.js";
import { images, text } from "../values.js";

/** `seg-coco dedupe`: images that are equal or almost equal. */
export const dedupeCommand: CliCommand = {
  summary: "images that are equal or almost equal",
  positional: ["DATA"],
  options: { images, distance: { type: "number", help: "Hamming distance of 64 bits, 0 to 4; 4 without it" } },
  async run({ positional: [data], values }) {
    const imported = await importDataset(data!);
    const imagesDir = text(values, "images") ?? imported.imagesDir;
    if (imagesDir === null)
      throw new CliUsageError(`--images FOLDER is needed: ${data} does not say where its images are.`);
    const distance = values["distance"] as number | undefined;
    const report = await findDuplicates(imported.dataset, {
      imagesDir,
      ...(distance === undefined ? {} : { maxDistance: distance }),
    });
    const names = new Map(imported.dataset.images.map((image) => [image.id, image.file_name]));
    const shown = (kind: string, clusters: readonly (readonly number[])[]) =>
      clusters.map((ids) => `${kind}: ${ids.map((id) => names.get(id)).join(", ")}`);
    const { findings } = (
      await validateDataset(imported.dataset, { duplicates: report, checks: ["exact_duplicate", "near_duplicate"] })
    ).report;
    return {
      text: [...shown("equal", report.exact), ...shown("almost equal", report.near)].join("\n") || "no duplicates",
      json: report,
      findings,
    };
  },
};
