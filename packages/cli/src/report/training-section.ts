import {
  barChart,
  formatCount,
  formatDelta,
  formatDuration,
  formatPercent,
  formatScore,
  html,
  known,
  type LineSeries,
  lineChart,
  type SafeHtml,
} from "@seg/train/charts";
import type { ReportData } from "./report-data.js";

/** `metrics/mAP50(B)` -> "box mAP50", `train/seg_loss` -> "seg". */
function seriesName(column: string): string {
  const [, kind = "", rest = column] = /^(\w+)\/(.+)$/.exec(column) ?? [];
  if (kind === "metrics")
    return `${rest.endsWith("(M)") ? "mask " : rest.endsWith("(B)") ? "box " : ""}${rest.replace(/\([BM]\)$/, "")}`;
  return rest.replace(/_loss$/, "").replace(/^kd_/, "distil ");
}

/** Losses, accuracy and distillation terms over the epochs. */
export function curvesSection({ columns, rows }: ReportData["curves"]): SafeHtml {
  const epochs = columns.indexOf("epoch");
  const series = (matches: (column: string) => boolean): LineSeries[] =>
    columns.flatMap((column, k) => {
      const points = rows.map((row, i) => [row[epochs] ?? i + 1, row[k] ?? null] as const);
      // A column that says nothing (empty, or a term that was switched off) would only fill the legend.
      return matches(column) && points.some(([, value]) => value !== null && value !== 0)
        ? [{ name: seriesName(column), points }]
        : [];
    });
  const charts = [
    {
      title: "Training losses",
      yLabel: "loss",
      series: series((c) => /^train\/(?!kd_).*_loss$/.test(c)),
      isRequired: true,
    },
    {
      title: "Validation accuracy",
      yLabel: "mAP",
      series: series((c) => /^metrics\/mAP/.test(c)),
      isRequired: true,
      yMax: 1,
    },
    { title: "Validation losses", yLabel: "loss", series: series((c) => /^val\/.*_loss$/.test(c)), isRequired: false },
    {
      title: "Precision and recall",
      yLabel: "share",
      series: series((c) => /^metrics\/(precision|recall)/.test(c)),
      isRequired: false,
      yMax: 1,
    },
    {
      title: "Distillation terms",
      yLabel: "loss",
      series: series((c) => c.startsWith("train/kd_")),
      isRequired: false,
    },
  ];
  const time = known(rows.at(-1)?.[columns.indexOf("time")] ?? null);
  const facts = `${rows.length} ${rows.length === 1 ? "epoch" : "epochs"}${time === null ? "" : `, ${formatDuration(time)} of training`}. Dots are measured values; accuracy is measured on the validation split.`;
  return html`<p class="note intro">${rows.length === 0 ? "No epoch was recorded." : facts}</p><div class="charts">${charts
    .filter((chart) => chart.isRequired || chart.series.length > 0)
    .map(
      ({ title, yLabel, series: lines, yMax }) =>
        html`<figure><figcaption>${title}</figcaption>${lineChart({ title, series: lines, xLabel: "epoch", yLabel, ...(yMax === undefined ? {} : { yMax }) })}</figure>`,
    )}</div>`;
}

