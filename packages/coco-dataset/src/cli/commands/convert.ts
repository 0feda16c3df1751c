import { join } from "node:path";
import { convert } from "../../convert/convert.js";
import { importDataset } from "../../convert/import-dataset.js";
import { writeConversion } from "../../convert/write-conversion.js";
import type { CliCommand } from "../command.js";
import { claimOutputs } from "../output-path.js";
import { choice, force, images, output, text } from "../values.js";

/** `seg-coco convert`: read any known format, write YOLO or COCO. */
export const convertCommand: CliCommand = {
  summary: "read any known format, write YOLO or COCO",
  positional: ["DATA"],
  options: {
    to: { type: "string", help: "yolo or coco", required: true },
    output: output("folder; must be new or empty without --force"),
    images,
    "allow-loss": { type: "boolean", help: "although something annotated is lost" },
    "on-mixed": { type: "string", help: "boxes among masks: box-polygon or boxes" },
    force,
  },
  async run({ positional: [data], values }) {
    const to = choice(values, "to", ["yolo", "coco"] as const, "coco");
    const folder = text(values, "output")!;
    const imported = await importDataset(data!);
    const allowLoss = values["allow-loss"] === true;
    const onMixed =
      text(values, "on-mixed") === undefined
        ? null
        : choice(values, "on-mixed", ["box-polygon", "boxes"] as const, "boxes");
    const splits = Object.keys(imported.splits).length === 0 ? {} : { splits: imported.splits };
    const conversion =
      to === "yolo"
        ? convert(imported.dataset, { to, allowLoss, ...splits, ...(onMixed === null ? {} : { onMixed }) })
        : convert(imported.dataset, { to, allowLoss, ...splits });
    const targets = [...conversion.files.keys()].map((path) => join(folder, path));
    await claimOutputs(targets, { inputs: [imported.source], force: values["force"] === true });
    const imagesDir = text(values, "images") ?? imported.imagesDir;
    const { written, missingImages } = await writeConversion(
      conversion,
      folder,
      imagesDir === null ? {} : { imagesDir },
    );
    const { lossReport } = conversion;
    const lost = lossReport.losses.map((loss) => `lost: ${JSON.stringify(loss)}`);
    const missing = missingImages.map((name) => `missing image: ${name}`);
    return {
      text: [`${imported.format} to ${to}: ${written.length} files in ${folder}`, ...lost, ...missing].join("\n"),
      json: { format: imported.format, to, written: written.length, lossReport, missingImages },
      findings: imported.findings,
    };
  },
};
