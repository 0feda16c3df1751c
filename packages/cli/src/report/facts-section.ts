import { barChart, formatCount, html, type SafeHtml } from "@seg/train/charts";
import type { ReportData } from "./report-data.js";
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
  const table = html`<div class="scroll"><table><thead><tr><th scope="col">Class</th>${splits.map((split) => html`<th scope="col">${split}</th>`)}<th scope="col">all</th></tr></thead><tbody><tr class="images"><th scope="row">images</th>${splits.map((split) => html`<td>${formatCount(dataset.splits[split] ?? null)}</td>`)}<td>${formatCount(dataset.images)}</td></tr>${dataset.classes.map((entry) => html`<tr><th scope="row"><span class="index">${entry.index}</span> ${entry.name}</th>${splits.map((split) => html`<td>${formatCount(count(entry, split))}</td>`)}<td>${formatCount(total(entry))}</td></tr>`)}<tr class="total"><th scope="row">annotations</th>${splits.map((split) => html`<td>${formatCount(splitTotal(split))}</td>`)}<td>${formatCount(dataset.annotations)}</td></tr></tbody></table></div>`;
  const shown =
    dataset.classes.length <= MAX_CHART_CLASSES
      ? dataset.classes
      : [...dataset.classes].sort((a, b) => total(a) - total(b)).slice(0, MAX_CHART_CLASSES);
  const caption = `Annotations by class${shown.length < dataset.classes.length ? `, the rarest ${shown.length} of ${dataset.classes.length}` : ""}`;
  const chart = html`<figure><figcaption>${caption}</figcaption>${barChart({ title: caption, isStacked: true, series: splits, groups: shown.map((entry) => ({ label: entry.name, values: splits.map((split) => count(entry, split)) })), xLabel: "annotations", format: formatCount })}</figure>`;
  const { boxes, areas } = dataset.generated;
  const derived =
    boxes + areas === 0
      ? "All boxes and areas are as annotated."
      : `Derived instead of annotated: ${formatCount(boxes)} ${boxes === 1 ? "box" : "boxes"}, ${plural(areas, "area")}.`;
  return html`<div class="charts">${chart}<div>${table}</div></div><p>${derived}</p>${findingsList(dataset.findings)}`;
}

function findingsList(findings: ReportData["dataset"]["findings"]): SafeHtml {
  if (findings.length === 0) return html`<p>No findings.</p>`;
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

/** The prompt-free certificate as a checklist. */
export function certificateSection(certificate: ReportData["certificate"]): SafeHtml {
  if (certificate === null) return html`<p class="absent">Not measured: no certificate was made.</p>`;
  const isGood = isCertified(certificate);
  return html`<p class="stamp ${isGood ? "good" : "bad"}">${isGood ? "✓ Prompt-free: the model takes the image and nothing else." : "✗ NOT certified as prompt-free."}</p><ul class="checks">${certificate.checks.map(({ name, passed, detail }) => html`<li class="${passed ? "passed" : "failed"}"><span class="mark" aria-hidden="true">${passed ? "✓" : "✗"}</span><div><b>${name}</b> <span class="result">${passed ? "passed" : "FAILED"}</span><br>${detail}</div></li>`)}</ul><p class="note">SHA-256 of the model: <code class="hash">${certificate.modelSha256 === "" ? "not measured" : certificate.modelSha256}</code></p>`;
}

/** Names and values. */
export function keyValueTable(entries: readonly (readonly [string, string])[]): SafeHtml {
  if (entries.length === 0) return html`<p class="absent">Not recorded.</p>`;
  return html`<table class="pairs"><tbody>${entries.map(([key, value]) => html`<tr><th scope="row">${key}</th><td>${value}</td></tr>`)}</tbody></table>`;
}
