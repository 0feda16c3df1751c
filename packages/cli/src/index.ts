/**
 * The `seg` command as functions: each command is a thin composition of the packages.
 * @module
 */
export { type OptionSpec, type OptionSpecs, type OptionValue, type OptionValues, parseArguments } from "./args.js";
export type { Command, CommandContext, CommandGroup, CommandModule, CommandTable, LeafCommand } from "./command.js";
export { ownTrainers } from "./commands/serve.js";
export { CommandError, UsageError } from "./errors.js";
export { EXIT_CODES } from "./help.js";
export { createPredictor } from "./hub/predictor.js";
export { commands, main, runCommand, version } from "./main.js";
export { nearest } from "./option-names.js";
export { createOutput, type Output } from "./output.js";
export type { ModelRow } from "./report/report-data.js";
export type { DecidedValue, Origin, ResolvedConfig, Setting } from "./resolve-config.js";
