import { formatCount, html, type SafeHtml } from "@seg/train/charts";
import type { ReportData } from "./report-data.js";

type Overlay = ReportData["overlays"][number];

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
  const groups: Overlay[][] = [];
  for (const overlay of overlays) {
    const last = groups.at(-1);
    if (last !== undefined && last[0]!.title === overlay.title) last.push(overlay);
    else groups.push([overlay]);
  }
  // Room for the note and for the frame around the groups.
  let left = budgetBytes - 1000;
  let omitted = 0;
  const shown: SafeHtml[] = [];
  for (const group of groups) {
    const size = group.reduce((sum, { image }) => sum + Math.ceil(image.length / 3) * 4, 0);
    const markup = size <= left ? renderGroup(group) : null;
    const bytes = markup === null ? Number.POSITIVE_INFINITY : Buffer.byteLength(markup.text);
    if (markup !== null && bytes <= left) {
      shown.push(markup);
      left -= bytes;
    } else {
      omitted += group.length;
    }
  }
  const note =
    omitted === 0
      ? null
      : html`<p class="note">${formatCount(omitted)} of ${formatCount(overlays.length)} pictures were left out: with them the file would exceed 10 MB.</p>`;
  return html`<div class="pictures">${shown}</div>${note}`;
}

function renderGroup(group: readonly Overlay[]): SafeHtml {
  const picture = ({ title, caption, image, mime }: Overlay, heading: SafeHtml | null) =>
    html`<figure>${heading}<img alt="${title}: ${caption}" src="data:${mime};base64,${Buffer.from(image.buffer, image.byteOffset, image.byteLength).toString("base64")}"><div class="caption">${caption}</div></figure>`;
  const title = group[0]!.title;
  if (group.length === 1) return picture(group[0]!, html`<figcaption>${title}</figcaption>`);
  return html`<div class="picture-group"><h3>${title}</h3><div>${group.map((overlay) => picture(overlay, null))}</div></div>`;
}
