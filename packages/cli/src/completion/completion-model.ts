import type { OptionSpec, OptionSpecs } from "../args.js";
import { type CommandTable, isGroup } from "../command.js";
import { commonOptions } from "../help.js";

/** What may stand behind an option or a command. */
export type Operand =
  | { readonly kind: "file" | "folder" | "text" }
  | { readonly kind: "words"; readonly words: readonly string[] };

/** An option as a shell completes it. */
export interface CompletedOption {
  /** With dashes. */
  readonly name: string;
  readonly help: string;
  /** Null for a flag. */
  readonly operand: Operand | null;
  /** Takes several words in a row. */
  readonly isList: boolean;
}

/** One place of a command line: the words that lead to it and what may follow them. */
export interface CompletedPath {
  /** "seg", "seg train-student" */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly help: string }[];
  readonly options: readonly CompletedOption[];
  /** What stands without a name; null where nothing does. */
  readonly positional: Operand | null;
}

const operandOf = ({ path, choices }: Pick<OptionSpec, "path" | "choices">): Operand => {
  if (choices !== undefined) return { kind: "words", words: choices };
  return { kind: path ?? "text" };
};

const optionOf = (name: string, spec: OptionSpec): CompletedOption => ({
  name: `--${name}`,
  help: spec.help,
  operand: spec.type === "boolean" ? null : operandOf(spec),
  isList: spec.type === "list",
});

/** Every command, also the nested ones, with its options; loads all of them. */
export async function completionModel(table: CommandTable): Promise<readonly CompletedPath[]> {
  const paths: CompletedPath[] = [];
  const walk = async (words: readonly string[], commands: CommandTable): Promise<void> => {
    const path = words.join(" ");
    const help: CompletedOption = { name: "--help", help: "this text", operand: null, isList: false };
    const version: CompletedOption = { name: "--version", help: "version of seg", operand: null, isList: false };
    paths.push({
      path,
      commands: Object.entries(commands).map(([name, { summary }]) => ({ name, help: summary })),
      options: words.length === 1 ? [help, version] : [help],
      positional: null,
    });
    for (const [name, command] of Object.entries(commands)) {
      if (isGroup(command)) {
        await walk([...words, name], command.subcommands);
        continue;
      }
      const { options } = await command.load();
      const specs: OptionSpecs = { ...options, ...commonOptions };
      const { positional, positionalChoices } = command;
      paths.push({
        path: [...words, name].join(" "),
        commands: [],
        options: Object.entries(specs).map(([option, spec]) => optionOf(option, spec)),
        positional:
          positionalChoices !== undefined
            ? { kind: "words", words: positionalChoices }
            : positional === undefined
              ? null
              : { kind: "file" },
      });
    }
  };
  await walk(["seg"], table);
  const root = paths[0]!;
  // `seg help COMMAND`
  const helped = { path: "seg help", commands: root.commands, options: [], positional: null };
  return [
    { ...root, commands: [...root.commands, { name: "help", help: "options of a command" }] },
    helped,
    ...paths.slice(1),
  ];
}
