import { importDataset } from "../../convert/import-dataset.js";
import { formatSummary } from "../../format-summary.js";
import type { CliCommand } from "../command.js";
import { healthOf } from "../health-of.js";
import { claimOutputs, writeText } from "../output-path.js";
import { force, images, text } from "../values.js";

/** `seg-coco validate`: health check. */
export const validateCommand: CliCommand = {
  summary: "health check; --output writes health.json",
  positional: ["DATA"],
  options: {
    images,
    checks: { type: "string", help: "only these codes, separated by commas" },
    strict: { type: "boolean", help: "too few instances of a class are an error" },
    output: { type: "string", help: "health.json to write" },
    force,
  },
  async run({ positional: [data], values }) {
    const target = text(values, "output");
    if (target !== undefined) await claimOutputs([target], { inputs: [data!], force: values["force"] === true });
    const report = await healthOf(await importDataset(data!), values);
    if (target !== undefined) await writeText(target, `${JSON.stringify(report, null, 2)}\n`);
    return { text: formatSummary(report), json: report, findings: report.findings };
  },
};
