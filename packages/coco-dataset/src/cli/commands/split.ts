import { join } from "node:path";
import { importDataset } from "../../convert/import-dataset.js";
import { splitDataset } from "../../split/split-dataset.js";
import { writeDataset } from "../../write-dataset.js";
import type { CliCommand } from "../command.js";
import { findingLines } from "../finding-lines.js";
import { claimOutputs, writeText } from "../output-path.js";
import { force, output, seed, text } from "../values.js";

/** `seg-coco split`: divide by images, classes kept in proportion. */
export const splitCommand: CliCommand = {
  summary: "divide by images, classes kept in proportion; writes one file per split and split.lock.json",
  positional: ["DATA"],
  options: {
    output: output("folder"),
    ratios: { type: "string", help: "train:0.7,val:0.15,test:0.15 without it" },
    seed,
    "group-by": { type: "string", help: "field of the images that must not be divided, for example video" },
    force,
  },
  async run({ positional: [data], values }) {
    const folder = text(values, "output")!;
    const { dataset } = await importDataset(data!);
    const ratios = text(values, "ratios");
    const groupBy = text(values, "group-by");
    const result = splitDataset(dataset, {
      ...(ratios === undefined ? {} : { ratios }),
      ...(groupBy === undefined ? {} : { groupBy }),
      seed: (values["seed"] as number | undefined) ?? 42,
    });
    const parts = Object.entries(result.splits).map(([name, part]) => [join(folder, `${name}.json`), part] as const);
    const lock = join(folder, "split.lock.json");
    await claimOutputs([...parts.map(([path]) => path), lock], { inputs: [data!], force: values["force"] === true });
    for (const [path, part] of parts) await writeDataset(part, path);
    await writeText(lock, `${JSON.stringify(result.lock, null, 2)}\n`);
    const sizes = parts.map(([path, part]) => `${path}: ${part.images.length} images`);
    const error = (100 * result.lock.metrics.meanInstanceError).toFixed(2);
    return {
      text: `${sizes.join("\n")}\ninstances of a class are off by ${error} % in the mean\n${findingLines(result.findings)}`.trim(),
      json: { lock: result.lock, findings: result.findings },
      findings: result.findings,
    };
  },
};
