import { barChart, formatBytes, formatCount, html, NOT_MEASURED, type SafeHtml } from "@seg/train/charts";
import { barNumbers, figure } from "./markup/figure.js";
import { cell, columnHead, plainTable, row, rowHead, table } from "./markup/table.js";
import type { CertifiedFile, ReportData } from "./report-data.js";
import { isCertified } from "./verdict.js";

const MARKS = { error: "✗", warn: "!", info: "i" } as const;
const RANK = { error: 0, warn: 1, info: 2 } as const;
/** More findings than this belong into a file; the counts above the list still cover all. */
const MAX_FINDINGS = 100;
const MAX_CHART_CLASSES = 30;

const plural = (count: number, noun: string): string => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Images and annotations by split and class, findings, what was derived. */
export function datasetSection(dataset: ReportData["dataset"]): SafeHtml {
  const splits = [
    ...new Set([...Object.keys(dataset.splits), ...dataset.classes.flatMap(({ counts }) => Object.keys(counts))]),
  ];
  const count = (entry: { counts: Record<string, number> }, split: string) => entry.counts[split] ?? null;
  const total = (entry: { counts: Record<string, number> }) =>
    splits.reduce((sum, split) => sum + (count(entry, split) ?? 0), 0);
  // A split that no class was counted in has no total either.
  const splitTotal = (split: string) => {
    const counts = dataset.classes.map((entry) => count(entry, split)).filter((n) => n !== null);
    return counts.length === 0 ? null : counts.reduce((sum, n) => sum + n, 0);
  };
  const line = (name: SafeHtml | string, value: (split: string) => number | null, all: number, className = "") =>
    row(
      [rowHead(name), splits.map((split) => cell(split, formatCount(value(split)))), cell("all", formatCount(all))],
      className,
    );
  const counts = table({
    caption: "Images and annotations by split",
    head: row([columnHead("Class"), splits.map((split) => columnHead(split)), columnHead("all")]),
    rows: [
      line("images", (split) => dataset.splits[split] ?? null, dataset.images, "images"),
      dataset.classes.map((entry) =>
        line(
          html`<span class="index">${entry.index}</span> ${entry.name}`,
          (split) => count(entry, split),
          total(entry),
        ),
      ),
      line("annotations", splitTotal, dataset.annotations, "total"),
    ],
  });
  const shown =
    dataset.classes.length <= MAX_CHART_CLASSES
      ? dataset.classes
      : [...dataset.classes].sort((a, b) => total(a) - total(b)).slice(0, MAX_CHART_CLASSES);
  const title = `Annotations by class${shown.length < dataset.classes.length ? `, the rarest ${shown.length} of ${dataset.classes.length}` : ""}`;
  const groups = shown.map((entry) => ({ label: entry.name, values: splits.map((split) => count(entry, split)) }));
  const chart = figure({
    title,
    chart: barChart({ title, isStacked: true, series: splits, groups, xLabel: "annotations", format: formatCount }),
    numbers: barNumbers("class", splits, groups, formatCount),
  });
  const { boxes, areas } = dataset.generated;
  const derived =
    boxes + areas === 0
      ? "All boxes and areas are as annotated."
      : `Derived instead of annotated: ${formatCount(boxes)} ${boxes === 1 ? "box" : "boxes"}, ${plural(areas, "area")}.`;
  return html`<div class="charts">${chart}<div>${counts}</div></div><p>${derived}</p>${findingsList(dataset.findings)}`;
}

