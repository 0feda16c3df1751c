import { chartFrame, px } from "./chart-frame.js";
import { html, raw, type SafeHtml } from "./html.js";

/** Units between panels. */
const GAP = 14;

/**
 * Charts side by side in one picture, row by row; places without a chart (nothing measured) stay empty.
 * @param columns - panels in a row
 */
export function panelGrid({
  title,
  panels,
  columns,
}: {
  title: string;
  panels: readonly { readonly title: string; readonly chart: SafeHtml }[];
  columns: number;
}): SafeHtml {
  const sizes = panels.map(({ chart }) => /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(chart.text));
  const cellWidth = Math.max(1, ...sizes.map((size) => Number(size?.[1] ?? 0))) + GAP;
  const cellHeight = Math.max(1, ...sizes.map((size) => Number(size?.[2] ?? 0))) + 20 + GAP;
  const rows = Math.ceil(panels.length / columns);
  const cells = panels.map(({ title: name, chart }, i) => {
    const [x, y] = [(i % columns) * cellWidth, Math.floor(i / columns) * cellHeight];
    const size = sizes[i];
    if (!size) return html`<text x="${px(x + 8)}" y="${px(y + 14)}">${name}: not measured</text>`;
    // A picture inside a picture keeps its own coordinates.
    const inner = chart.text.replace(
      "<svg ",
      `<svg x="${px(x + GAP / 2)}" y="${px(y + 20)}" width="${size[1]}" height="${size[2]}" `,
    );
    return html`<text x="${px(x + 8)}" y="${px(y + 14)}" font-weight="600">${name}</text>${raw(inner)}`;
  });
  return chartFrame({
    title,
    description: panels.map(({ title: name }) => name).join(", "),
    width: columns * cellWidth,
    height: rows * cellHeight,
    children: cells,
  });
}
