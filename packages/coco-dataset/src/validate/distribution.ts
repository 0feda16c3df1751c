import type { ClassDistribution, ClassRow } from "../class-distribution.js";
import type { CocoDataset } from "../document.js";
import { listSome } from "../findings.js";
import type { RawFinding } from "./raw-finding.js";
import type { HealthThresholds } from "./thresholds.js";

/** Findings about what can be learned from the numbers of examples. */
export function distributionFindings(input: {
  dataset: CocoDataset;
  distribution: ClassDistribution;
  limits: HealthThresholds;
  strict: boolean;
}): RawFinding[] {
  const { dataset, distribution, limits, strict } = input;
  const { minSamplesPerClass } = limits;
  const findings: RawFinding[] = [];
  const add = (code: string, severity: RawFinding["severity"], message: string, rows: readonly ClassRow[]) => {
    if (rows.length === 0) return;
    const names = listSome(rows.map((row) => row.name));
    findings.push({
      code,
      severity,
      layer: "distribution",
      message: `${message}: ${names}.`,
      ids: rows.map((row) => row.categoryId),
      count: rows.length,
      subject: "none",
    });
  };
  const { classes } = distribution;
  const present = classes.filter((row) => row.instances > 0);
  add(
    "zero_instances",
    "warn",
    "Categories that never occur cannot be learned",
    classes.filter((row) => row.instances === 0),
  );
  add(
    "low_instances",
    strict ? "error" : "warn",
    `Categories with fewer than ${minSamplesPerClass} instances`,
    present.filter((row) => row.instances < minSamplesPerClass),
  );
  const sorted = present.toSorted((a, b) => b.instances - a.instances || a.index - b.index);
  const most = sorted[0];
  const least = sorted.at(-1);
  if (most !== undefined && least !== undefined && most.instances > limits.imbalanceRatio * least.instances) {
    const ratio = Math.round(most.instances / least.instances);
    add("imbalance_ratio", "warn", `The most frequent class is ${ratio} times as frequent as the rarest`, [
      most,
      least,
    ]);
  }
  if (most !== undefined && classes.length > 1 && most.share > limits.dominantShare) {
    add("dominance", "warn", `One class holds ${Math.round(most.share * 100)} % of all instances`, [most]);
  }
  add(
    "size_bin_gap",
    "warn",
    "Categories without any object of a size (small, medium or large) that the other categories have",
    present.filter((row) => row.instances >= minSamplesPerClass && missesSize(row, distribution, limits)),
  );
  const annotated = new Set(dataset.annotations.map((annotation) => annotation.image_id));
  const negatives = dataset.images.filter((image) => !annotated.has(image.id));
  if (negatives.length > 0) {
    findings.push({
      code: "images_without_annotations",
      severity: "info",
      layer: "distribution",
      message: `${negatives.length} images without annotations count as negatives`,
      ids: negatives.map((image) => image.id),
      subject: "image",
    });
  } else if (dataset.images.length > 0) {
    findings.push({
      code: "no_negatives",
      severity: "info",
      layer: "distribution",
      message: "Every image has annotations; a few images of plain background reduce false alarms.",
      ids: [],
      count: 0,
      subject: "none",
    });
  }
  return findings;
}

/** Whether a class has no object of a size that is common in the dataset. */
function missesSize(row: ClassRow, { classes, numInstances }: ClassDistribution, limits: HealthThresholds): boolean {
  return (["small", "medium", "large"] as const).some((size) => {
    const total = classes.reduce((sum, other) => sum + other[size], 0);
    return row[size] === 0 && total >= limits.sizeBinShare * numInstances;
  });
}
