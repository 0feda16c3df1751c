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

const STYLE = `:root{color-scheme:light dark;--paper:#fff;--ink:#16202c;--muted:#556170;--line:#dfe4ea;--error:#b3261e;--warn:#7d5200;--info:#3d5a80}
@media screen and (prefers-color-scheme:dark){:root{--paper:#19212a;--ink:#e8edf3;--muted:#a3b0bf;--line:#313d4a;--error:#ff9a8f;--warn:#f3c66b;--info:#7cc0f5}}
body{font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;background:var(--paper);color:var(--ink);max-width:1200px;margin:2rem auto;padding:0 1rem;overflow-wrap:break-word}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}.scroll:focus-visible{outline:3px solid var(--info)}
th,td{padding:.25rem .7rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}th:first-child,td:first-child,.text{text-align:left}tbody th{font-weight:400}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em}.verdict{font-weight:600}
.error{color:var(--error)}.warn{color:var(--warn)}.info{color:var(--info)}img{max-width:100%;border:1px solid var(--line)}p.note{color:var(--muted)}
@media print{@page{margin:12mm}body{margin:0;max-width:none;font-size:11px}.scroll{overflow:visible}tr,img{break-inside:avoid}h2{break-after:avoid}}`;

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
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${escapeMarkup(title)}</title><style>${STYLE}</style></head><body><main>
<h1>${escapeMarkup(title)}</h1>
<p class="verdict ${report.ok ? "" : "error"}">${verdict(report, findings)}</p>
${table({ label: "Dataset", rows: facts.map(([name, value]) => `<tr>${rowHead(name)}<td class="text">${escapeMarkup(value)}</td></tr>`) })}
<h2>Findings</h2>
${findingsTable(findings)}
<h2>Classes</h2>
${classTable(distribution)}
${split === undefined ? "" : `<h2>Splits</h2>\n${splitTable(split.distribution)}`}
${pictures.map(pictureSection).join("\n")}
</main></body></html>
`;
}

/** A table that scrolls by itself where a phone is too narrow for it. */
function table({ label, head, rows }: { label: string; head?: string; rows: readonly string[] }): string {
  const heading = head === undefined ? "" : `<thead><tr>${head}</tr></thead>`;
  return `<div class="scroll" role="region" aria-label="${label}" tabindex="0"><table>${heading}<tbody>${rows.join("")}</tbody></table></div>`;
}

/** @param name - markup */
const rowHead = (name: string, className = ""): string =>
  `<th scope="row"${className === "" ? "" : ` class="${className}"`}>${name}</th>`;

/** @param names - text; those of texts stand on the left */
const columnHeads = (names: readonly string[], texts: readonly string[] = []): string =>
  names
    .map((name) => `<th scope="col"${texts.includes(name) ? ' class="text"' : ""}>${escapeMarkup(name)}</th>`)
    .join("");

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
        `<tr>${rowHead(severity, severity)}<td class="text">${escapeMarkup(code)}</td><td>${count}</td><td class="text">${escapeMarkup(message)}${fix === undefined ? "" : ` <em>Fix: ${fix.kind}${fix.safe ? "" : " (unsafe)"}.</em>`}</td></tr>`,
    );
  const texts = ["Code", "What, where, what to do"];
  return table({
    label: "Findings",
    head: columnHeads(["Severity", "Code", "Count", "What, where, what to do"], texts),
    rows,
  });
}

function classTable({ classes }: ClassDistribution): string {
  const rows = classes.map(
    (row) =>
      `<tr>${rowHead(`<span class="swatch" style="background:rgb(${classColor(row.index).join(",")})"></span>${escapeMarkup(row.name)}`)}<td>${row.images}</td><td>${row.instances}</td><td>${(100 * row.share).toFixed(1)} %</td><td>${row.small}</td><td>${row.medium}</td><td>${row.large}</td></tr>`,
  );
  const head = columnHeads(["Class", "Images", "Instances", "Share", "Small", "Medium", "Large"]);
  return table({ label: "Classes", head, rows });
}

function splitTable({ classes, splits }: ClassDistribution): string {
  const cells = (values: readonly number[]) => values.map((value) => `<td>${value}</td>`).join("");
  const rows = [
    ["Images", splits.map((split) => split.images)],
    ["Without objects", splits.map((split) => split.negatives)],
    ["Instances", splits.map((split) => split.instances)],
    ...classes.map((row) => [row.name, splits.map((split) => split.classes[row.index]!.instances)] as const),
  ] as const;
  return table({
    label: "Splits",
    head: columnHeads(["Instances per class", ...splits.map(({ name }) => name)]),
    rows: rows.map(([name, values]) => `<tr>${rowHead(escapeMarkup(name))}${cells(values)}</tr>`),
  });
}

function pictureSection({ title, bytes, mime }: ReportPicture): string {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `<h2>${escapeMarkup(title)}</h2>\n<img alt="${escapeMarkup(title)}" src="data:${mime};base64,${data}">`;
}
