import type { Certificate } from "@seg/export";
import type { CertifiedFile, ReportData } from "../report/report-data.js";

const shape = (dims: readonly (number | string | null)[]): string => `[${dims.map((d) => d ?? "?").join(", ")}]`;

function certifiedFile(c: Certificate): CertifiedFile {
  return {
    file: c.file,
    precision: c.precision,
    bytes: c.bytes,
    fileSha256: c.fileSha256,
    promptFree: c.promptFree,
    inputs: c.inputs.map((input) => `${input.name} ${input.dataType} ${shape(input.shape)}`),
    outputs: c.outputs.map((output) => `${output.name} ${shape(output.shape)}`),
    runs: c.behaviour.length,
    warnings: c.warnings,
  };
}

/** `certificate.json` of an optimised student as the report shows it. */
export function certificateFacts(
  certificate: { promptFree: boolean; artefacts: readonly Certificate[] } | null,
): ReportData["certificate"] {
  if (certificate === null) return null;
  return {
    promptFree: certificate.promptFree,
    modelSha256: certificate.artefacts.at(-1)?.fileSha256 ?? "",
    checks: certificate.artefacts.map((c) => ({
      name: c.file,
      passed: c.promptFree,
      detail: `one input "images"; ${c.behaviour.length} inputs run twice, bit-identical, finite, class ids below ${c.numClasses}`,
    })),
    files: certificate.artefacts.map(certifiedFile),
  };
}
