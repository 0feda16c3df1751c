import { HubError } from "../errors.js";

/** What the operating system refuses, in words. */
const REASONS: Readonly<Record<string, string>> = {
  EROFS: "the disk is read-only",
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
};
const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];

/**
 * A failure of the operating system to write into a cache as `NO_SPACE` or `INTERNAL`, with what to do; anything else as it is.
 *
 * @param folder - where was to be written, when the error names no path
 */
export function storageError(error: unknown, folder: string): unknown {
  const { code, path } = error as NodeJS.ErrnoException;
  const reason = code === undefined ? undefined : REASONS[code];
  if (HubError.isInstance(error) || reason === undefined) return error;
  const isFull = FULL.includes(code!);
  return new HubError({
    code: isFull ? "NO_SPACE" : "INTERNAL",
    message: `${path ?? folder} cannot be written: ${reason} (${code}). ${isFull ? "Free some (seg-hub models prune), or move" : "Change its permissions, or move"} the caches (HF_HUB_CACHE, SEG_HUB_HOME). What is there already can be used offline (--offline).`,
    cause: error,
    details: { reason: code!, directory: folder },
  });
}
