import { existsSync, readFileSync, statSync } from "node:fs";
import { parse } from "yaml";
import type { OptionSpecs } from "./args.js";
import { UsageError } from "./errors.js";
import { didYouMean, optionNames } from "./option-names.js";

/**
 * A YAML file of options as command-line words: nested keys join with dots, `lora: { r: 32 }` is `--lora.r=32`. Words that follow win, so the command line
 * goes behind. Keys that say null are left out.
 *
 * @throws {@link UsageError} when the file is missing, is no mapping, or has a key that is no option (naming the nearest)
 */
export function configFileArguments(
  path: string,
  specs: OptionSpecs,
  { namespace }: { namespace?: string | undefined } = {},
): string[] {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist: --config takes a YAML file of options.`);
  if (statSync(path).isDirectory()) throw new UsageError(`${path} is a folder: --config takes a YAML file of options.`);
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8"));
  } catch (error) {
    // "... at line 2, column 1:", then the line itself with a mark below.
    const [first = ""] = (error as Error).message.split("\n");
    throw new UsageError(`${path} is not YAML: ${first.replace(/:$/, "")}. Correct it there.`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new UsageError(`${path} must hold option names and values, such as "epochs: 100".`);
  }
  const names = optionNames(specs, namespace);
  const words: string[] = [];
  const walk = (value: unknown, key: string): void => {
    if (value === null || value === undefined) return;
    if (typeof value === "object" && !Array.isArray(value)) {
      for (const [name, child] of Object.entries(value)) walk(child, key === "" ? name : `${key}.${name}`);
      return;
    }
    if (names.find(key) === undefined) {
      throw new UsageError(`${path}: "${key}" is no option.${didYouMean(key, names.known, (hint) => `"${hint}"`)}`);
    }
    words.push(`--${key}=${Array.isArray(value) ? value.join(",") : String(value)}`);
  };
  walk(content, "");
  return words;
}
