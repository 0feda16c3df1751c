import type { ImportedDataset } from "../convert/imported.js";
import { createImageProbe } from "../validate/image-probe.js";
import { type ValidationReport, validateDataset } from "../validate/validate-dataset.js";
import type { CliValues } from "./command.js";
import { listed, text } from "./values.js";

/** The health check, with what reading the format found. */
export async function healthOf(imported: ImportedDataset, values: CliValues): Promise<ValidationReport> {
  const imagesDir = text(values, "images") ?? imported.imagesDir ?? undefined;
  const checks = listed(values, "checks");
  const { report } = await validateDataset(imported.dataset, {
    ...(imagesDir === undefined ? {} : { imagesDir, probeImage: await createImageProbe() }),
    ...(checks === undefined ? {} : { checks }),
    strict: values["strict"] === true,
  });
  const findings = [...imported.findings, ...report.findings];
  return { ...report, findings, ok: findings.every(({ severity }) => severity !== "error") };
}
