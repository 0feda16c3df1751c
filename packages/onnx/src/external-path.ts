/**
 * Why an external-data `location` is refused, null if it is fine: it must be a relative posix path without "..", drive or backslash.
 * Whether a symbolic link leads out of the folder is checked when the file is opened.
 */
export function externalPathProblem(location: string | undefined): string | null {
  if (location === undefined || location === "") return "no location given";
  if (location.includes("\0")) return "the path contains a NUL character";
  if (location.startsWith("/") || /^[A-Za-z]:/.test(location)) return `"${location}" is an absolute path`;
  if (location.includes("\\")) return `"${location}" contains a backslash; paths are posix`;
  if (location.split("/").includes("..")) return `"${location}" contains ".."`;
  return null;
}
