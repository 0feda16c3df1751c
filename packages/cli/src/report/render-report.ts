import {
  formatBytes,
  formatCount,
  formatMilliseconds,
  formatRate,
  formatScore,
  html,
  known,
  knownScore,
  NOT_MEASURED,
  raw,
  type SafeHtml,
} from "@seg/train/charts";
import { certificateSection, datasetSection, decisionsSection, keyValueTable } from "./facts-section.js";
import { maskIouChart, modelsTable, perClassSection, tradeOffChart } from "./models-section.js";
import { picturesSection } from "./pictures-section.js";
import type { ModelRow, ReportData } from "./report-data.js";
import { STYLES } from "./styles.js";
import { curvesSection, detectorSection, teacherSection } from "./training-section.js";
import { isCertified, isPrompted, verdict } from "./verdict.js";

/** Largest report in bytes: mail systems and chat tools still take it. */
export const MAX_REPORT_BYTES = 10_000_000;

/**
 * The report as one HTML file that needs nothing else: no script, no font, no address on the network (a content security policy in the
 * page forbids all of them), pictures as data URIs, charts as inline SVG. Names are escaped. The same data gives the same text. Values
 * that were not measured are said to be so. Pictures that would take the file beyond {@link MAX_REPORT_BYTES} are left out, with a note.
 */
export function renderReport(data: ReportData): string {
  const sections: Section[] = [
    {
      id: "models",
      title: "Models",
      body: html`${modelsTable(data)}<div class="charts">${tradeOffChart(data.models)}${maskIouChart(data)}</div>`,
    },
    { id: "classes", title: "Per class", body: perClassSection(data.models) },
  ];
  const after: Section[] = [
    { id: "curves", title: "Training of the student", body: curvesSection(data.curves) },
    {
      id: "teacher",
      title: "Mask teacher",
      body:
        data.teacher === null
          ? html`<p class="absent">Not measured: no adapted teacher took part.</p>`
          : teacherSection(data.teacher),
    },
    ...(data.detector ? [{ id: "detector", title: "Box teacher", body: detectorSection(data.detector) }] : []),
    { id: "dataset", title: "Dataset", body: datasetSection(data.dataset) },
    { id: "decisions", title: "Decisions", body: decisionsSection(data.decisions) },
    { id: "certificate", title: "Prompt-free certificate", body: certificateSection(data.certificate) },
  ];
  const page = (pictures: SafeHtml): string => {
    const all = [...sections, { id: "pictures", title: "Pictures", body: pictures }, ...after];
    return document({ data, sections: all });
  };
  // Everything else is rendered first; the pictures may fill what is left.
  const used = new TextEncoder().encode(page(html``)).length;
  return page(picturesSection({ overlays: data.overlays, budgetBytes: MAX_REPORT_BYTES - used }));
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: SafeHtml;
}

const section = ({ id, title, body }: Section): SafeHtml =>
  html`<section id="${id}"><h2>${title}</h2>${body}</section>\n`;

function document({ data, sections }: { data: ReportData; sections: readonly Section[] }): string {
  const { headline, details } = verdict(data);
  const links = [
    ...sections,
    { id: "environment", title: "Environment" },
    { id: "licences", title: "Licences" },
    { id: "not-measured", title: "Not measured" },
  ];
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${data.title}</title>
<style>${raw(STYLES)}</style>
</head>
<body>
<header><h1>${data.title}</h1><p class="subtitle">${data.subtitle}</p>${pills(data)}</header>
<main>
<div class="verdict"><p class="headline">${headline}</p>${details.length > 0 ? html`<ul>${details.map((text) => html`<li>${text}</li>`)}</ul>` : null}${tiles(data.models)}</div>
<nav aria-label="Sections">${links.map(({ id, title }) => html`<a href="#${id}">${title}</a>`)}</nav>
${sections.map(section)}<div class="columns">${section({ id: "environment", title: "Environment", body: keyValueTable(Object.entries(data.environment)) })}${section({ id: "licences", title: "Licences", body: keyValueTable(data.licences.map(({ what, licence }) => [what, licence] as const)) })}</div>
${section({ id: "not-measured", title: "Not measured", body: notMeasured(data) })}</main>
<footer>One file, no scripts, nothing loaded from the network. Seed ${String(data.seed)}.</footer>
</body>
</html>
`.text;
}

function pills({ seed, dataset, certificate }: ReportData): SafeHtml {
  const stamp =
    certificate === null
      ? html`<li>certificate: ${NOT_MEASURED}</li>`
      : isCertified(certificate)
        ? html`<li class="good">✓ prompt-free</li>`
        : html`<li class="bad">✗ not certified prompt-free</li>`;
  return html`<ul class="pills">${stamp}<li>${formatCount(dataset.images)} images</li><li>${formatCount(dataset.annotations)} annotations</li><li>${formatCount(dataset.classes.length)} classes</li><li>seed ${String(seed)}</li></ul>`;
}

/** The numbers of the model that is shipped: INT8, else fp32. */
function tiles(models: readonly ModelRow[]): SafeHtml | null {
  const row = models.find(({ kind }) => kind === "student-int8") ?? models.find(({ kind }) => kind === "student-fp32");
  if (row === undefined) return null;
  const tile = (label: string, value: string, note: string) =>
    html`<div><dt>${label}</dt><dd class="${value === NOT_MEASURED ? "absent" : ""}">${value}${note === "" ? null : html`<small>${note}</small>`}</dd></div>`;
  const strict = (map: number | undefined) => (knownScore(map) === null ? "" : `mAP50-95 ${formatScore(map)}`);
  const p95 = known(row.latencyMs?.p95);
  return html`<dl class="tiles" aria-label="${row.name}">${tile("Box mAP50", formatScore(row.box?.map50), strict(row.box?.map))}${tile("Mask mAP50", formatScore(row.mask?.map50), strict(row.mask?.map))}${tile("Size", formatBytes(row.sizeBytes), row.name)}${tile("Latency p50", formatMilliseconds(row.latencyMs?.p50), p95 === null ? "" : `p95 ${formatMilliseconds(p95)}`)}${tile("Images per second", formatRate(row.fps), "")}${tile("Peak memory", formatBytes(row.peakMemoryBytes), "")}</dl>`;
}

/** The given list, and what the models table lacks, so that no hole goes unmentioned. */
function notMeasured(data: ReportData): SafeHtml {
  const holes = data.models.flatMap((row) => {
    const missing = [
      knownScore(row.box?.map50) === null ? "box mAP" : null,
      knownScore(row.mask?.map50) === null ? "mask mAP" : null,
      knownScore(row.maskIou) === null ? "mask IoU" : null,
      known(row.sizeBytes) === null ? "size" : null,
      known(row.latencyMs?.p50) === null ? "latency" : null,
      known(row.fps) === null ? "FPS" : null,
      known(row.peakMemoryBytes) === null ? "peak memory" : null,
    ].filter((name) => name !== null);
    if (missing.length === 0) return [];
    return [
      `${row.name}: ${missing.join(", ")}${isPrompted(row) && missing.includes("box mAP") ? ` (boxes: it was given ${row.prompts})` : ""}`,
    ];
  });
  const entries = [...data.notMeasured, ...holes];
  return entries.length === 0
    ? html`<p>Every value this report has a place for was measured.</p>`
    : html`<ul>${entries.map((entry) => html`<li>${entry}</li>`)}</ul>`;
}
