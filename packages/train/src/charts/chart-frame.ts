import { fitText, textWidth } from "@seg/coco-dataset/preview";
import type { Axis } from "./axis.js";
import { type HtmlValue, html, type SafeHtml } from "./html.js";

/** Width of every chart in its own units; a phone shows it at about 0.85, so that 12 units of text stay readable there. */
export const CHART_WIDTH = 390;
/** Size of the text of charts, pixels. */
export const FONT_SIZE = 12;

/** Okabe-Ito blue, vermillion, green, purple, amber, sky; the style sheet lightens them on dark paper. */
const FALLBACK = ["#0072b2", "#d55e00", "#00825f", "#b3538f", "#a86f00", "#3d8fc4"] as const;
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 4"] as const;

/** Colour of the i-th series: a custom property, so that light, dark and print choose their own shade. */
export const seriesColor = (index: number): string =>
  `var(--series-${index % FALLBACK.length}, ${FALLBACK[index % FALLBACK.length]})`;

/** Dash pattern of the i-th series: colour is never the only difference. */
export const seriesDash = (index: number): string => DASHES[index % DASHES.length]!;

/** Rounds to 1/100 unit: enough for any screen, and short. */
export const px = (value: number): number => Math.round(value * 100) / 100;

/** Plot area in chart units. */
export interface PlotArea {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Grid lines, tick labels and axis titles. */
export function axes({
  area,
  x,
  y,
  xLabel,
  yLabel,
}: {
  area: PlotArea;
  x: Axis;
  y: Axis;
  xLabel: string;
  yLabel: string;
}): SafeHtml {
  const { left, right, top, bottom } = area;
  return html`<g class="grid">${y.ticks.map((t) => html`<line x1="${left}" x2="${right}" y1="${px(y.position(t.value))}" y2="${px(y.position(t.value))}" stroke="var(--grid, #dfe4ea)"/>`)}${x.ticks.map((t) => html`<line x1="${px(x.position(t.value))}" x2="${px(x.position(t.value))}" y1="${bottom}" y2="${bottom + 4}" stroke="var(--muted, #5b6675)"/>`)}<line x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="var(--muted, #5b6675)"/></g><g fill="var(--muted, #5b6675)">${y.ticks.map((t) => html`<text x="${left - 6}" y="${px(y.position(t.value) + 4)}" text-anchor="end">${t.label}</text>`)}${x.ticks.map((t) => html`<text x="${px(x.position(t.value))}" y="${bottom + 17}" text-anchor="middle">${t.label}</text>`)}<text x="${right}" y="${bottom + 32}" text-anchor="end">${xLabel}</text><text x="4" y="${top - 9}">${yLabel}</text></g>`;
}

/** One entry of a legend. `mark` draws into a field of 24 x 12 units whose left middle is (x, y). */
export interface LegendEntry {
  readonly name: string;
  mark(x: number, y: number): SafeHtml;
}

/** Lays out a legend from `top` downwards. */
export function legend(entries: readonly LegendEntry[], top: number): { svg: SafeHtml; height: number } {
  const rowHeight = 18;
  let x = 4;
  let y = top + rowHeight / 2;
  const parts = entries.map(({ name, mark }) => {
    const label = fitText(name, FONT_SIZE, CHART_WIDTH - 60);
    // The estimate is that of a bold face; this text is regular, about 0.88 of it.
    const width = 30 + textWidth(label, FONT_SIZE) * 0.88 + 16;
    if (x > 4 && x + width - 16 > CHART_WIDTH) {
      x = 4;
      y += rowHeight;
    }
    const part = html`${mark(x, y)}<text x="${px(x + 30)}" y="${px(y + 4)}" fill="var(--ink, #16202c)">${label}</text>`;
    x += width;
    return part;
  });
  return { svg: html`<g class="legend">${parts}</g>`, height: entries.length === 0 ? 0 : y + rowHeight / 2 - top };
}

/** The picture around a chart, with a title and a description for readers who do not see it. */
export function chartFrame({
  title,
  description,
  width = CHART_WIDTH,
  height,
  children,
}: {
  title: string;
  description: string;
  /** @defaultValue {@link CHART_WIDTH} */
  width?: number;
  height: number;
  children: HtmlValue;
}): SafeHtml {
  return html`<svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 ${px(width)} ${px(height)}" font-family="system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif" font-size="${FONT_SIZE}"><title>${title}</title><desc>${description}</desc>${children}</svg>`;
}
