import { linearAxis } from "./axis.js";
import { axes, CHART_WIDTH, chartFrame, type LegendEntry, legend, px, seriesColor, seriesDash } from "./chart-frame.js";
import { formatNumber } from "./format.js";
import { html, type SafeHtml } from "./html.js";

/** `[x, y]`; y null: no value at x (the line goes on to the next one), not finite: the line breaks. */
export type LinePoint = readonly [x: number, y: number | null];

/** One line of a chart. */
export interface LineSeries {
  readonly name: string;
  readonly points: readonly LinePoint[];
}

/** More points than this are drawn as means of equally many neighbours: the screen has no more columns. */
const MAX_POINTS = 400;
/** Up to here every value gets a dot, which also shows how sparse an evaluation was. */
const MAX_DOTS = 40;

/**
 * Lines over a common x as an SVG picture. The y axis starts at 0 (lower only where values are negative), so that heights can be compared.
 *
 * @param input.yMax - upper end of the y axis where the unit has one, for example 1; used only when the data comes near it
 */
export function lineChart({
  title,
  series,
  xLabel,
  yLabel,
  yMax,
  isFraction = false,
}: {
  title: string;
  series: readonly LineSeries[];
  xLabel: string;
  yLabel: string;
  yMax?: number;
  /** x runs from 0 to 1 instead of over whole numbers. @defaultValue false */
  isFraction?: boolean;
}): SafeHtml {
  const thinned = series.map(({ name, points }) => ({ name, points: thin(points) }));
  const finite = thinned.flatMap(({ points }) => points).filter((p): p is readonly [number, number] => isValue(p[1]));
  if (finite.length === 0) return html`<p class="absent">${title}: not measured</p>`;
  const xs = extent(finite.map(([x]) => x));
  const ys = extent(finite.map(([, y]) => y));
  const area = { left: 46, right: CHART_WIDTH - 12, top: 26, bottom: 216 };
  const top = Math.max(ys.max, 0);
  const range = [area.left, area.right] as const;
  const x = linearAxis({
    ...(isFraction ? { min: 0, max: 1 } : xs),
    range,
    isInteger: !isFraction,
    isTight: true,
    count: 6,
  });
  const y = linearAxis({
    min: Math.min(0, ys.min),
    max: yMax !== undefined && top > 0.8 * yMax ? Math.max(yMax, top) : top,
    range: [area.bottom, area.top],
  });
  const lines = thinned.map(({ name, points }, i) => {
    const values = points.filter(([, value]) => value !== null);
    const shown = values.filter(([, value]) => isValue(value));
    const dots = shown.length <= MAX_DOTS ? shown : shown.slice(-1);
    const path = pathOf(
      values,
      (value) => x.position(value),
      (value) => y.position(value),
    );
    return html`<g stroke="${seriesColor(i)}" fill="${seriesColor(i)}"><path d="${path}" fill="none" stroke-width="2" stroke-linejoin="round" stroke-dasharray="${seriesDash(i)}"/>${dots.map(([px0, value]) => html`<circle cx="${px(x.position(px0))}" cy="${px(y.position(value!))}" r="2.2" stroke="none"><title>${name}, ${xLabel} ${px0}: ${formatNumber(value!)}</title></circle>`)}</g>`;
  });
  const entries = thinned.map(
    ({ name }, i): LegendEntry => ({
      name,
      mark: (left, middle) =>
        html`<line x1="${px(left)}" x2="${px(left + 24)}" y1="${middle}" y2="${middle}" stroke="${seriesColor(i)}" stroke-width="2.5" stroke-dasharray="${seriesDash(i)}"/>`,
    }),
  );
  // A single line is named by the title.
  const key = legend(entries.length > 1 ? entries : [], area.bottom + 42);
  return chartFrame({
    title,
    description: `${thinned.map(describe).join(" ")}`,
    height: area.bottom + 46 + key.height,
    children: [axes({ area, x, y, xLabel, yLabel }), lines, key.svg],
  });
}

const isValue = (value: number | null): value is number => value !== null && Number.isFinite(value);

function extent(values: readonly number[]): { min: number; max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

function pathOf(points: readonly LinePoint[], x: (value: number) => number, y: (value: number) => number): string {
  let path = "";
  let isOpen = false;
  for (const [at, value] of points) {
    if (!isValue(value)) {
      isOpen = false;
      continue;
    }
    path += `${isOpen ? "L" : "M"}${px(x(at))} ${px(y(value))}`;
    isOpen = true;
  }
  return path;
}

/** Means of equally sized buckets; a bucket without a finite value is a gap where one of its values was not finite. */
function thin(points: readonly LinePoint[]): readonly LinePoint[] {
  if (points.length <= MAX_POINTS) return points;
  const size = Math.ceil(points.length / MAX_POINTS);
  const result: LinePoint[] = [];
  for (let start = 0; start < points.length; start += size) {
    const bucket = points.slice(start, start + size);
    const values = bucket.map(([, value]) => value).filter(isValue);
    const broken = bucket.some(([, value]) => value !== null && !isValue(value));
    const mean = values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : broken ? Number.NaN : null;
    result.push([bucket.at(-1)![0], mean]);
  }
  return result;
}

function describe({ name, points }: LineSeries): string {
  const values = points.map(([, value]) => value).filter(isValue);
  if (values.length === 0) return `${name}: not measured.`;
  return `${name}: from ${formatNumber(values[0]!)} to ${formatNumber(values.at(-1)!)}.`;
}
