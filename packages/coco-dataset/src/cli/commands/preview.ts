import { importDataset } from "../../convert/import-dataset.js";
import { contactSheet } from "../../preview/contact-sheet.js";
import type { CliCommand } from "../command.js";
import { CliUsageError } from "../errors.js";
import { claimOutputs, writeText } from "../output-path.js";
import { force, images, output, text } from "../values.js";

/** `seg-coco preview`: a contact sheet with boxes, masks and names. */
export const previewCommand: CliCommand = {
  summary: "a contact sheet with boxes, masks and names",
  positional: ["DATA"],
  options: {
    images,
    output: output("PNG"),
    count: { type: "number", help: "images, 12 without it" },
    force,
  },
  async run({ positional: [data], values }) {
    const target = text(values, "output")!;
    await claimOutputs([target], { inputs: [data!], force: values["force"] === true });
    const imported = await importDataset(data!);
    const imagesDir = text(values, "images") ?? imported.imagesDir;
    if (imagesDir === null)
      throw new CliUsageError(`--images FOLDER is needed: ${data} does not say where its images are.`);
    const count = (values["count"] as number | undefined) ?? 12;
    await writeText(target, await contactSheet({ dataset: imported.dataset, imagesDir, count }));
    return { text: `written ${target}`, json: { output: target }, findings: [] };
  },
};
