import { HubError, type HubErrorCode } from "../errors.js";

/** Longest path that a hub may name; file systems stop at 255 bytes a part and 4,096 in all. */
const MAX_PATH_BYTES = 1024;

/** Whether `path` is a relative `/` separated path that stays inside the folder it is joined to. */
export function isSafeRelativePath(path: string): boolean {
  if (path === "" || Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  // A backslash separates on Windows; a colon names drives and streams there.
  if (path.includes("\\") || /^[A-Za-z]:/.test(path)) return false;
  for (let i = 0; i < path.length; i++) if (path.charCodeAt(i) < 0x20) return false;
  return path
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== ".." && Buffer.byteLength(part) <= 255);
}

/**
 * Returns `path` unchanged.
 * @throws {@link HubError} `code` when the path could leave its folder
 */
export function assertSafeRelativePath(path: string, from: string, code: HubErrorCode = "UNEXPECTED_CONTENT"): string {
  if (isSafeRelativePath(path)) return path;
  throw new HubError({
    code,
    message: `${from} names the file ${JSON.stringify(path)}, which could leave its folder. Nothing was written.`,
    details: { path, reason: "path-traversal" },
  });
}