/** The adapted mask teacher: before, after, and its two trivial baselines. */
export function teacherSection(teacher: NonNullable<ReportData["teacher"]>): SafeHtml {
  const before = new Map(teacher.before.perClass.map((entry) => [entry.name, entry]));
  const row = (
    name: string,
    values: { before: number | undefined; after: number; filledBox: number; ellipse: number; count: number | null },
    className = "",
  ) => {
    const gain = values.before === undefined ? null : values.after - values.before;
    return html`<tr class="${className}"><th scope="row"><span class="name">${name}</span></th><td data-label="IoU before">${formatScore(values.before)}</td><td data-label="IoU after"><span class="value">${formatScore(values.after)}</span>${gain === null ? null : html`<span class="delta ${gain > 0 ? "better" : gain < 0 ? "worse" : "same"}">${formatDelta(gain)}</span>`}</td><td data-label="Filled box">${formatScore(values.filledBox)}</td><td data-label="Ellipse">${formatScore(values.ellipse)}</td><td data-label="Objects">${values.count === null ? "" : formatCount(values.count)}</td></tr>`;
  };
  const total = teacher.after.perClass.reduce((sum, { count }) => sum + count, 0);
  const table = html`<div class="scroll"><table class="stack"><thead><tr><th scope="col">Class</th><th scope="col">IoU before</th><th scope="col">IoU after</th><th scope="col">Filled box</th><th scope="col">Ellipse</th><th scope="col">Objects</th></tr></thead><tbody>${teacher.after.perClass.map((entry) => row(entry.name, { before: before.get(entry.name)?.iou, after: entry.iou, filledBox: entry.filledBox, ellipse: entry.ellipse, count: entry.count }))}${row("all objects", { before: teacher.before.meanIou, after: teacher.after.meanIou, ...teacher.after.baselines, count: total }, "total")}</tbody></table></div>`;
  const chart = barChart({
    title: "Teacher mask IoU by class",
    series: ["before", "after", "filled box", "ellipse"],
    colors: [5, 0, 4, 3],
    groups: teacher.after.perClass.slice(0, 16).map((entry) => ({
      label: entry.name,
      values: [known(before.get(entry.name)?.iou), known(entry.iou), known(entry.filledBox), known(entry.ellipse)],
    })),
    xLabel: "mask IoU",
    max: 1,
    format: (value) => value.toFixed(2),
  });
  return html`<p>${teacher.name}, adapter <code>${teacher.adapter}</code>, ${formatPercent(teacher.trainableShare)} of the weights trained. Every object is prompted with its annotated box.</p><div class="charts"><figure><figcaption>Teacher loss</figcaption>${lineChart({ title: "Teacher loss", series: [{ name: "loss", points: teacher.curve.map(({ step, loss }) => [step, loss] as const) }], xLabel: "step", yLabel: "loss" })}</figure><figure><figcaption>Mask IoU by class</figcaption>${chart}</figure></div>${table}<p class="note">Mask IoU: mean over the objects. Filled box and ellipse need no model; a teacher not above them has learned nothing about shape.</p>`;
}

/** The adapted text-prompted detector: average precision before and after by class. */
export function detectorSection({
  name,
  adapter,
  trainableShare,
  before,
  after,
  curve,
}: NonNullable<ReportData["detector"]>): SafeHtml {
  const earlier = new Map(before.perClass.map((entry) => [entry.name, entry]));
  const pair = (label: string, from: number | undefined, to: number) => {
    const gain = from === undefined ? null : to - from;
    return html`<td data-label="${label} before">${formatScore(from)}</td><td data-label="${label} after"><span class="value">${formatScore(to)}</span>${gain === null ? null : html`<span class="delta ${gain > 0 ? "better" : gain < 0 ? "worse" : "same"}">${formatDelta(gain)}</span>`}</td>`;
  };
  const total = after.perClass.reduce((sum, { count }) => sum + count, 0);
  const row = (
    title: string,
    from: { ap50?: number; ap?: number },
    to: { ap50: number; ap: number },
    count: number,
    className = "",
  ) =>
    html`<tr class="${className}"><th scope="row"><span class="name">${title}</span></th>${pair("AP50", from.ap50, to.ap50)}${pair("AP50-95", from.ap, to.ap)}<td data-label="Objects">${formatCount(count)}</td></tr>`;
  const rows = after.perClass.map((entry) => row(entry.name, earlier.get(entry.name) ?? {}, entry, entry.count));
  const all = row(
    "all classes",
    { ap50: before.map50, ap: before.map },
    { ap50: after.map50, ap: after.map },
    total,
    "total",
  );
  const table = html`<div class="scroll"><table class="stack"><thead><tr><th scope="col">Class</th><th scope="col">AP50 before</th><th scope="col">AP50 after</th><th scope="col">AP50-95 before</th><th scope="col">AP50-95 after</th><th scope="col">Objects</th></tr></thead><tbody>${rows}${all}</tbody></table></div>`;
  const chart = barChart({
    title: "Teacher box AP50 by class",
    series: ["before", "after"],
    colors: [5, 0],
    groups: after.perClass.slice(0, 16).map((entry) => ({
      label: entry.name,
      values: [known(earlier.get(entry.name)?.ap50), known(entry.ap50)],
    })),
    xLabel: "box AP50",
    max: 1,
    format: (value) => value.toFixed(2),
  });
  return html`<p>${name}, adapter <code>${adapter}</code>, ${formatPercent(trainableShare)} of the weights trained. Prompted with the names of all classes, measured on the split of this report.</p><div class="charts"><figure><figcaption>Teacher loss</figcaption>${lineChart({ title: "Teacher loss", series: [{ name: "loss", points: curve.map(({ step, loss }) => [step, loss] as const) }], xLabel: "step", yLabel: "loss" })}</figure><figure><figcaption>Box AP50 by class</figcaption>${chart}</figure></div>${table}`;
}
