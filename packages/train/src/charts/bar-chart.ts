import { fitMiddle, textWidth } from "@seg/coco-dataset/preview";
import { linearAxis } from "./axis.js";
import { CHART_WIDTH, chartFrame, FONT_SIZE, type LegendEntry, legend, px, seriesColor } from "./chart-frame.js";
import { NOT_MEASURED } from "./format.js";
import { html, type SafeHtml } from "./html.js";

/** A group of bars that stand together. */
export interface BarGroup {
  readonly label: string;
  /** One value per series; null: not measured. */
  readonly values: readonly (number | null)[];
}

/**
 * Horizontal bars in groups, one group per class: names get room, and a phone shows them as well as a desk.
 *
 * @param input.isStacked - the series of a group add up in one bar. @defaultValue false
 * @param input.colors - index of each series' colour, where a series keeps its colour over several charts
 * @param input.max - end of the scale where the unit has one, for example 1
 * @param input.format - value printed behind a bar
 */
export function barChart({
  title,
  groups,
  series,
  xLabel,
  isStacked = false,
  colors = series.map((_, s) => s),
  max,
  format = String,
}: {
  title: string;
  groups: readonly BarGroup[];
  series: readonly string[];
  xLabel: string;
  isStacked?: boolean;
  colors?: readonly number[];
  max?: number;
  format?: (value: number) => string;
}): SafeHtml {
  if (groups.length === 0 || groups.every(({ values }) => values.every((value) => value === null))) {
    return html`<p class="absent">${title}: not measured</p>`;
  }
  const total = (group: BarGroup) => group.values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const highest = Math.max(...groups.flatMap((g) => (isStacked ? [total(g)] : g.values.map((value) => value ?? 0))));
  const labelWidth = Math.min(125, Math.max(...groups.map(({ label }) => textWidth(label, FONT_SIZE) * 0.92)) + 4);
  const barHeight = isStacked ? 16 : Math.max(12, Math.min(15, 32 / series.length));
  const groupHeight = (isStacked ? 1 : series.length) * barHeight + 10;
  const left = labelWidth + 8;
  const right = CHART_WIDTH - 44;
  const top = 4;
  const bottom = top + groups.length * groupHeight;
  const axis = linearAxis({ min: 0, max: max ?? highest, range: [left, right], count: 4, isTight: max !== undefined });
  const rows = groups.map((group, g) => {
    const y0 = top + g * groupHeight + 5;
    const bars = isStacked
      ? stackedBars({ group, series, y: y0, barHeight, position: axis.position, format })
      : group.values.map((value, s) => {
          const y = y0 + s * barHeight;
          const textY = px(y + barHeight / 2 + 3.6);
          if (value === null) {
            return html`<text x="${px(left + 4)}" y="${textY}" font-size="11" font-style="italic" fill="var(--muted, #5b6675)">${NOT_MEASURED}</text>`;
          }
          const width = Math.max(0.5, axis.position(value) - left);
          return html`<rect x="${px(left)}" y="${px(y + 0.5)}" width="${px(width)}" height="${px(barHeight - 1)}" rx="1.5" fill="${seriesColor(colors[s]!)}"><title>${group.label}, ${series[s]}: ${format(value)}</title></rect><text x="${px(left + width + 4)}" y="${textY}" font-size="11" fill="var(--ink, #16202c)">${format(value)}</text>`;
        });
    const middle = px(y0 + (groupHeight - 10) / 2 + 4);
    return html`<g><text x="${px(left - 8)}" y="${middle}" text-anchor="end" fill="var(--ink, #16202c)">${fitMiddle(group.label, FONT_SIZE * 0.92, labelWidth)}<title>${group.label}</title></text>${bars}</g>`;
  });
  const ticks = axis.ticks.map(
    ({ value, label }) =>
      html`<line x1="${px(axis.position(value))}" x2="${px(axis.position(value))}" y1="${top}" y2="${bottom}" stroke="var(--grid, #dfe4ea)"/><text x="${px(axis.position(value))}" y="${bottom + 15}" text-anchor="middle" fill="var(--muted, #5b6675)">${label}</text>`,
  );
  const entries = series.map(
    (name, s): LegendEntry => ({
      name,
      mark: (x, y) =>
        html`<rect x="${px(x + 6)}" y="${px(y - 6)}" width="18" height="12" rx="2" fill="${seriesColor(colors[s]!)}"/>`,
    }),
  );
  const key = legend(series.length > 1 ? entries : [], bottom + 38);
  return chartFrame({
    title,
    description: groups
      .map(
        ({ label, values }) =>
          `${label}: ${values.map((value, s) => `${series[s]} ${value === null ? NOT_MEASURED : format(value)}`).join(", ")}.`,
      )
      .join(" "),
    height: bottom + 40 + key.height,
    children: [
      ticks,
      rows,
      html`<line x1="${px(left)}" x2="${px(left)}" y1="${top}" y2="${bottom}" stroke="var(--muted, #5b6675)"/><text x="${right}" y="${bottom + 30}" text-anchor="end" fill="var(--muted, #5b6675)">${xLabel}</text>`,
      key.svg,
    ],
  });
}

function stackedBars({
  group,
  series,
  y,
  barHeight,
  position,
  format,
}: {
  group: BarGroup;
  series: readonly string[];
  y: number;
  barHeight: number;
  position: (value: number) => number;
  format: (value: number) => string;
}): SafeHtml[] {
  let sum = 0;
  const bars = group.values.map((value, s) => {
    const from = position(sum);
    sum += value ?? 0;
    return html`<rect x="${px(from)}" y="${px(y)}" width="${px(position(sum) - from)}" height="${barHeight}" fill="${seriesColor(s)}" stroke="var(--card, #fff)" stroke-width=".8"><title>${group.label}, ${series[s]}: ${value === null ? NOT_MEASURED : format(value)}</title></rect>`;
  });
  bars.push(
    html`<text x="${px(position(sum) + 4)}" y="${px(y + barHeight / 2 + 4)}" font-size="11" fill="var(--ink, #16202c)">${format(sum)}</text>`,
  );
  return bars;
}
