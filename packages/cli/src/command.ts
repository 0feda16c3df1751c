import type { OptionSpecs, OptionValues } from "./args.js";
import type { Output } from "./output.js";
import type { ResolvedConfig } from "./resolve-config.js";

/** What a command gets beside its options. */
export interface CommandContext {
  readonly positional: readonly string[];
  /** Aborted by the first Ctrl-C: finish the step, save, end. */
  readonly signal: AbortSignal;
  /** The options again, with the origin of each; what a command takes from the data is noted here. */
  readonly config: ResolvedConfig;
}

/** What a command's file exports, loaded when the command runs: `seg --help` must not pull in the engine. */
export interface CommandModule {
  readonly options: OptionSpecs;
  run(options: OptionValues, output: Output, context: CommandContext): Promise<void>;
}

/** A command that does something. */
export interface LeafCommand {
  readonly summary: string;
  /** Name of the positional argument, where the command takes one or more. */
  readonly positional?: string;
  /** The only words that the positional argument may be; absent: a path. */
  readonly positionalChoices?: readonly string[];
  /** Prefix that the command's own options may carry: `--student.epochs` is `--epochs` of train-student. */
  readonly namespace?: string;
  /**
   * Ctrl-C aborts {@link CommandContext.signal} and the command saves what it has. The others are ended by the system at once: they keep
   * nothing half done that is worth saving, write files whole, and compute without a turn of the event loop, so no handler would run.
   */
  readonly isStoppable?: boolean;
  /** The same command goes on where it was stopped; others need their option `resume`. */
  readonly isRepeatable?: boolean;
  /** Command lines without `seg`, each of which works as it stands; shown by `--help`. */
  readonly examples?: readonly string[];
  /** Sentences below the options, for example what --resume means here. */
  readonly notes?: readonly string[];
  load(): Promise<CommandModule>;
}

/** A command that only groups others: `seg hub search`. */
export interface CommandGroup {
  readonly summary: string;
  readonly subcommands: CommandTable;
}

/** A command, or a group of commands. */
export type Command = LeafCommand | CommandGroup;
/** Commands by the word that calls them. */
export type CommandTable = Readonly<Record<string, Command>>;

export const isGroup = (command: Command): command is CommandGroup => "subcommands" in command;
