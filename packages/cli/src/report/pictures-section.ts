import { formatCount, html, type SafeHtml } from "@seg/train/charts";
import type { Overlay } from "./report-data.js";

/**
 * Pictures in the given order; neighbours with the same title form a row (annotated beside predicted). A row that does not fit into the
 * budget is left out as a whole, and the note says how many pictures are missing.
 *
 * @param input.budgetBytes - bytes of markup that this section may take
 */
export function picturesSection({
  overlays,
  budgetBytes,
}: {
  overlays: readonly Overlay[];
  budgetBytes: number;
}): SafeHtml {
  if (overlays.length === 0) return html`<p class="absent">No picture was drawn.</p>`;
  const rows: Overlay[][] = [];
  for (const overlay of overlays) {
    const last = rows.at(-1);
    const isNeighbour = last !== undefined && last[0]!.title === overlay.title && last[0]!.group === overlay.group;
    if (isNeighbour) last.push(overlay);
    else rows.push([overlay]);
  }
  // Room for the note and for the frame around the rows.
  let left = budgetBytes - 1000;
  let omitted = 0;
  const groups: { heading: string | undefined; shown: SafeHtml[] }[] = [];
  for (const row of rows) {
    const heading = row[0]!.group;
    const size = row.reduce((sum, { image }) => sum + Math.ceil(image.length / 3) * 4, 0);
    const markup = size <= left ? renderRow(row) : null;
    const bytes = markup === null ? Number.POSITIVE_INFINITY : Buffer.byteLength(markup.text);
    if (markup === null || bytes > left) {
      omitted += row.length;
      continue;
    }
    left -= bytes;
    if (groups.at(-1)?.heading !== heading || groups.length === 0) groups.push({ heading, shown: [] });
    groups.at(-1)!.shown.push(markup);
  }
  const note =
    omitted === 0
      ? null
      : html`<p class="note">${formatCount(omitted)} of ${formatCount(overlays.length)} pictures were left out: with them the file would exceed 3 MB.</p>`;
  return html`${groups.map(({ heading, shown }) => html`${heading === undefined ? null : html`<h3>${heading}</h3>`}<div class="pictures">${shown}</div>`)}${note}`;
}

function renderRow(row: readonly Overlay[]): SafeHtml {
  const picture = ({ title, caption, image, mime }: Overlay, heading: SafeHtml | null) =>
    html`<figure>${heading}<img alt="${title}: ${caption}" src="data:${mime};base64,${Buffer.from(image.buffer, image.byteOffset, image.byteLength).toString("base64")}"><div class="caption">${caption}</div></figure>`;
  const title = row[0]!.title;
  if (row.length === 1) return picture(row[0]!, html`<figcaption>${title}</figcaption>`);
  return html`<div class="picture-row"><h4>${title}</h4><div>${row.map((overlay) => picture(overlay, null))}</div></div>`;
}
