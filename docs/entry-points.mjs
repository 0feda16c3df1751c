// Every entry point of every package that is compiled from TypeScript, read from the packages' exports.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = fileURLToPath(new URL("../packages", import.meta.url));

/** @returns {{ name: string, source: string }[]} name as imported (`@seg/export/runtime`), absolute path of its source */
export function entryPoints() {
  return readdirSync(packages).flatMap((folder) => {
    const { name, exports = {} } = JSON.parse(readFileSync(join(packages, folder, "package.json"), "utf8"));
    return Object.entries(exports).flatMap(([entry, conditions]) => {
      const source = conditions["@seg/source"]?.default ?? conditions["@seg/source"];
      return typeof source === "string"
        ? [{ name: name + entry.slice(1), source: join(packages, folder, source) }]
        : [];
    });
  });
}
