// Everything that installing one of our packages can bring has a licence that lets anybody use it for anything. Reads package-lock.json
// alone, so it works offline. `--list` prints package, version and licence; `--json` the same for programs.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

/** SPDX names of licences without conditions on the work that uses the code. */
const PERMISSIVE = new Set(
  "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BlueOak-1.0.0 CC0-1.0 ISC MIT MIT-0 Python-2.0 Unlicense Zlib".split(" "),
);
/**
 * libvips, which sharp loads as a shared library from packages of its own, or bundles so that it can be exchanged: using it asks nothing of
 * the work that does, changing it does. Nothing of it is in our tarballs.
 */
const LIBVIPS = /^@img\/sharp-(?:libvips-|wasm32$|win32-)/;
const WEAK_COPYLEFT = "LGPL-3.0-or-later";

/** True if one alternative of an SPDX expression consists of permissive licences only. */
export function isPermissive(expression) {
  return alternatives(expression).some((names) => names.every((name) => PERMISSIVE.has(name)));
}
/** True if a package may be installed with ours: permissive, or libvips. */
export function isAllowed({ name, license = "" }) {
  if (isPermissive(license)) return true;
  const ofLibvips = (term) => PERMISSIVE.has(term) || term === WEAK_COPYLEFT;
  return LIBVIPS.test(name) && alternatives(license).some((names) => names.every(ofLibvips));
}
/** `(A OR B AND C)` as [[A], [B, C]]. */
function alternatives(expression) {
  return expression
    .replaceAll(/[()]/g, "")
    .split(" OR ")
    .map((alternative) => alternative.split(" AND ").map((name) => name.trim()));
}

/**
 * The third-party packages that an installation of our packages can hold: dependencies, optional ones, and peers that are not optional.
 * @param {Record<string, object>} entries - `packages` of a lock file of version 2 or 3
 * @returns {{ name: string, version: string, license: string | undefined }[]} by path
 */
export function shippedPackages(entries) {
  const found = new Map();
  const visit = (path) => {
    const entry = entries[path];
    if (found.has(path)) return;
    found.set(path, entry);
    const optionalPeer = (name) => entry.peerDependenciesMeta?.[name]?.optional === true;
    const peers = Object.keys(entry.peerDependencies ?? {}).filter((name) => !optionalPeer(name));
    for (const name of [...Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }), ...peers]) {
      const at = locate(entries, path, name);
      // Optional dependencies of other platforms may be absent from a lock; the check of the lock is `npm ci`.
      if (at !== null) visit(at);
    }
  };
  for (const path of Object.keys(entries)) if (/^packages\/[^/]+$/.test(path)) visit(path);
  return [...found]
    .filter(([path]) => path.includes("node_modules/"))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { version, license }]) => ({ name: path.split("node_modules/").at(-1), version, license }));
}

/** Where Node finds `name` from `path`: the nearest node_modules upwards; links lead to the workspace. */
function locate(entries, path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    const candidate = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    const entry = entries[candidate];
    if (entry !== undefined) return entry.link ? entry.resolved : candidate;
    if (folder === "") return null;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const lock = JSON.parse(readFileSync(resolve(import.meta.dirname, "../package-lock.json"), "utf8"));
  const shipped = shippedPackages(lock.packages);
  if (process.argv.includes("--json")) console.log(JSON.stringify(shipped));
  if (process.argv.includes("--list"))
    for (const { name, version, license } of shipped) console.log(`${name} ${version} ${license}`);
  const refused = shipped.filter((entry) => !isAllowed(entry));
  for (const { name, version, license } of refused)
    console.error(
      `${name} ${version}: ${license ?? "no licence stated"} is not on the list in scripts/check-licences.mjs.`,
    );
  if (!process.argv.includes("--json"))
    console.log(`${shipped.length} packages can be installed with ours, ${refused.length} refused.`);
  process.exit(refused.length === 0 ? 0 : 1);
}
