import type { CliCommand } from "../command.js";

/** First word -> its commands, loaded when used: `seg-hub models list` must not load a database driver. */
export const commandGroups: Readonly<Record<string, () => Promise<readonly CliCommand[]>>> = {};
