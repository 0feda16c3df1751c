import type { OptionSpec, OptionSpecs } from "./args.js";
import type { CommandTable, LeafCommand } from "./command.js";
import { HOW } from "./option-specs.js";

/** Narrowest text that is worth breaking lines for, and the widest that is read with ease; in characters. */
const NARROW = 40;
const WIDE = 110;
/** Indent, longest name that shares a line with its explanation, and gap. */
const NAME_COLUMN = 30;

/** Codes that the process ends with; scripts may rely on them. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, "done"],
  [1, "it failed, or the data or a gate does not pass: one sentence on stderr"],
  [2, "wrong usage: nothing was written"],
  [3, "a model or file is not what its checksum says"],
  [130, "stopped by Ctrl-C; what can go on later was saved"],
  [141, "the reader of its output went away, as in seg ... | head"],
];

/** Options of every command. */
export const commonOptions: OptionSpecs = {
  json: { type: "boolean", fallback: false, help: "JSON lines on stdout for machines", group: HOW },
  quiet: { type: "boolean", fallback: false, help: "nothing but errors on the terminal", group: HOW },
  help: { type: "boolean", fallback: false, help: "this text", group: HOW },
};

/** Text in lines of at most `width` characters, the first without the indent. A word that is longer stays whole. */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > Math.max(width - indent.length, 20)) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.join(`\n${indent}`);
}

/** Names beside explanations; in a narrow terminal below them. */
function twoColumns(rows: readonly (readonly [name: string, text: string])[], width: number): string {
  const column = Math.min(NAME_COLUMN, 4 + Math.max(...rows.map(([name]) => name.length)));
  const isNarrow = width - column < NARROW;
  return rows
    .map(([name, text]) => {
      const indent = " ".repeat(isNarrow ? 6 : column);
      const body = wrap(text, width, indent);
      const fits = !isNarrow && name.length + 4 <= column;
      return fits ? `${`  ${name}`.padEnd(column)}${body}` : `  ${name}\n${indent}${body}`;
    })
    .join("\n");
}

const placeholder = ({ type, path, choices }: OptionSpec): string => {
  if (type === "boolean") return "";
  if (path !== undefined) return path === "file" ? " FILE" : " DIR";
  if (choices !== undefined) return " WORD";
  return type === "number" ? " N" : type === "list" ? " A B ..." : " TEXT";
};

/** "explanation: one of a, b [default] (required)". */
function explanation({ help, choices, fallback, usual, required }: OptionSpec): string {
  const known = choices === undefined || choices.every((choice) => help.includes(choice));
  const words = known ? "" : `: ${choices.join(", ")}`;
  // A flag that is off needs no default.
  const preset = fallback === false ? undefined : (fallback ?? usual);
  const value = preset === undefined ? "" : ` [${preset}]`;
  return `${help}${words}${value}${required ? " (required)" : ""}`;
}

/** Options under their headings, each with its default. */
export function describeOptions(specs: OptionSpecs, width = WIDE): string {
  const groups = new Map<string, [string, string][]>();
  for (const [name, spec] of Object.entries(specs)) {
    const group = spec.group ?? "Options";
    const rows = groups.get(group) ?? [];
    rows.push([`--${name}${placeholder(spec)}`, explanation(spec)]);
    groups.set(group, rows);
  }
  return [...groups].map(([group, rows]) => `${group}\n${twoColumns(rows, width)}`).join("\n\n");
}

const limited = (width: number): number => Math.min(Math.max(width, 30), WIDE);

const exitCodes = (width: number): string =>
  `Exit codes\n${twoColumns(
    EXIT_CODES.map(([code, meaning]) => [String(code), meaning]),
    width,
  )}`;

/** `seg --help`, or `seg hub --help`: the commands. */
export function describeCommands({
  path,
  table,
  columns = 80,
}: {
  /** Words of the command line before the commands: `["seg"]`. */
  path: readonly string[];
  table: CommandTable;
  /** Width of the terminal. */
  columns?: number;
}): string {
  const width = limited(columns);
  const rows = Object.entries(table).map(([name, { summary }]) => [name, summary] as const);
  const prefix = path.join(" ");
  const root =
    path.length > 1
      ? []
      : [
          "Every command takes --help, --json and --quiet.\nseg help COMMAND, seg completion bash|zsh|fish, seg --version",
          exitCodes(width),
        ];
  return [
    `${prefix} COMMAND [options]`,
    twoColumns(rows, width),
    wrap(`${prefix} COMMAND --help shows the options of one.`, width),
    ...root,
  ].join("\n\n");
}

/** `seg COMMAND --help`. */
export function describeCommand({
  path,
  command,
  options,
  columns = 80,
}: {
  path: readonly string[];
  command: LeafCommand;
  options: OptionSpecs;
  columns?: number;
}): string {
  const width = limited(columns);
  const usage = [...path, ...(command.positional === undefined ? [] : [command.positional]), "[options]"].join(" ");
  const { examples = [], notes = [] } = command;
  return [
    `${usage}\n${wrap(command.summary, width)}`,
    describeOptions(options, width),
    ...(notes.length === 0 ? [] : [notes.map((note) => wrap(note, width)).join("\n")]),
    ...(examples.length === 0 ? [] : [`Examples\n${examples.map((example) => `  seg ${example}`).join("\n")}`]),
    exitCodes(width),
  ].join("\n\n");
}
