import { resolve, sep } from "node:path";
import { HubError } from "../errors.js";

/** What the operating system or SQLite refuses, in words. */
const REASONS: Readonly<Record<string, string>> = {
  EROFS: "the disk is read-only",
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  EIO: "the disk reports an error",
  ENOTDIR: "a file lies where a folder should be",
  // Of mkdir; files are made under names that nobody else uses.
  EEXIST: "a file lies where a folder should be",
  SQLITE_READONLY: "the file or its disk is read-only for this user",
  SQLITE_CANTOPEN: "it is no file that this user may open, or its folder may not be written",
  SQLITE_FULL: "the disk is full",
  SQLITE_IOERR: "the disk reports an error",
};
const FULL: readonly string[] = ["ENOSPC", "EDQUOT", "SQLITE_FULL"];

/** Where a person moves what cannot be written. */
const CACHES = "the caches (HF_HUB_CACHE, SEG_HUB_HOME). What is there already can be used offline (--offline)";
export const HUB_PLACES = "the hub (--root, --store, --database; SEG_HUB_HOME, SEG_HUB_STORE, SEG_HUB_DATABASE)";

/** One of two paths is the other or holds it: a folder is refused by what it lies in, a file by its own name. */
function areRelated(a: string, b: string): boolean {
  const [one, other] = [resolve(a), resolve(b)].map((path) => (path.endsWith(sep) ? path : path + sep)) as [
    string,
    string,
  ];
  return one.startsWith(other) || other.startsWith(one);
}

/**
 * A failure of the operating system to write as `NO_SPACE` or `INTERNAL`, with code, path and what to do; anything else as it is.
 *
 * @param folder - where was to be written; an error that names a path elsewhere is of something else, such as the file that is read
 * @param places - what can be moved elsewhere, and how
 */
export function storageError(error: unknown, folder: string, places: string = CACHES): unknown {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  // SQLite's extended codes begin with the plain one.
  const plain = code?.startsWith("SQLITE_") === true ? code.split("_").slice(0, 2).join("_") : code;
  const reason = plain === undefined ? undefined : REASONS[plain];
  if (HubError.isInstance(error) || reason === undefined) return error;
  if (path !== undefined && !areRelated(path, folder)) return error;
  const isFull = FULL.includes(plain!);
  return new HubError({
    code: isFull ? "NO_SPACE" : "INTERNAL",
    message: `${path ?? folder} cannot be written: ${reason} (${code}). ${isFull ? "Free some space (seg-hub models prune), or move" : "Put that right, or move"} ${places}.`,
    cause: error,
    details: { reason: code!, path: path ?? folder, directory: folder },
  });
}

/** As {@link storageError}, where nobody knows what was to be done: only what cannot happen to a reader. */
export function certainStorageError(error: unknown): unknown {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  const isCertain = code === "EROFS" || FULL.includes(code ?? "");
  return isCertain ? storageError(error, path ?? "A file of the hub", HUB_PLACES) : error;
}
