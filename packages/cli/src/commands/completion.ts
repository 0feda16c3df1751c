import type { OptionSpecs } from "../args.js";
import type { CommandContext, CommandTable } from "../command.js";
import { bashCompletion } from "../completion/bash.js";
import { type CompletedPath, completionModel } from "../completion/completion-model.js";
import { fishCompletion } from "../completion/fish.js";
import { SHELLS } from "../completion/shells.js";
import { zshCompletion } from "../completion/zsh.js";
import { UsageError } from "../errors.js";
import { didYouMean } from "../option-names.js";
import type { Output } from "../output.js";

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (model: readonly CompletedPath[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export const completionOptions: OptionSpecs = {};

/** Prints the completion script of a shell, made from the options of every command. */
export async function completion(
  table: CommandTable,
  output: Output,
  { positional: [shell, ...more] }: Pick<CommandContext, "positional">,
): Promise<void> {
  if (shell === undefined || more.length > 0) {
    throw new UsageError(`seg completion takes the name of one shell: ${SHELLS.join(", ")}.`);
  }
  const known = SHELLS.find((name) => name === shell);
  if (known === undefined) {
    throw new UsageError(
      `seg completion knows ${SHELLS.join(", ")}, not "${shell}".${didYouMean(shell, SHELLS, (hint) => `"${hint}"`)}`,
    );
  }
  const text = SCRIPTS[known](await completionModel(table));
  output.line(text.trimEnd());
  output.result({ command: "completion", shell, script: text });
}
