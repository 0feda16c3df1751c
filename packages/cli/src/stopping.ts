import process from "node:process";
import type { OptionSpecs } from "./args.js";
import type { LeafCommand } from "./command.js";
import { optionNames } from "./option-names.js";

/** A word as a shell reads it back. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;

/**
 * Listens for Ctrl-C: the first one calls `onStop`, and whatever comes after it ends the process as if nobody listened, at once, also while
 * native code computes.
 * @returns ends the listening
 */
export function onceInterrupted(onStop: () => void): () => void {
  const stop = () => {
    // Without a listener the system's own handling is back.
    process.off("SIGINT", stop);
    onStop();
  };
  process.on("SIGINT", stop);
  return () => void process.off("SIGINT", stop);
}

/** What became of a stopped command, and the command line that goes on. */
export function describeStop({
  argv,
  command,
  specs,
}: {
  argv: readonly string[];
  command: LeafCommand;
  specs: OptionSpecs;
}): { readonly message: string; readonly goOn: string } {
  const line = (words: readonly string[]) => `seg ${words.map(shellWord).join(" ")}`;
  const again = line(argv);
  if (command.isRepeatable) {
    return { message: `stopped; finished parts are kept. The same goes on: ${again}`, goOn: again };
  }
  if (!("resume" in specs)) return { message: `stopped; nothing half done was kept. Once more: ${again}`, goOn: again };
  const names = optionNames(specs, command.namespace);
  const hasIt = argv.some((word) => word.startsWith("--") && names.find(word.slice(2).split("=")[0]!) === "resume");
  const goOn = hasIt ? again : line([...argv, "--resume"]);
  return { message: `stopped; what was done is saved. Go on with: ${goOn}`, goOn };
}
