import type { CliCommand } from "./command.js";
import { convertCommand } from "./commands/convert.js";
import { dedupeCommand } from "./commands/dedupe.js";
import { evalCommand } from "./commands/eval.js";
import { fixCommand } from "./commands/fix.js";
import { inspectCommand } from "./commands/inspect.js";
import { previewCommand } from "./commands/preview.js";
import { splitCommand } from "./commands/split.js";
import { statsCommand } from "./commands/stats.js";
import { validateCommand } from "./commands/validate.js";

/** The commands of `seg-coco` by name. */
export const COMMANDS: Readonly<Record<string, CliCommand>> = {
  inspect: inspectCommand,
  validate: validateCommand,
  fix: fixCommand,
  split: splitCommand,
  stats: statsCommand,
  convert: convertCommand,
  eval: evalCommand,
  preview: previewCommand,
  dedupe: dedupeCommand,
};
