import { type ClassDistribution, classDistribution } from "../class-distribution.js";
import { type CompletionReport, completeDataset } from "../complete-dataset.js";
import type { CocoDataset } from "../document.js";
import { type DuplicateReport, duplicateFindings } from "../duplicates/duplicate-findings.js";
import { CocoError, CocoUnusableError } from "../errors.js";
import { type Finding, listSome } from "../findings.js";
import { type DatasetInspection, inspectDataset } from "../inspect-dataset.js";
import { checkDocument } from "../load/check-document.js";
import { wantedChecks } from "./check-codes.js";
import { distributionFindings } from "./distribution.js";
import { geometryFindings } from "./geometry.js";
import { imageFindings, type ProbeImage } from "./images.js";
import { publish, type RawFinding } from "./raw-finding.js";
import { splitFindings } from "./split-findings.js";
import { structuralFindings } from "./structural.js";
import { type HealthThresholds, resolveThresholds } from "./thresholds.js";

/** What {@link validateDataset} found; the content of `health.json`. */
export interface ValidationReport {
  readonly version: 1;
  /** As annotated, before completion. */
  readonly inspection: DatasetInspection;
  readonly completion: CompletionReport;
  /** Structural, geometry, images, distribution; within a layer in a fixed order. */
  readonly findings: readonly Finding[];
  readonly distribution: ClassDistribution;
  /** How far image files were looked at: `decoded` needs imagesDir and probeImage. */
  readonly imagesChecked: "none" | "existence" | "decoded";
  /** No finding of severity error. */
  readonly ok: boolean;
}

/** Options of {@link validateDataset}. */
export interface ValidateOptions {
  /** Folder of the image files; without it files are not looked at. */
  readonly imagesDir?: string;
  /**
   * Decodes an image completely and gives its stored width and height. This package has no decoder of its own; with sharp:
   * `async (path) => { const { info } = await sharp(path, { failOn: "error" }).raw().toBuffer({ resolveWithObject: true }); return info; }`
   */
  readonly probeImage?: ProbeImage;
  /** Fewer non-crowd instances of a class make `low_instances`; short for that threshold. @defaultValue 10 */
  readonly minSamplesPerClass?: number;
  /** Limits of the checks. @defaultValue {@link DEFAULT_THRESHOLDS} */
  readonly thresholds?: Partial<HealthThresholds>;
  /** Codes to look for. @defaultValue all */
  readonly checks?: readonly string[];
  /** The dataset's splits by name: their classes, sizes and shared images are compared. */
  readonly splits?: Readonly<Record<string, CocoDataset>>;
  /** Clusters of `findDuplicates`; with `splits`, those that lie in several splits are errors. */
  readonly duplicates?: Pick<DuplicateReport, "exact" | "near">;
  readonly signal?: AbortSignal;
  /** `low_instances` becomes an error. @defaultValue false */
  readonly strict?: boolean;
}

/**
 * Health check. The returned dataset is the completed copy; nothing is removed from it (`usableAnnotations`, `fixDataset` do that).
 * Problems of the data are findings, also a document of the wrong shape (`json_shape`); consumers that train call {@link assertUsable}.
 *
 * @throws CheckNameError `coco/check-name` on a check or threshold that does not exist
 * @example
 * const { dataset, report } = await validateDataset(await loadDataset("annotations.json"), { imagesDir: "images" });
 * assertUsable(report);
 */
export async function validateDataset(
  source: CocoDataset,
  {
    imagesDir,
    probeImage,
    minSamplesPerClass,
    thresholds,
    checks,
    splits,
    duplicates,
    strict = false,
    signal,
  }: ValidateOptions = {},
): Promise<{ dataset: CocoDataset; report: ValidationReport }> {
  const limits = resolveThresholds({
    ...thresholds,
    ...(minSamplesPerClass === undefined ? {} : { minSamplesPerClass }),
  });
  const isWanted = wantedChecks(checks);
  const { document, shape } = shapeOf(source);
  const { dataset, completion, raw } = checkContent(document, limits);
  signal?.throwIfAborted();
  const distribution = classDistribution(dataset);
  const images =
    imagesDir === undefined
      ? []
      : await imageFindings({ dataset, imagesDir, probeImage: probeImage ?? null, limits, signal });
  const counted = shape.length > 0 ? [] : distributionFindings({ dataset, distribution, limits, strict });
  const compared = [
    ...(splits === undefined ? [] : splitFindings({ dataset, splits, limits })),
    ...(duplicates === undefined ? [] : duplicateFindings({ dataset, duplicates, splits: splits ?? {} })),
  ];
  const all = [...shape, ...raw, ...images, ...counted, ...compared];
  const findings = publish(
    all.filter(({ code }) => isWanted(code)),
    dataset,
  );
  const report: ValidationReport = {
    version: 1,
    inspection: inspectDataset(document),
    completion,
    findings,
    distribution,
    imagesChecked: imagesDir === undefined ? "none" : probeImage === undefined ? "existence" : "decoded",
    ok: findings.every((finding) => finding.severity !== "error"),
  };
  return { dataset, report };
}

/** Completion with the structural and geometry findings, every id kept. */
export function checkContent(
  document: CocoDataset,
  limits: HealthThresholds,
): {
  dataset: CocoDataset;
  completion: CompletionReport;
  raw: RawFinding[];
} {
  const { dataset, report: completion } = completeDataset(document);
  const { findings, broken } = structuralFindings(document, dataset);
  return { dataset, completion, raw: [...findings, ...geometryFindings(dataset, broken, limits)] };
}

function shapeOf(source: CocoDataset): { document: CocoDataset; shape: RawFinding[] } {
  try {
    return { document: checkDocument(source), shape: [] };
  } catch (error) {
    if (!(error instanceof CocoError)) throw error;
    const shape: RawFinding = {
      code: "json_shape",
      severity: "error",
      layer: "structural",
      message: error.message,
      ids: [],
      count: 1,
      subject: "none",
    };
    return { document: { images: [], categories: [], annotations: [] }, shape: [shape] };
  }
}

/**
 * Refuses a dataset with findings of severity error.
 * @throws CocoUnusableError `coco/unusable`, with the codes and ids
 */
export function assertUsable(report: Pick<ValidationReport, "findings">): void {
  const errors = report.findings.filter((finding) => finding.severity === "error");
  if (errors.length === 0) return;
  throw new CocoUnusableError({
    codes: [...new Set(errors.map((finding) => finding.code))],
    ids: [...new Set(errors.flatMap((finding) => finding.ids))],
    message: `The dataset cannot be used: ${listSome(
      errors.map((finding) => `${finding.code} (${finding.message})`),
      3,
    )} Correct the file, or apply fixDataset.`,
  });
}
