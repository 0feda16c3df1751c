import { formatCount, formatPercent, html, NOT_MEASURED, type SafeHtml } from "@seg/train/charts";
import { cell, columnHead, plainTable, row, rowHead, table } from "./markup/table.js";
import type { FoundCounts, ObjectComparison } from "./report-data.js";

/** Rows of the lists of images and objects; report.json has more. */
const MAX_ROWS = 15;

/** What the shipped student lost against each model it is held against. */
export function comparisonsSection(comparisons: readonly ObjectComparison[]): SafeHtml {
  if (comparisons.length === 0) return html`<p class="absent">${NOT_MEASURED}: there was no second model.</p>`;
  return html`${comparisons.map(comparisonPart)}`;
}

/** "confidence 0.41". */
const threshold = (confidence: number | null): string =>
  confidence === null ? "all its answers" : `confidence ${confidence.toFixed(2)}`;

function comparisonPart({
  kind,
  reference,
  candidate,
  total,
  perClass,
  perSize,
  images,
  lost,
  unlisted,
}: ObjectComparison): SafeHtml {
  const what = kind === "box" ? "boxes" : "masks";
  const intro = `Of ${formatCount(total.objects)} objects ${reference.name} finds ${formatCount(total.reference)}, ${candidate.name} ${formatCount(total.candidate)}. Lost: ${formatCount(total.lost)}${total.reference === 0 ? "" : ` (${formatPercent(total.lost / total.reference)} of what the former finds)`}; gained: ${formatCount(total.gained)}.`;
  const title = `${candidate.name} against ${reference.name}, ${what}`;
  const counts = (name: string, c: FoundCounts, className = "") =>
    row(
      [
        rowHead(html`<span class="name">${name}</span>`),
        cell("Objects", formatCount(c.objects)),
        cell(`Found by ${reference.name}`, formatCount(c.reference)),
        cell(`Found by ${candidate.name}`, formatCount(c.candidate)),
        cell("Lost", formatCount(c.lost)),
        cell("Gained", formatCount(c.gained)),
      ],
      className,
    );
  const summary = table({
    caption: `Objects found, ${title}`,
    head: row(
      ["Objects of", "Objects", reference.name, candidate.name, "Lost", "Gained"].map((name) => columnHead(name)),
    ),
    rows: [
      perClass.map((entry) => counts(entry.name, entry)),
      perSize.map((entry) => counts(`size: ${entry.size}`, entry)),
      counts("all", total, "total"),
    ],
  });
  return html`<h3>${title}</h3><p>${intro}</p>${summary}${total.lost === 0 ? html`<p>Nothing was lost.</p>` : html`<details><summary>Images and objects with a loss<span class="unseen">: ${title}</span></summary>${lostImages(images, title)}${lostObjects(lost, unlisted, title)}</details>`}<p class="note">Found: matched at IoU 0.5 by a detection of the class; ${reference.name} with ${threshold(reference.confidence)}, ${candidate.name} with ${threshold(candidate.confidence)}${reference.confidence === null ? "" : ", where each has its best F1"}.</p>`;
}

function lostImages(images: ObjectComparison["images"], title: string): SafeHtml {
  return html`${plainTable({
    caption: `Images with the most losses, ${title}`,
    head: ["Image", "Objects", "Lost", "Gained"],
    rows: images
      .slice(0, MAX_ROWS)
      .map(({ file, objects, lost, gained }) => [file, formatCount(objects), formatCount(lost), formatCount(gained)]),
    className: "",
  })}${more(images.length - MAX_ROWS, "images")}`;
}

function lostObjects(lost: ObjectComparison["lost"], unlisted: number, title: string): SafeHtml {
  return html`${plainTable({
    caption: `Lost objects, ${title}`,
    head: ["Image", "Class", "Annotation", "Width, px", "Height, px"],
    rows: lost
      .slice(0, MAX_ROWS)
      .map((o) => [o.file, o.class, String(o.annotation), o.width.toFixed(0), o.height.toFixed(0)]),
    className: "",
  })}${more(lost.length + unlisted - MAX_ROWS, "objects")}`;
}

const more = (hidden: number, what: string): SafeHtml | null =>
  hidden > 0 ? html`<p class="note">${formatCount(hidden)} more ${what}; report.json lists them.</p>` : null;
