import { access, mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { writeAtomically } from "../write-atomically.js";
import { OutputExistsError } from "./errors.js";

/**
 * Checks that files may be written and makes their folders; called before anything is computed.
 *
 * @throws OutputExistsError for an input, and without `force` for anything that exists
 */
export async function claimOutputs(
  paths: readonly string[],
  { inputs, force }: { inputs: readonly string[]; force: boolean },
): Promise<void> {
  for (const path of paths) {
    if (inputs.some((input) => resolve(input) === resolve(path))) {
      throw new OutputExistsError({ file: path, isInput: true });
    }
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists && !force) throw new OutputExistsError({ file: path, isInput: false });
    await mkdir(dirname(resolve(path)), { recursive: true });
  }
}

/** A text file, whole or not at all. */
export const writeText = (path: string, text: string | Uint8Array): Promise<void> =>
  writeAtomically(path, (handle) => handle.writeFile(text));
