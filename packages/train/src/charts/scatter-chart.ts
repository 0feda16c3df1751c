import { fitText, textWidth } from "@seg/coco-dataset/preview";
import { type Axis, linearAxis, logAxis } from "./axis.js";
import { axes, CHART_WIDTH, chartFrame, px, seriesColor } from "./chart-frame.js";
import { html, type SafeHtml } from "./html.js";

/** One named point of a chart. */
export interface ScatterPoint {
  readonly name: string;
  /** Positive. */
  readonly x: number;
  /** Drawn as a whisker from x, for example a 95th percentile. */
  readonly xHigh?: number;
  readonly y: number;
  /** Hollow marks set off points that are not directly comparable. @defaultValue false */
  readonly isHollow?: boolean;
  /** Shape and colour. */
  readonly series: number;
}

/**
 * Few named points, each labelled at its place (no legend to look up). The x axis is logarithmic once values span a factor of 8; the y axis
 * starts at 0.
 */
export function scatterChart({
  title,
  points,
  xLabel,
  yLabel,
  yMax,
}: {
  title: string;
  points: readonly ScatterPoint[];
  xLabel: string;
  yLabel: string;
  yMax?: number;
}): SafeHtml {
  if (points.length === 0) return html`<p class="absent">${title}: not measured</p>`;
  const area = { left: 46, right: CHART_WIDTH - 16, top: 26, bottom: 236 };
  const low = Math.min(...points.map((p) => p.x));
  const high = Math.max(...points.map((p) => Math.max(p.x, p.xHigh ?? 0)));
  const range = [area.left, area.right] as const;
  const x: Axis =
    low > 0 && high / low >= 8
      ? logAxis({ min: low, max: high, range })
      : linearAxis({ min: 0, max: high * 1.1, range });
  const top = Math.max(...points.map((p) => p.y));
  const y = linearAxis({
    min: 0,
    max: yMax !== undefined && top > 0.6 * yMax ? yMax : top * 1.15,
    range: [area.bottom, area.top],
  });
  const taken: { x1: number; x2: number; y: number }[] = [];
  // A label must not cover a mark either.
  for (const p of points) taken.push({ x1: x.position(p.x) - 8, x2: x.position(p.x) + 8, y: y.position(p.y) });
  const marks = points.map((point) => {
    const cx = x.position(point.x);
    const cy = y.position(point.y);
    const color = seriesColor(point.series);
    const label = fitText(point.name, 11.5, 200);
    const width = textWidth(label, 11.5) * 0.94;
    const place = findPlace({ cx, cy, width, area, taken });
    taken.push({ x1: place.x, x2: place.x + width, y: place.y });
    const whisker =
      point.xHigh !== undefined && point.xHigh > point.x
        ? html`<path d="M${px(cx)} ${px(cy)}H${px(x.position(point.xHigh))}m0 -4v8" fill="none" stroke="${color}" stroke-width="1.5"/>`
        : null;
    return html`<g>${whisker}<path d="${shape(point.series, cx, cy)}" fill="${point.isHollow ? "var(--card, #fff)" : color}" stroke="${color}" stroke-width="2"><title>${point.name}: ${point.x} / ${point.y}</title></path><text x="${px(place.x)}" y="${px(place.y + 4)}" font-size="11.5" font-weight="600" fill="var(--ink, #16202c)">${label}</text></g>`;
  });
  return chartFrame({
    title,
    description: points.map((p) => `${p.name}: ${xLabel} ${p.x}, ${yLabel} ${p.y}.`).join(" "),
    height: area.bottom + 40,
    children: [axes({ area, x, y, xLabel, yLabel }), marks],
  });
}

/** First free place for a label: above, below, right of or left of its mark, then further away. */
function findPlace({
  cx,
  cy,
  width,
  area,
  taken,
}: {
  cx: number;
  cy: number;
  width: number;
  area: { left: number; right: number; top: number; bottom: number };
  taken: readonly { x1: number; x2: number; y: number }[];
}): { x: number; y: number } {
  const clampX = (value: number) => Math.max(area.left + 2, Math.min(area.right - width, value));
  for (const distance of [17, 31, 45, 59]) {
    for (const dy of [-distance, distance]) {
      const candidate = { x: clampX(cx - width / 2), y: cy + dy };
      if (candidate.y < area.top + 4 || candidate.y > area.bottom - 6) continue;
      const collides = taken.some(
        (other) => candidate.x < other.x2 && other.x1 < candidate.x + width && Math.abs(other.y - candidate.y) < 13,
      );
      if (!collides) return candidate;
    }
  }
  return { x: clampX(cx + 12), y: cy };
}

/** Circle, square, triangle, diamond. */
function shape(series: number, cx: number, cy: number): string {
  const at = (dx: number, dy: number) => `${px(cx + dx)} ${px(cy + dy)}`;
  switch (series % 4) {
    case 0:
      return `M${at(-6, 0)}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z`;
    case 1:
      return `M${at(-5.5, -5.5)}h11v11h-11z`;
    case 2:
      return `M${at(0, -7)}L${at(6.5, 5)}L${at(-6.5, 5)}z`;
    default:
      return `M${at(0, -7.5)}L${at(7, 0)}L${at(0, 7.5)}L${at(-7, 0)}z`;
  }
}
