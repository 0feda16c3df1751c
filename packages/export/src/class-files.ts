import type { ClassMapping } from "@seg/coco-dataset";
import { ExportError } from "./errors.js";

/** Class mapping as shipped beside a model; ids are channel numbers. */
export interface ClassesFile {
  version: 1;
  /** Hash of each model file that the mapping belongs to. */
  modelSha256: Record<string, string>;
  numClasses: number;
  classes: { id: number; name: string; cocoCategoryId: number }[];
}

/**
 * Checks that indices run 0..nc-1 in order and category ids are unique integers.
 * @throws ExportError `CLASS_MAP_MISMATCH`
 */
export function assertClassMapping({ classes }: ClassMapping): void {
  const ids = new Set<number>();
  classes.forEach(({ index, categoryId, name }, position) => {
    const isBroken = index !== position || !Number.isInteger(categoryId) || ids.has(categoryId);
    ids.add(categoryId);
    if (!isBroken) return;
    throw new ExportError({
      code: "CLASS_MAP_MISMATCH",
      message: `Class "${name}" at position ${position} has index ${index} and category ${categoryId}: indices must run 0..${classes.length - 1}, category ids must be unique integers.`,
      details: { expected: position, actual: index },
    });
  });
  if (classes.length === 0) {
    throw new ExportError({
      code: "CLASS_MAP_MISMATCH",
      message: "The class mapping is empty; a detector needs at least one class.",
      details: { expected: 1, actual: 0 },
    });
  }
}

/** Content of `classes.json`. */
export function classesFile(mapping: ClassMapping, modelSha256: Record<string, string>): ClassesFile {
  assertClassMapping(mapping);
  return {
    version: 1,
    modelSha256,
    numClasses: mapping.classes.length,
    classes: mapping.classes.map(({ index, name, categoryId }) => ({ id: index, name, cocoCategoryId: categoryId })),
  };
}

/** Double-quoted YAML 1.2 scalar; JSON strings are a subset of YAML. */
const yamlString = (text: string): string => JSON.stringify(text);

/** Content of `class_mapping.yaml`. */
export function classMappingYaml({ classes }: ClassMapping): string {
  const lines = [`num_classes: ${classes.length}`, "classes:"];
  for (const { index, name, categoryId } of classes) {
    lines.push(`  - id: ${index}`, `    name: ${yamlString(name)}`, `    coco_category_id: ${categoryId}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Content of `metadata.yaml`: the model's own metadata, one key a line, values as the strings that the model carries. */
export function metadataYaml(metadata: readonly { key: string; value: string }[]): string {
  return `${metadata.map(({ key, value }) => `${key}: ${yamlString(value)}`).join("\n")}\n`;
}
