import { PreprocessError } from "./errors.js";

/**
 * Grounding DINO's caption: class names in lower case, trimmed, joined with ". ", with a final ".".
 *
 * @example buildCaption(["Cat", " remote control "]) // "cat. remote control."
 * @throws PreprocessError `config_invalid` without a class, or with an empty one
 */
export function buildCaption(classes: readonly string[]): string {
  const names = classes.map((name) => name.trim().toLowerCase().replace(/\.+$/, "").trim());
  const empty = names.indexOf("");
  if (names.length === 0 || empty >= 0) {
    throw new PreprocessError({
      code: "config_invalid",
      message:
        names.length === 0
          ? "buildCaption needs at least one class name."
          : `Class name ${empty} is empty; give every class a name before prompting for it.`,
    });
  }
  return `${names.join(". ")}.`;
}