function findingsList(findings: ReportData["dataset"]["findings"]): SafeHtml {
  if (findings.length === 0) return html`<h3>Findings</h3><p>No findings.</p>`;
  const sorted = [...findings].sort((a, b) => RANK[a.severity] - RANK[b.severity]);
  const sum = (severity: keyof typeof MARKS) =>
    findings.filter((f) => f.severity === severity).reduce((n, f) => n + f.count, 0);
  const hidden = sorted.length - MAX_FINDINGS;
  return html`<h3>Findings</h3><p>${plural(sum("error"), "error")}, ${plural(sum("warn"), "warning")}, ${plural(sum("info"), "note")}.</p><ul class="findings">${sorted.slice(0, MAX_FINDINGS).map((finding) => html`<li class="${finding.severity}"><span class="mark" aria-hidden="true">${MARKS[finding.severity]}</span><div><b>${finding.severity === "warn" ? "warning" : finding.severity}</b> <code>${finding.code}</code>${finding.count > 1 ? html` <span class="times">${formatCount(finding.count)} times</span>` : null}<br>${finding.message}</div></li>`)}</ul>${hidden > 0 ? html`<p class="note">${formatCount(hidden)} more kinds of findings are not shown here.</p>` : null}`;
}

/** What the data decided, each with its reason. */
export function decisionsSection(decisions: ReportData["decisions"]): SafeHtml {
  if (decisions.length === 0) return html`<p class="absent">No decision was recorded.</p>`;
  return html`<dl class="decisions">${decisions.map(({ what, choice, reason }) => html`<div><dt>${what}</dt><dd><b>${choice}</b><br>${reason}</dd></div>`)}</dl>`;
}

/** The prompt-free certificate as a checklist, and what it says of each file. */
export function certificateSection(certificate: ReportData["certificate"]): SafeHtml {
  if (certificate === null) return html`<p class="absent">Not measured: no certificate was made.</p>`;
  const isGood = isCertified(certificate);
  const files = certificate.files ?? [];
  return html`<p class="stamp ${isGood ? "good" : "bad"}">${isGood ? "✓ Prompt-free: the model takes the image and nothing else." : "✗ NOT certified as prompt-free."}</p><ul class="checks">${certificate.checks.map(({ name, passed, detail }) => html`<li class="${passed ? "passed" : "failed"}"><span class="mark" aria-hidden="true">${passed ? "✓" : "✗"}</span><div><b>${name}</b> <span class="result">${passed ? "passed" : "FAILED"}</span><br>${detail}</div></li>`)}</ul>${files.length === 0 ? html`<p class="note">SHA-256 of the model: <code class="hash">${certificate.modelSha256 === "" ? NOT_MEASURED : certificate.modelSha256}</code></p>` : files.map(certifiedFile)}`;
}

function certifiedFile({ file, precision, bytes, fileSha256, inputs, outputs, warnings }: CertifiedFile): SafeHtml {
  return html`<h3>${file}</h3>${keyValueTable([
    ["precision and size", `${precision}, ${formatBytes(bytes)}`],
    ["SHA-256", html`<code class="hash">${fileSha256}</code>`],
    ["inputs", inputs.join(", ")],
    ["outputs", outputs.join(", ")],
    ...(warnings.length === 0 ? [] : [["warnings", warnings.join(" ")] as const]),
  ])}`;
}

/** Names and values. */
export function keyValueTable(entries: readonly (readonly [string, string | SafeHtml])[]): SafeHtml {
  if (entries.length === 0) return html`<p class="absent">Not recorded.</p>`;
  return html`<dl class="pairs">${entries.map(([key, value]) => html`<div><dt>${key}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Licences of models, data and software, and where each is stated; what shares both stands in one row. */
export function licencesSection(licences: ReportData["licences"]): SafeHtml {
  if (licences.length === 0) return html`<p class="absent">Not recorded.</p>`;
  const groups = new Map<string, { licence: string; source: string; what: string[] }>();
  for (const { what, licence, source = "not recorded" } of licences) {
    const key = JSON.stringify([licence, source]);
    const group = groups.get(key) ?? { licence, source, what: [] };
    group.what.push(what);
    groups.set(key, group);
  }
  return plainTable({
    caption: "Licences of models, data and software",
    head: ["Licence", "Of", "Stated in"],
    rows: [...groups.values()].map(({ licence, source, what }) => [licence, what.join(", "), source]),
    className: "stack words",
  });
}
