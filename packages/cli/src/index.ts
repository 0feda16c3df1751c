/**
 * The `seg` command as functions: each command is a thin composition of the packages.
 * @module
 */
export { nearest, type OptionSpec, type OptionSpecs, type OptionValues, parseArguments } from "./args.js";
export { CommandError, UsageError } from "./errors.js";
export { type CommandContext, commands, main } from "./main.js";
export { createOutput, type Output } from "./output.js";
