import { join } from "node:path";
import { importDataset } from "../../convert/import-dataset.js";
import { fixDataset } from "../../validate/fix-dataset.js";
import { validateDataset } from "../../validate/validate-dataset.js";
import { writeDataset } from "../../write-dataset.js";
import type { CliCommand } from "../command.js";
import { findingLines } from "../finding-lines.js";
import { healthOf } from "../health-of.js";
import { claimOutputs, writeText } from "../output-path.js";
import { force, listed, output, text } from "../values.js";

/** `seg-coco fix`: apply the repairs that the health check offers, to a new file. */
export const fixCommand: CliCommand = {
  summary: "apply the repairs that the health check offers, to a new file",
  positional: ["DATA"],
  options: {
    output: output("repaired document; the changes go to patch.jsonl beside it"),
    codes: { type: "string", help: "only these findings, separated by commas" },
    unsafe: { type: "boolean", help: "also repairs that may lose something meant" },
    force,
  },
  async run({ positional: [data], values }) {
    const target = text(values, "output")!;
    const patch = join(target, "..", "patch.jsonl");
    await claimOutputs([target, patch], { inputs: [data!], force: values["force"] === true });
    const imported = await importDataset(data!);
    const report = await healthOf({ ...imported, imagesDir: null }, {});
    const codes = listed(values, "codes");
    const { dataset, patchLog } = fixDataset(imported.dataset, report, {
      ...(codes === undefined ? {} : { codes }),
      unsafe: values["unsafe"] === true,
    });
    await writeDataset(dataset, target);
    await writeText(patch, patchLog.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    const after = (await validateDataset(dataset)).report.findings;
    return {
      text: `${patchLog.length} changes, written to ${target} and ${patch}\n${findingLines(after)}`.trim(),
      json: { changes: patchLog.length, output: target, patch, findings: after },
      findings: after,
    };
  },
};
