import { type HtmlValue, html, NOT_MEASURED, type SafeHtml } from "@seg/train/charts";

/**
 * A table in a frame that scrolls sideways by itself, never the page. The caption names it to a screen reader. Roles are spelled out, because
 * the style of a phone lays rows out as blocks, and a browser then forgets that they belonged to a table.
 *
 * @param className - "stack": on a phone each row is a card, its cells named by their labels
 */
export function table({
  caption,
  head,
  rows,
  className = "",
}: {
  caption: string;
  head: HtmlValue;
  rows: HtmlValue;
  className?: string;
}): SafeHtml {
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="${className}" role="table" aria-label="${caption}"><thead role="rowgroup">${head}</thead><tbody role="rowgroup">${rows}</tbody></table></div>`;
}

export const row = (cells: HtmlValue, className = ""): SafeHtml =>
  html`<tr role="row"${className === "" ? null : html` class="${className}"`}>${cells}</tr>`;

/**
 * Heading of a column, or of `columns` neighbouring ones.
 * @param options.isGroup - it heads columns that have headings of their own @defaultValue whether it is above more than one
 */
export function columnHead(
  content: HtmlValue,
  { columns = 1, rows = 1, isGroup = columns > 1 }: { columns?: number; rows?: number; isGroup?: boolean } = {},
): SafeHtml {
  const span = [
    columns > 1 ? html` colspan="${columns}"` : null,
    rows > 1 ? html` rowspan="${rows}"` : null,
    html` scope="${isGroup ? "colgroup" : "col"}"`,
  ];
  return html`<th role="columnheader"${span}>${content}</th>`;
}

export const rowHead = (content: HtmlValue): SafeHtml => html`<th role="rowheader" scope="row">${content}</th>`;

/** A cell with its column name, which a phone shows in front of the value. */
export function cell(label: string, value: HtmlValue, note: HtmlValue = null): SafeHtml {
  const isAbsent = value === NOT_MEASURED;
  return html`<td role="cell" data-label="${label}"><span class="value${isAbsent ? " absent" : ""}">${value}</span>${note}</td>`;
}

/** Plain values under plain headings. */
export interface PlainTable {
  readonly head: readonly string[];
  /** The first value of a row names it. */
  readonly rows: readonly (readonly string[])[];
}

/** A table without notes, stacked on a phone unless it is a table of numbers that stays narrow. */
export function plainTable({
  caption,
  head,
  rows,
  className = "stack",
}: PlainTable & { caption: string; className?: string }): SafeHtml {
  return table({
    caption,
    className,
    head: row(head.map((name) => columnHead(name))),
    rows: rows.map(([name = "", ...values]) =>
      row([
        rowHead(html`<span class="name">${name}</span>`),
        ...values.map((value, i) => cell(head[i + 1] ?? "", value)),
      ]),
    ),
  });
}
