import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { devNull } from "node:os";
import process from "node:process";

const CALLS = [
  "appendFile",
  "copyFile",
  "link",
  "mkdir",
  "open",
  "rename",
  "rm",
  "symlink",
  "unlink",
  "utimes",
  "writeFile",
];
const METHODS = ["appendFile", "close", "sync", "truncate", "utimes", "write", "writeFile"];

/**
 * From now on counts every call that changes files, and sends this process SIGKILL right before the `killAt`th: no handler runs, nothing is
 * flushed, what other calls were under way stays half done. Independent of how fast the machine is.
 * @param killAt - from 1; null only counts
 * @returns calls so far
 */
export async function killAtStep(killAt: number | null): Promise<() => number> {
  let count = 0;
  const patch = (target: Record<string, (...args: unknown[]) => unknown>, name: string) => {
    const original = target[name]!;
    target[name] = function step(this: unknown, ...args: unknown[]) {
      if (++count === killAt) process.kill(process.pid, "SIGKILL");
      return original.apply(this, args);
    };
  };
  const handle = await fs.open(devNull, "r");
  const methods = Object.getPrototypeOf(handle) as Record<string, (...args: unknown[]) => unknown>;
  await handle.close();
  for (const name of METHODS) patch(methods, name);
  for (const name of CALLS) patch(fs as unknown as Record<string, (...args: unknown[]) => unknown>, name);
  // Named imports of the module see the changed functions.
  syncBuiltinESMExports();
  return () => count;
}
