import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/**
 * Runs a script of this folder in a fresh process: its memory is not that of what was measured before.
 * @returns what its last line of stdout says, JSON
 */
export function runChild<T>(
  script: string,
  args: readonly string[],
  { flags = [] }: { flags?: readonly string[] } = {},
): T {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const words = [...flags, "--conditions=@seg/source", "--import", "tsx", path, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${script} ${args.join(" ")} ended with ${status}: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout.trim().split("\n").pop()!) as T;
}
