import type { OptionSpecs } from "../args.js";
import { type CommandContext, type CommandTable, isGroup } from "../command.js";
import { defaultsYaml } from "../defaults-yaml.js";
import { UsageError } from "../errors.js";
import { didYouMean } from "../option-names.js";
import type { Output } from "../output.js";

export const defaultsOptions: OptionSpecs = {};

/** Prints the defaults of a command as a commented YAML file. */
export async function defaults(
  table: CommandTable,
  output: Output,
  { positional: [name, ...more] }: Pick<CommandContext, "positional">,
): Promise<void> {
  if (name === undefined || more.length > 0) {
    throw new UsageError("seg defaults takes the name of one command, for example seg defaults train-student.");
  }
  const command = Object.hasOwn(table, name) ? table[name] : undefined;
  const options = command === undefined || isGroup(command) ? {} : (await command.load()).options;
  if (!("config" in options)) {
    const known = Object.keys(table).filter((other) => other !== name);
    throw new UsageError(`"${name}" is no command with --config.${didYouMean(name, known)} See seg --help.`);
  }
  const text = defaultsYaml(name, options);
  output.line(text.trimEnd());
  output.result({ command: "defaults", of: name, yaml: text });
}
