import {
  formatCount,
  formatScore,
  html,
  type LineSeries,
  lineChart,
  matrixChart,
  NOT_MEASURED,
  type SafeHtml,
} from "@seg/train/charts";
import { figure, lineNumbers } from "./markup/figure.js";
import { plainTable } from "./markup/table.js";
import type { Confusion, EvaluationCurves } from "./report-data.js";

type Line = EvaluationCurves["lines"][number];

/** More classes than this make a matrix that no screen shows; its table is as large. */
const MAX_MATRIX = 12;

/** Precision-recall, F1 and confusion plots of the split, each with its numbers. */
export function evaluationSection({
  curves,
  confusion,
}: {
  curves: readonly EvaluationCurves[];
  confusion: Confusion | null;
}): SafeHtml {
  if (curves.length === 0 && confusion === null) return html`<p class="absent">Curves: ${NOT_MEASURED}</p>`;
  const kinds = (["box", "mask"] as const).map((kind) => curves.filter((c) => c.kind === kind && c.lines.length > 0));
  return html`<p class="note intro">Matched at IoU 0.5. F1 is the harmonic mean of precision and recall.</p>${kinds.map((list) => (list.length === 0 ? null : kindOfCurves(list)))}${confusion === null ? html`<p class="absent">Confusion matrix: ${NOT_MEASURED}</p>` : confusionFigure(confusion)}`;
}

/** Models against each other by their means, then the classes of the last, the shipped one. */
function kindOfCurves(curves: readonly EvaluationCurves[]): SafeHtml {
  const { kind } = curves[0]!;
  const name = kind === "box" ? "Boxes" : "Masks";
  const shipped = curves.at(-1)!;
  const means = (pick: (line: Line) => readonly number[]) =>
    curves.map(({ model, lines }) => ({ name: model, points: points(pick(lines[0]!)) }));
  const classes = (pick: (line: Line) => readonly number[]) =>
    shipped.lines.slice(1).map((line) => ({ name: line.name, points: points(pick(line)) }));
  const byClass = shipped.lines.length > 1;
  return html`<h3>${name}</h3><div class="charts">${curvePlot(
    `${name}: precision over recall by model`,
    "recall",
    "precision",
    means((l) => l.precision),
  )}${curvePlot(
    `${name}: F1 over confidence by model`,
    "confidence",
    "F1",
    means((l) => l.f1),
  )}${
    byClass
      ? curvePlot(
          `${name}: precision over recall by class, ${shipped.model}`,
          "recall",
          "precision",
          classes((l) => l.precision),
        )
      : null
  }${
    byClass
      ? curvePlot(
          `${name}: F1 over confidence by class, ${shipped.model}`,
          "confidence",
          "F1",
          classes((l) => l.f1),
        )
      : null
  }</div>${bestTable(curves)}`;
}

const points = (values: readonly number[]): LineSeries["points"] =>
  values.map((value, k) => [k / (values.length - 1), value] as const);

function curvePlot(title: string, xLabel: string, yLabel: string, series: readonly LineSeries[]): SafeHtml {
  // A table of every tenth point: the picture has them all.
  const tenths = series.map(({ name, points: all }) => ({ name, points: all.filter((_, k) => k % 10 === 0) }));
  return figure({
    title,
    chart: lineChart({ title, series, xLabel, yLabel, yMax: 1, isFraction: true }),
    numbers: lineNumbers(xLabel, tenths, (value) => value.toFixed(3)),
  });
}

/** Where each class of each model has its best F1. */
function bestTable(curves: readonly EvaluationCurves[]): SafeHtml {
  const { kind } = curves[0]!;
  return plainTable({
    caption: `Best F1 of ${kind === "box" ? "boxes" : "masks"} by model and class`,
    head: ["Class", "Model", "Objects", "Best F1", "at confidence", "Precision", "Recall"],
    rows: curves.flatMap(({ model, perClass }) =>
      perClass.map(({ name, objects, best }) => [
        name,
        model,
        formatCount(objects),
        formatScore(best.f1),
        best.confidence.toFixed(2),
        formatScore(best.precision),
        formatScore(best.recall),
      ]),
    ),
    className: "",
  });
}

function confusionFigure({ model, confidence, iou, names, counts }: Confusion): SafeHtml {
  const title = `Confusion of ${model} at confidence ${confidence.toFixed(2)}, IoU ${iou}`;
  const sums = names.map((_, column) => counts.reduce((sum, line) => sum + line[column]!, 0));
  const shares = counts.map((line) => line.map((value, j) => (sums[j] === 0 ? 0 : value / sums[j]!)));
  const note = html`<p class="note">A column adds up to 1: what became of the annotated objects of a class. Row background: missed; column background: found where nothing is annotated. The table counts objects.</p>`;
  const chart =
    names.length > MAX_MATRIX
      ? html`<p class="absent">${formatCount(names.length)} classes: too many for a picture.</p>`
      : matrixChart({
          title,
          names,
          rows: shares,
          rowLabel: "predicted",
          columnLabel: "annotated",
          format: (value) => (value < 0.005 ? "" : value.toFixed(2)),
        });
  const matrix = plainTable({
    caption: "Confusion in objects, rows predicted, columns annotated",
    head: ["predicted \\ annotated", ...names],
    rows: names.map((name, i) => [name, ...counts[i]!.map(formatCount)]),
    className: "numbers",
  });
  return html`<h3>Confusion</h3><div class="charts"><figure class="matrix"><figcaption>${title}</figcaption>${chart}${note}</figure><div>${matrix}</div></div>`;
}
