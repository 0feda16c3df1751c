import { evaluate, evaluationReport, formatEvaluation } from "../../evaluate/evaluate.js";
import type { IouType } from "../../evaluate/params.js";
import { loadDataset, loadResults } from "../../load/load-dataset.js";
import { resultFindings } from "../../validate/result-findings.js";
import type { CliCommand } from "../command.js";
import { findingLines } from "../finding-lines.js";
import { claimOutputs, writeText } from "../output-path.js";
import { choice, force, text } from "../values.js";

/** `seg-coco eval`: COCO metrics of a results file. */
export const evalCommand: CliCommand = {
  summary: "COCO metrics of a results file; --output writes eval.json",
  positional: ["TRUTH", "RESULTS"],
  options: {
    type: { type: "string", help: "bbox, segm or keypoints; bbox without it" },
    compat: { type: "string", help: "pycocotools or strict; pycocotools without it" },
    output: { type: "string", help: "eval.json to write" },
    force,
  },
  async run({ positional, values }) {
    const [truth, results] = positional as [string, string];
    const iouType: IouType = choice(values, "type", ["bbox", "segm", "keypoints"] as const, "bbox");
    const compat = choice(values, "compat", ["pycocotools", "strict"] as const, "pycocotools");
    const target = text(values, "output");
    if (target !== undefined) await claimOutputs([target], { inputs: positional, force: values["force"] === true });
    const groundTruth = await loadDataset(truth);
    const detections = await loadResults(results);
    const findings = resultFindings(groundTruth, detections);
    const result = evaluate({ groundTruth, detections, iouType, compat });
    const report = evaluationReport(result);
    if (target !== undefined) await writeText(target, `${JSON.stringify(report, null, 2)}\n`);
    return {
      text: `${formatEvaluation(result)}\n${findingLines(findings)}`.trim(),
      json: { ...report, findings },
      findings,
    };
  },
};
