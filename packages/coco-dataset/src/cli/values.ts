import type { CliOption, CliValues } from "./command.js";
import { CliUsageError } from "./errors.js";

/** `--force` */
export const force: CliOption = { type: "boolean", help: "replace outputs that exist" };
/** `--images` */
export const images: CliOption = { type: "string", help: "folder of the image files" };
/** `--seed` */
export const seed: CliOption = { type: "number", help: "seed of every choice, 42 without it" };
/** A required `--output`. */
export const output = (help: string): CliOption => ({ type: "string", help, required: true });

/** A word that was given. */
export const text = (values: CliValues, name: string): string | undefined => values[name] as string | undefined;
/** Words separated by commas. */
export const listed = (values: CliValues, name: string): string[] | undefined =>
  text(values, name)
    ?.split(",")
    .map((part) => part.trim());

/**
 * A choice among a few words.
 * @throws CliUsageError
 */
export function choice<T extends string>(values: CliValues, name: string, words: readonly T[], fallback: T): T {
  const given = text(values, name) ?? fallback;
  const found = words.find((word) => word === given);
  if (found === undefined) throw new CliUsageError(`--${name} takes ${words.join(", ")}, got "${given}".`);
  return found;
}
