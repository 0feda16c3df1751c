import type { ClassMapping } from "../../types.js";

/** Name of the file beside data.yaml that keeps the category ids, which YOLO has no place for. */
export const CLASS_MAPPING_FILE = "class_mapping.json";

/** Text of the mapping file. */
export function formatClassMapping({ classes }: ClassMapping): string {
  return `${JSON.stringify({ version: 1, classes }, null, 2)}\n`;
}

/**
 * Category ids by class index.
 * @returns null where the text is no mapping of exactly these names in this order: the names were edited, so the ids are not theirs
 */
export function parseClassMapping(text: string, names: readonly string[]): number[] | null {
  try {
    const { classes } = JSON.parse(text) as { classes?: { name?: unknown; categoryId?: unknown }[] };
    if (!Array.isArray(classes) || classes.length !== names.length) return null;
    const ids = classes.map((entry) => entry.categoryId);
    const isSame = classes.every((entry, index) => entry.name === names[index]) && ids.every(Number.isSafeInteger);
    // Indices are ranks of ascending ids; another order would come back as another mapping.
    const isSorted = (ids as number[]).every((id, index) => index === 0 || id > (ids as number[])[index - 1]!);
    return isSame && isSorted ? (ids as number[]) : null;
  } catch {
    return null;
  }
}
