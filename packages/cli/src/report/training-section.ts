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
import { barNumbers, figure, lineNumbers } from "./markup/figure.js";
import { cell, columnHead, row, rowHead, table } from "./markup/table.js";
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
    .map(({ title, yLabel, series: lines, yMax }) =>
      figure({
        title,
        chart: lineChart({ title, series: lines, xLabel: "epoch", yLabel, ...(yMax === undefined ? {} : { yMax }) }),
        numbers: lineNumbers("epoch", lines),
      }),
    )}</div>`;
}

function lossFigure(title: string, curve: readonly { step: number; loss: number }[]): SafeHtml {
  const series = [{ name: "loss", points: curve.map(({ step, loss }) => [step, loss] as const) }];
  return figure({
    title,
    chart: lineChart({ title, series, xLabel: "step", yLabel: "loss" }),
    numbers: lineNumbers("step", series),
  });
}

/** A score after adapting, with what it gained. */
function afterCell(label: string, before: number | undefined, after: number): SafeHtml {
  const gain = before === undefined ? null : after - before;
  return cell(
    label,
    formatScore(after),
    gain === null
      ? null
      : html`<span class="delta ${gain > 0 ? "better" : gain < 0 ? "worse" : "same"}">${formatDelta(gain)}</span>`,
  );
}

const heads = (names: readonly string[]) => row(names.map((name) => columnHead(name)));

/** Classes of a teacher that a chart has room for. */
const MAX_CHART_CLASSES = 16;

/** The adapted mask teacher: before, after, and its two trivial baselines. */
export function teacherSection(teacher: NonNullable<ReportData["teacher"]>): SafeHtml {
  const before = new Map(teacher.before.perClass.map((entry) => [entry.name, entry]));
  const line = (
    name: string,
    values: { before: number | undefined; after: number; filledBox: number; ellipse: number; count: number },
    className = "",
  ) =>
    row(
      [
        rowHead(html`<span class="name">${name}</span>`),
        cell("IoU before", formatScore(values.before)),
        afterCell("IoU after", values.before, values.after),
        cell("Filled box", formatScore(values.filledBox)),
        cell("Ellipse", formatScore(values.ellipse)),
        cell("Objects", formatCount(values.count)),
      ],
      className,
    );
  const total = teacher.after.perClass.reduce((sum, { count }) => sum + count, 0);
  const scores = table({
    caption: "Mask teacher by class",
    head: heads(["Class", "IoU before", "IoU after", "Filled box", "Ellipse", "Objects"]),
    rows: [
      teacher.after.perClass.map((entry) =>
        line(entry.name, { ...entry, before: before.get(entry.name)?.iou, after: entry.iou }),
      ),
      line(
        "all objects",
        { before: teacher.before.meanIou, after: teacher.after.meanIou, ...teacher.after.baselines, count: total },
        "total",
      ),
    ],
  });
  const title = "Mask IoU by class";
  const series = ["before", "after", "filled box", "ellipse"];
  const groups = teacher.after.perClass.slice(0, MAX_CHART_CLASSES).map((entry) => ({
    label: entry.name,
    values: [known(before.get(entry.name)?.iou), known(entry.iou), known(entry.filledBox), known(entry.ellipse)],
  }));
  const chart = figure({
    title,
    chart: barChart({ title, series, colors: [5, 0, 4, 3], groups, xLabel: "mask IoU", max: 1, format: twoDecimals }),
    numbers: barNumbers("class", series, groups, threeDecimals),
  });
  return html`<p>${teacher.name}, adapter <code>${teacher.adapter}</code>, ${formatPercent(teacher.trainableShare)} of the weights trained. Every object of the validation split is prompted with its annotated box.</p><div class="charts">${lossFigure("Loss of the mask teacher", teacher.curve)}${chart}</div>${scores}<p class="note">Mask IoU: mean over the objects. Filled box and ellipse need no model; a teacher not above them has learned nothing about shape.</p>`;
}

const twoDecimals = (value: number): string => value.toFixed(2);
const threeDecimals = (value: number): string => value.toFixed(3);

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
  const pair = (label: string, from: number | undefined, to: number) => [
    cell(`${label} before`, formatScore(from)),
    afterCell(`${label} after`, from, to),
  ];
  const total = after.perClass.reduce((sum, { count }) => sum + count, 0);
  const line = (
    title: string,
    from: { ap50?: number; ap?: number },
    to: { ap50: number; ap: number },
    count: number,
    className = "",
  ) =>
    row(
      [
        rowHead(html`<span class="name">${title}</span>`),
        pair("AP50", from.ap50, to.ap50),
        pair("AP50-95", from.ap, to.ap),
        cell("Objects", formatCount(count)),
      ],
      className,
    );
  const scores = table({
    caption: "Box teacher by class",
    head: heads(["Class", "AP50 before", "AP50 after", "AP50-95 before", "AP50-95 after", "Objects"]),
    rows: [
      after.perClass.map((entry) => line(entry.name, earlier.get(entry.name) ?? {}, entry, entry.count)),
      line("all classes", { ap50: before.map50, ap: before.map }, { ap50: after.map50, ap: after.map }, total, "total"),
    ],
  });
  const title = "Box AP50 by class, before and after";
  const series = ["before", "after"];
  const groups = after.perClass.slice(0, MAX_CHART_CLASSES).map((entry) => ({
    label: entry.name,
    values: [known(earlier.get(entry.name)?.ap50), known(entry.ap50)],
  }));
  const chart = figure({
    title,
    chart: barChart({ title, series, colors: [5, 0], groups, xLabel: "box AP50", max: 1, format: twoDecimals }),
    numbers: barNumbers("class", series, groups, threeDecimals),
  });
  return html`<p>${name}, adapter <code>${adapter}</code>, ${formatPercent(trainableShare)} of the weights trained. Prompted with the names of all classes.</p><div class="charts">${lossFigure("Loss of the box teacher", curve)}${chart}</div>${scores}`;
}
