import type { CocoDataset } from "../document.js";

/**
 * Images that show a dataset: first such that every class appears (rare classes choose first, each time the image with most classes not
 * yet shown), then evenly spread over the rest in the order of ids. The same dataset gives the same images.
 *
 * @returns image ids, ascending
 */
export function chooseImages(dataset: CocoDataset, count: number): number[] {
  const ids = [...new Set(dataset.images.map((image) => image.id))].sort((a, b) => a - b);
  if (ids.length <= count) return ids;
  const classesOf = new Map<number, Set<number>>(ids.map((id) => [id, new Set()]));
  const imagesOf = new Map<number, Set<number>>();
  for (const { image_id: image, category_id: category } of dataset.annotations) {
    classesOf.get(image)?.add(category);
    if (!classesOf.has(image)) continue;
    const set = imagesOf.get(category);
    if (set === undefined) imagesOf.set(category, new Set([image]));
    else set.add(image);
  }
  const chosen = new Set<number>();
  const shown = new Set<number>();
  const rareFirst = [...imagesOf].sort(([a, x], [b, y]) => x.size - y.size || a - b);
  for (const [category, images] of rareFirst) {
    // Half of the places at most: the sheet should also show the ordinary.
    if (chosen.size >= Math.ceil(count / 2)) break;
    if (shown.has(category)) continue;
    const gain = (id: number) => [...classesOf.get(id)!].filter((c) => !shown.has(c)).length;
    const best = [...images].sort((a, b) => gain(b) - gain(a) || a - b)[0]!;
    chosen.add(best);
    for (const c of classesOf.get(best)!) shown.add(c);
  }
  const rest = ids.filter((id) => !chosen.has(id));
  const wanted = count - chosen.size;
  for (let i = 0; i < wanted; i++) chosen.add(rest[Math.floor(((i + 0.5) * rest.length) / wanted)]!);
  return [...chosen].sort((a, b) => a - b);
}
