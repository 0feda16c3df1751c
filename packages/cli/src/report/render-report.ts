import {
  formatBytes,
  formatCount,
  formatMilliseconds,
  formatPercent,
  formatRate,
  formatScore,
  html,
  known,
  knownScore,
  NOT_MEASURED,
  raw,
  type SafeHtml,
} from "@seg/train/charts";
import { comparisonsSection } from "./comparison-section.js";
import { detectionCounts } from "./detection-counts.js";
import { evaluationSection } from "./evaluation-section.js";
import {
  certificateSection,
  datasetSection,
  decisionsSection,
  keyValueTable,
  licencesSection,
} from "./facts-section.js";
import { int8Section } from "./int8-section.js";
import { maskIouChart, modelsTable, perClassSection, perSizeSection, tradeOffChart } from "./models-section.js";
import { holesOf } from "./not-measured.js";
import { picturesSection } from "./pictures-section.js";
import type { ReportData } from "./report-data.js";
import { splitName } from "./split-name.js";
import { STYLES } from "./styles.js";
import { curvesSection, detectorSection, teacherSection } from "./training-section.js";
import { isCertified, verdict } from "./verdict.js";

/** Largest report in bytes: a mail takes it, and a phone opens it at once. */
export const MAX_REPORT_BYTES = 3_000_000;

/**
 * The report as one HTML file that needs nothing else: no script, no font, no address on the network (a content security policy in the
 * page forbids all of them), pictures as data URIs, charts as inline SVG, each with its numbers as a table. Names are escaped. The same data
 * gives the same text. Values that were not measured are said to be so. Pictures that would take the file beyond {@link MAX_REPORT_BYTES}
 * are left out, with a note.
 */
export function renderReport(data: ReportData): string {
  const split = `Measured on ${splitName(data.measuredOn)}`;
  const before: Section[] = [
    {
      id: "models",
      title: "Models",
      split,
      body: html`${modelsTable(data)}<div class="charts">${tradeOffChart(data.models)}${maskIouChart(data)}</div>`,
    },
    { id: "decisions", title: "Decisions", body: decisionsSection(data.decisions) },
    { id: "classes", title: "Per class", split, body: perClassSection(data.models) },
    { id: "sizes", title: "Per size", split, body: perSizeSection(data.models) },
    {
      id: "evaluation",
      title: "Precision, recall, confusion",
      split,
      body: evaluationSection({ curves: data.evaluation ?? [], confusion: data.confusion ?? null }),
    },
    { id: "losses", title: "What the student lost", split, body: comparisonsSection(data.comparisons ?? []) },
  ];
  const after: Section[] = [
    {
      id: "int8",
      title: "INT8",
      split: `${split}; gate on validation images, noise on calibration images`,
      body: int8Section({ int8: data.int8 ?? null, models: data.models }),
    },
    {
      id: "curves",
      title: "Training of the student",
      split: "Losses on the training split, accuracy on the validation split",
      body: curvesSection(data.curves),
    },
    {
      id: "teacher",
      title: "Mask teacher",
      ...(data.teacher === null ? {} : { split: "Measured on the validation split" }),
      body:
        data.teacher === null
          ? html`<p class="absent">Not measured: no adapted mask teacher took part.</p>`
          : teacherSection(data.teacher),
    },
    {
      id: "detector",
      title: "Box teacher",
      ...(data.detector ? { split } : {}),
      body: data.detector
        ? detectorSection(data.detector)
        : html`<p class="absent">Not measured: no adapted text-prompted teacher took part.</p>`,
    },
    { id: "dataset", title: "Dataset", body: datasetSection(data.dataset) },
    { id: "certificate", title: "Prompt-free certificate", body: certificateSection(data.certificate) },
    { id: "environment", title: "Environment", body: keyValueTable(Object.entries(data.environment)) },
    { id: "licences", title: "Licences", body: licencesSection(data.licences) },
    { id: "not-measured", title: "Not measured", body: notMeasured(data) },
  ];
  const page = (pictures: SafeHtml): string =>
    document({ data, sections: [...before, { id: "pictures", title: "Pictures", split, body: pictures }, ...after] });
  // Everything else is rendered first; the pictures may fill what is left.
  const used = new TextEncoder().encode(page(html``)).length;
  return page(picturesSection({ overlays: data.overlays, budgetBytes: MAX_REPORT_BYTES - used }));
}

interface Section {
  readonly id: string;
  readonly title: string;
  /** What its figures were measured on. */
  readonly split?: string;
  readonly body: SafeHtml;
}

// A target of the table of contents takes the focus, so that the next Tab goes on from there.
const section = ({ id, title, split, body }: Section): SafeHtml =>
  html`<section id="${id}" aria-labelledby="${id}-title" tabindex="-1"><h2 id="${id}-title">${title}</h2>${split === undefined ? null : html`<p class="split">${split}</p>`}${body}</section>\n`;

function document({ data, sections }: { data: ReportData; sections: readonly Section[] }): string {
  const { headline, details } = verdict(data);
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
<a class="skip" href="#report">Skip to the report</a>
<header><h1>${data.title}</h1><p class="subtitle">${data.subtitle}</p>${pills(data)}</header>
<div class="layout">
<nav aria-label="Sections"><ol>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol></nav>
<main id="report" tabindex="-1">
<section class="verdict" aria-label="Result"><p class="headline">${headline}</p>${tiles(data)}${details.length > 0 ? html`<ul>${details.map((text) => html`<li>${text}</li>`)}</ul>` : null}</section>
${sections.map(section)}</main>
</div>
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
function tiles({ models, confusion }: ReportData): SafeHtml | null {
  const row = models.find(({ kind }) => kind === "student-int8") ?? models.find(({ kind }) => kind === "student-fp32");
  if (row === undefined) return null;
  const tile = (label: string, value: string, note: string) =>
    html`<div><dt>${label}</dt><dd class="${value === NOT_MEASURED ? "absent" : ""}">${value}${note === "" ? null : html`<small>${note}</small>`}</dd></div>`;
  const strict = (map: number | undefined) => (knownScore(map) === null ? "" : `mAP50-95 ${formatScore(map)}`);
  const p95 = known(row.latencyMs?.p95);
  const counts = confusion ? detectionCounts(confusion).all : null;
  const reported = counts === null ? 0 : counts.found + counts.mistaken + counts.unannotated;
  const counted =
    counts === null || counts.objects === 0
      ? null
      : html`${tile("Objects found", formatPercent(counts.found / counts.objects), `${formatCount(counts.found)} of ${formatCount(counts.objects)}`)}${tile("Not annotated", formatCount(counts.unannotated), `of ${formatCount(reported)} reported`)}`;
  return html`<dl class="tiles">${counted}${tile("Box mAP50", formatScore(row.box?.map50), strict(row.box?.map))}${tile("Mask mAP50", formatScore(row.mask?.map50), strict(row.mask?.map))}${tile("Size", formatBytes(row.sizeBytes), row.name)}${tile("Latency p50", formatMilliseconds(row.latencyMs?.p50), p95 === null ? "" : `p95 ${formatMilliseconds(p95)}`)}${tile("Images per second", formatRate(row.fps), "")}${tile("Peak memory", formatBytes(row.peakMemoryBytes), "")}</dl>`;
}

/** The given list, and what the report has a place for but no value. */
function notMeasured(data: ReportData): SafeHtml {
  const entries = [...data.notMeasured, ...holesOf(data)];
  return entries.length === 0
    ? html`<p>Every value this report has a place for was measured.</p>`
    : html`<ul>${entries.map((entry) => html`<li>${entry}</li>`)}</ul>`;
}
