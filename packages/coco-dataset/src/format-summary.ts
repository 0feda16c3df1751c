import type { ClassDistribution } from "./class-distribution.js";
import type { CompletionReport } from "./complete-dataset.js";
import type { Finding } from "./findings.js";
import type { SplitResult } from "./split/split-dataset.js";
import type { ValidationReport } from "./validate/validate-dataset.js";

/** Findings shown; with the fixed lines and up to 8 splits the text beside the tables stays below 40 lines. */
const MAX_FINDING_LINES = 24;
const MAX_LINE = 200;

/**
 * Human-readable report in a stable order: dataset, presence, completion, class table, splits table when given, findings with fix hints,
 * verdict. At most 40 lines plus the tables.
 */
export function formatSummary(
  report: ValidationReport,
  { split }: { split?: Pick<SplitResult, "distribution" | "findings"> } = {},
): string {
  const { inspection: i, distribution } = report;
  const lines = [
    `dataset     ${plural(i.numImages, "image")}, ${plural(i.numAnnotations, "annotation")}, ${plural(i.numClasses, "class", "classes")}`,
    `presence    boxes ${i.counts.bbox}/${i.numAnnotations}, masks ${i.counts.polygon + i.counts.rle}/${i.numAnnotations}, keypoints ${i.counts.keypoints}, crowd ${i.numCrowd}, negatives ${i.numNegatives}; task ${i.task}`,
    `completion  ${completionText(report.completion)}`,
    `images      ${{ none: "not checked", existence: "files exist or are named below, not decoded", decoded: "files decoded" }[report.imagesChecked]}`,
    "",
    ...classTable(distribution),
  ];
  if (split !== undefined) lines.push("", ...splitTable(split.distribution));
  const findings = [...report.findings, ...(split?.findings ?? [])];
  const order = { error: 0, warn: 1, info: 2 } as const;
  const sorted = findings.toSorted((a, b) => order[a.severity] - order[b.severity]);
  const number = (severity: Finding["severity"]) => findings.filter((f) => f.severity === severity).length;
  lines.push("", `findings    ${number("error")} error, ${number("warn")} warn, ${number("info")} info`);
  for (const finding of sorted.slice(0, MAX_FINDING_LINES)) lines.push(findingLine(finding));
  if (sorted.length > MAX_FINDING_LINES) lines.push(`  ... and ${sorted.length - MAX_FINDING_LINES} more`);
  lines.push(
    report.ok
      ? `verdict     usable${number("warn") > 0 ? ", read the warnings" : ""}`
      : "verdict     NOT usable: correct the errors first",
  );
  return lines.join("\n");
}

function findingLine({ severity, code, count, message, fix }: Finding): string {
  const hint = fix === undefined ? "" : ` [fix: ${fix.kind}${fix.safe ? "" : ", unsafe"}]`;
  // One line each, whatever a foreign file put into its names.
  const text = `  ${severity.padEnd(5)} ${code} (${count}): ${message.replaceAll(/\s+/g, " ")}`;
  return (text.length > MAX_LINE ? `${text.slice(0, MAX_LINE - 3)}...` : text) + hint;
}

function completionText({ bbox, area, iscrowd, id }: CompletionReport): string {
  const parts = [
    [bbox.fromPolygons, "bbox from polygons"],
    [bbox.fromRle, "bbox from RLE"],
    [area.fromPolygons, "area from polygons"],
    [area.fromRle, "area from RLE"],
    [area.fromBox, "area from bbox"],
    [iscrowd, "iscrowd"],
    [id, "id"],
  ] as const;
  const filled = parts.filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`);
  return filled.length === 0 ? "nothing was absent" : `filled ${filled.join(", ")}`;
}

function classTable({ classes }: ClassDistribution): string[] {
  return table(
    ["index", "id", "name", "images", "instances", "share", "S", "M", "L", "status"],
    classes.map((row) => [
      row.index,
      row.categoryId,
      row.name,
      row.images,
      row.instances,
      `${(row.share * 100).toFixed(1)}%`,
      row.small,
      row.medium,
      row.large,
      row.instances === 0 ? "never present" : row.instances < 10 ? "few" : "ok",
    ]),
  );
}

/** Instances per class and split with the share of the class that the split received. */
function splitTable({ classes, splits }: ClassDistribution): string[] {
  const share = (part: number, total: number) =>
    total === 0 ? "-" : `${part} (${((100 * part) / total).toFixed(1)}%)`;
  const total = (field: "images" | "negatives" | "instances") => splits.reduce((sum, split) => sum + split[field], 0);
  return table(
    ["split", ...splits.map((split) => split.name)],
    [
      ...(["images", "negatives", "instances"] as const).map((field) => [
        field,
        ...splits.map((split) => share(split[field], total(field))),
      ]),
      ...classes.map((row) => [
        row.name,
        ...splits.map((split) => share(split.classes[row.index]!.instances, row.instances)),
      ]),
    ],
  );
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = [header, ...rows.map((row) => row.map((cell) => String(cell).replaceAll(/\s+/g, " ")))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  // Numbers right, the first text column left.
  const isText = header.map((_, column) => rows.length > 0 && rows.every((row) => !/^[\d-]/.test(String(row[column]))));
  return cells.map((row) =>
    row
      .map((cell, column) => (isText[column] ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
