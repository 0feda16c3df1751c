import type { OptionSpec, OptionSpecs } from "./args.js";
import { describeRange } from "./args.js";
import { wrap } from "./help.js";
import { RUN_OPTIONS } from "./resolve-config.js";

/** Width of the comments, characters. */
const WIDTH = 110;

/** "whole number, at least 1", "one of a, b", or nothing. */
function allowed({ type, range, choices, help }: OptionSpec): string | null {
  if (choices !== undefined) return choices.every((choice) => help.includes(choice)) ? null : choices.join(", ");
  return type === "number" && range !== undefined ? describeRange(range) : null;
}

function entry(name: string, spec: OptionSpec): string {
  const limits = allowed(spec);
  const text = `${spec.help}${limits === null ? "" : ` (${limits})`}`;
  const comment = wrap(text, WIDTH, "")
    .split("\n")
    .map((line) => `# ${line}\n`)
    .join("");
  if (spec.fallback !== undefined) return `${comment}${name}: ${JSON.stringify(spec.fallback)}\n`;
  const preset = spec.required ? "required" : spec.usual === undefined ? "not set" : String(spec.usual);
  return `${comment}# ${name}:   # ${preset}\n`;
}

/** The options of a command as a commented YAML file that `--config` reads: what is set is the default, what is not set says what holds. */
export function defaultsYaml(command: string, specs: OptionSpecs): string {
  const groups = new Map<string, string[]>();
  for (const [name, spec] of Object.entries(specs)) {
    if (RUN_OPTIONS.has(name)) continue;
    const group = spec.group ?? "Options";
    groups.set(group, [...(groups.get(group) ?? []), entry(name, spec)]);
  }
  const parts = [...groups].map(([group, entries]) => `\n## ${group}\n\n${entries.join("\n")}`);
  return `# Defaults of seg ${command}. Change what you like and give the file with --config; the command line wins.\n${parts.join("")}`;
}
