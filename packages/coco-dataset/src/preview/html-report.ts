import type { ClassDistribution } from "../class-distribution.js";
import type { Finding } from "../findings.js";
import type { ValidationReport } from "../validate/validate-dataset.js";
import { classColor } from "./class-color.js";
import { escapeMarkup } from "./escape-markup.js";

/** A picture in the report. */
export interface ReportPicture {
  readonly title: string;
  /** Encoded PNG or JPEG. */
  readonly bytes: Uint8Array;
  readonly mime: "image/png" | "image/jpeg";
}

const STYLE = `body{font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;color:#16202c;max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #dfe4ea}th:first-child,td:first-child,.text{text-align:left}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em}.verdict{font-weight:600}
.error{color:#b3261e}.warn{color:#8a5a00}.info{color:#3d5a80}img{max-width:100%;border:1px solid #dfe4ea}p.note{color:#5b6673}`;

/**
 * The health check as one HTML file without scripts, servers or links: presence, completion, class and split tables, findings with what to
 * do, pictures inside the file. Every text of the data is escaped.
 *
 * @example await writeFile("validation.html", htmlReport({ title: "bags", report, pictures: [{ title: "Preview", bytes, mime: "image/png" }] }))
 */
export function htmlReport({
  title,
  report,
  split,
  pictures = [],
}: {
  title: string;
  report: ValidationReport;
  split?: { readonly distribution: ClassDistribution; readonly findings: readonly Finding[] } | undefined;
  pictures?: readonly ReportPicture[];
}): string {
  const { inspection: i, completion: c, distribution } = report;
  const findings = [...report.findings, ...(split?.findings ?? [])];
  const facts: [string, string][] = [
    ["Images", `${i.numImages}, ${i.numNegatives} of them without objects`],
    ["Annotations", `${i.numAnnotations}, ${i.numCrowd} of them crowd regions`],
    ["Boxes", `${i.counts.bbox} annotated, ${c.bbox.fromPolygons + c.bbox.fromRle} generated from masks`],
    ["Masks", `${i.counts.polygon} polygons, ${i.counts.rle} run lengths`],
    ["Areas", `${c.area.fromPolygons + c.area.fromRle} generated from masks, ${c.area.fromBox} from boxes`],
    ["Task", i.task],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeMarkup(title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeMarkup(title)}</h1>
<p class="verdict ${report.ok ? "" : "error"}">${verdict(report, findings)}</p>
<table>${facts.map(([name, value]) => `<tr><td>${name}</td><td class="text">${escapeMarkup(value)}</td></tr>`).join("")}</table>
<h2>Findings</h2>
${findingsTable(findings)}
<h2>Classes</h2>
${classTable(distribution)}
${split === undefined ? "" : `<h2>Splits</h2>\n${splitTable(split.distribution)}`}
${pictures.map(pictureSection).join("\n")}
</body></html>
`;
}

function verdict(report: ValidationReport, findings: readonly Finding[]): string {
  if (!report.ok) return "Not usable: correct the errors first.";
  return findings.some(({ severity }) => severity === "warn") ? "Usable; read the warnings." : "Usable.";
}

function findingsTable(findings: readonly Finding[]): string {
  if (findings.length === 0) return '<p class="note">None.</p>';
  const order = { error: 0, warn: 1, info: 2 } as const;
  const rows = findings
    .toSorted((a, b) => order[a.severity] - order[b.severity])
    .map(
      ({ severity, code, count, message, fix }) =>
        `<tr><td class="${severity}">${severity}</td><td class="text">${escapeMarkup(code)}</td><td>${count}</td><td class="text">${escapeMarkup(message)}${fix === undefined ? "" : ` <em>Fix: ${fix.kind}${fix.safe ? "" : " (unsafe)"}.</em>`}</td></tr>`,
    );
  return `<table><tr><th>Severity</th><th class="text">Code</th><th>Count</th><th class="text">What, where, what to do</th></tr>${rows.join("")}</table>`;
}

function classTable({ classes }: ClassDistribution): string {
  const rows = classes.map(
    (row) =>
      `<tr><td><span class="swatch" style="background:rgb(${classColor(row.index).join(",")})"></span>${escapeMarkup(row.name)}</td><td>${row.images}</td><td>${row.instances}</td><td>${(100 * row.share).toFixed(1)} %</td><td>${row.small}</td><td>${row.medium}</td><td>${row.large}</td></tr>`,
  );
  return `<table><tr><th>Class</th><th>Images</th><th>Instances</th><th>Share</th><th>Small</th><th>Medium</th><th>Large</th></tr>${rows.join("")}</table>`;
}

function splitTable({ classes, splits }: ClassDistribution): string {
  const cells = (values: readonly number[]) => values.map((value) => `<td>${value}</td>`).join("");
  const rows = [
    ["Images", splits.map((split) => split.images)],
    ["Without objects", splits.map((split) => split.negatives)],
    ["Instances", splits.map((split) => split.instances)],
    ...classes.map((row) => [row.name, splits.map((split) => split.classes[row.index]!.instances)] as const),
  ] as const;
  return `<table><tr><th>Instances per class</th>${splits.map(({ name }) => `<th>${escapeMarkup(name)}</th>`).join("")}</tr>${rows.map(([name, values]) => `<tr><td>${escapeMarkup(name)}</td>${cells(values)}</tr>`).join("")}</table>`;
}

function pictureSection({ title, bytes, mime }: ReportPicture): string {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `<h2>${escapeMarkup(title)}</h2>\n<img alt="${escapeMarkup(title)}" src="data:${mime};base64,${data}">`;
}
