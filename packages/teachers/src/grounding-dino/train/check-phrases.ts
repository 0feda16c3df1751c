import { ClassNameError } from "../errors.js";
import type { DetectorItem } from "./detector-item.js";

/**
 * Every class of the objects must have a phrase: an object that no word asks for would count as background.
 * @throws {@link ClassNameError} for the first class without one
 */
export function checkPhrases(items: readonly DetectorItem[], phrases: readonly string[]): void {
  for (const { instances } of items) {
    for (const { classId } of instances) {
      if (phrases[classId] !== undefined) continue;
      const reason = `has objects but no phrase; ${phrases.length} phrases were given`;
      throw new ClassNameError({ className: `class ${classId}`, index: classId, reason });
    }
  }
}
