import type { CocoDataset } from "../document.js";
import type { Finding } from "../findings.js";
import type { SheetTile } from "./contact-sheet.js";

/** Pictures per kind of finding: enough to recognise the pattern. */
const PER_FINDING = 3;

/**
 * The images where findings are, worst first, each with only the annotations concerned. Findings about categories or the whole dataset
 * have no picture.
 *
 * @param count - at most this many tiles
 */
export function findingTiles(findings: readonly Finding[], dataset: CocoDataset, count = 12): SheetTile[] {
  const order = { error: 0, warn: 1, info: 2 } as const;
  const imageOf = new Map(dataset.annotations.map((annotation) => [annotation.id, annotation.image_id]));
  const byName = new Map(dataset.images.map((image) => [image.file_name, image.id]));
  const tiles: SheetTile[] = [];
  for (const finding of findings.toSorted((a, b) => order[a.severity] - order[b.severity])) {
    if (finding.severity === "info") continue;
    const groups = new Map<number, number[]>();
    if (finding.layer === "structural" || finding.layer === "geometry") {
      for (const id of finding.ids) {
        const image = imageOf.get(id);
        if (image !== undefined) groups.set(image, [...(groups.get(image) ?? []), id]);
      }
    } else if (finding.layer === "images") {
      for (const file of finding.files ?? []) {
        const image = byName.get(file);
        if (image !== undefined) groups.set(image, []);
      }
    }
    for (const [imageId, annotationIds] of [...groups].slice(0, PER_FINDING)) {
      const which = annotationIds.length === 0 ? "" : `: annotation ${annotationIds.slice(0, 3).join(", ")}`;
      tiles.push({
        imageId,
        caption: `${finding.severity} ${finding.code}${which}${annotationIds.length > 3 ? " and more" : ""}`,
        ...(annotationIds.length === 0 ? {} : { annotationIds }),
      });
    }
  }
  return tiles.slice(0, count);
}
