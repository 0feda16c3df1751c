import type { CocoDataset } from "./document.js";
import type { ClassMapping } from "./types.js";

/**
 * Contiguous class indices: index = rank of the ascending category id, never id - 1.
 *
 * @param options.dropUnused - leave out categories without annotations. @defaultValue false
 * @example createClassMapping(dataset).classes // [{ index: 0, categoryId: 3, name: "bolt" }, ...]
 */
export function createClassMapping(
  dataset: Pick<CocoDataset, "categories" | "annotations">,
  { dropUnused = false }: { dropUnused?: boolean } = {},
): ClassMapping {
  const used = dropUnused ? new Set(dataset.annotations.map((annotation) => annotation.category_id)) : null;
  const seen = new Map<number, string>();
  for (const { id, name } of dataset.categories)
    if (!seen.has(id) && (used === null || used.has(id))) seen.set(id, name);
  const classes = [...seen].sort(([a], [b]) => a - b).map(([categoryId, name], index) => ({ index, categoryId, name }));
  return { classes };
}
