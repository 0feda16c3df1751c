import { fitText } from "@seg/coco-dataset/preview";
import { chartFrame, FONT_SIZE, px } from "./chart-frame.js";
import { html, type SafeHtml } from "./html.js";

/** Side of a cell and room for names, in chart units. */
const CELL = 46;
const NAMES = 96;
/** Above this share of the largest value white text reads better. */
const DARK = 0.55;

/**
 * A matrix of numbers as a coloured table, for example a confusion matrix: rows by their names on the left, columns below, the value in each cell.
 *
 * @param rows - values by row
 * @param format - text of a value; an empty text leaves the cell blank
 */
export function matrixChart({
  title,
  names,
  rows,
  rowLabel,
  columnLabel,
  format = String,
}: {
  title: string;
  names: readonly string[];
  rows: readonly (readonly number[])[];
  rowLabel: string;
  columnLabel: string;
  format?: (value: number) => string;
}): SafeHtml {
  const count = names.length;
  const largest = Math.max(1e-12, ...rows.flat().filter(Number.isFinite));
  const [left, top] = [NAMES, 26];
  const right = left + count * CELL;
  const bottom = top + count * CELL;
  const cells = rows.flatMap((row, i) =>
    row.map((value, j) => {
      const share = Number.isFinite(value) ? Math.max(0, value / largest) : 0;
      const [x, y] = [left + j * CELL, top + i * CELL];
      return html`<rect x="${x}" y="${y}" width="${CELL}" height="${CELL}" fill="#0b5fa5" fill-opacity="${px(share)}" stroke="var(--grid, #dfe4ea)"/><text x="${x + CELL / 2}" y="${y + CELL / 2 + 4}" text-anchor="middle" fill="${share > DARK ? "#fff" : "var(--ink, #16202c)"}">${Number.isFinite(value) ? format(value) : ""}</text>`;
    }),
  );
  const label = (name: string) => fitText(name, FONT_SIZE, NAMES - 14);
  const rowNames = names.map(
    (name, i) => html`<text x="${left - 6}" y="${top + (i + 0.5) * CELL + 4}" text-anchor="end">${label(name)}</text>`,
  );
  const columnNames = names.map((name, j) => {
    const [x, y] = [left + (j + 0.5) * CELL + 4, bottom + 8];
    return html`<text x="${x}" y="${y}" text-anchor="end" transform="rotate(-90 ${x} ${y})">${label(name)}</text>`;
  });
  return chartFrame({
    title,
    description: `${count} by ${count}, rows ${rowLabel}, columns ${columnLabel}.`,
    width: right + 8,
    height: bottom + NAMES + 26,
    children: html`<g fill="var(--ink, #16202c)">${cells}${rowNames}${columnNames}<text x="4" y="14">${rowLabel}</text><text x="${right}" y="${bottom + NAMES + 18}" text-anchor="end">${columnLabel}</text></g>`,
  });
}
