import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** Where `trtexec` was found and where it was looked for. */
export interface TrtexecSearch {
  /** null where it is nowhere. */
  path: string | null;
  searched: readonly string[];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Looks for `trtexec`: the option, `TRTEXEC`, `PATH`, `/usr/src/tensorrt/bin`, `$TRT_ROOT/bin`, in this order. The first two are taken at their
 * word: where they name a file that is not there, nothing else is tried.
 *
 * @param env - @defaultValue process.env
 */
export function findTrtexec({
  trtexec,
  env = process.env,
}: {
  trtexec?: string | undefined;
  env?: Readonly<Record<string, string | undefined>>;
} = {}): TrtexecSearch {
  const given = trtexec ?? env["TRTEXEC"];
  const root = env["TRT_ROOT"];
  const searched = given
    ? [given]
    : [
        ...(env["PATH"] ?? "")
          .split(delimiter)
          .filter((directory) => directory !== "")
          .map((directory) => join(directory, "trtexec")),
        "/usr/src/tensorrt/bin/trtexec",
        ...(root ? [join(root, "bin", "trtexec")] : []),
      ];
  return { path: searched.find(isExecutable) ?? null, searched };
}
