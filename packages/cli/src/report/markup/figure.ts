import { formatNumber, type HtmlValue, html, type LineSeries, NOT_MEASURED, type SafeHtml } from "@seg/train/charts";
import { type PlainTable, plainTable } from "./table.js";

/**
 * A plot under its title, with its numbers as a table to unfold: what the picture shows can be read without seeing it. A plot that had
 * nothing to show has no table.
 */
export function figure({
  title,
  chart,
  numbers,
  note = null,
}: {
  title: string;
  chart: SafeHtml;
  numbers: PlainTable;
  note?: HtmlValue;
}): SafeHtml {
  const isDrawn = chart.text.startsWith("<svg");
  const details = html`<details><summary>Numbers of this plot<span class="unseen">: ${title}</span></summary>${plainTable({ ...numbers, caption: title, className: "numbers" })}</details>`;
  return html`<figure><figcaption>${title}</figcaption>${chart}${note}${isDrawn ? details : null}</figure>`;
}

/** More rows than this are thinned to equally spaced ones; the last stays. */
const MAX_ROWS = 26;

/** Lines over a common x as a table: one row an x, at most {@link MAX_ROWS}. */
export function lineNumbers(
  xLabel: string,
  series: readonly LineSeries[],
  format: (value: number) => string = formatNumber,
): PlainTable {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const step = Math.max(1, Math.ceil((xs.length - 1) / (MAX_ROWS - 1)));
  const shown = xs.filter((_, i) => (xs.length - 1 - i) % step === 0);
  const values = series.map(({ points }) => new Map(points));
  const text = (value: number | null | undefined) =>
    value === null || value === undefined ? "" : Number.isFinite(value) ? format(value) : NOT_MEASURED;
  return {
    head: [xLabel, ...series.map(({ name }) => name)],
    rows: shown.map((x) => [String(x), ...values.map((lookup) => text(lookup.get(x)))]),
  };
}

/** Bars in groups as a table: one row a group. */
export function barNumbers(
  groupLabel: string,
  series: readonly string[],
  groups: readonly { readonly label: string; readonly values: readonly (number | null)[] }[],
  format: (value: number) => string,
): PlainTable {
  return {
    head: [groupLabel, ...series],
    rows: groups.map(({ label, values }) => [label, ...values.map((v) => (v === null ? NOT_MEASURED : format(v)))]),
  };
}
