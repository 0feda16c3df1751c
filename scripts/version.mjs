// npm run version: applies the changesets to versions and change logs, then brings along what else states a version: the sources that
// stamp it into files, and the lock file. Look at the result and commit it.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";

const repository = resolve(import.meta.dirname, "..");
function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: repository, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

run("npx", "changeset", "version");
for (const folder of readdirSync(join(repository, "packages"))) {
  const at = join(repository, "packages", folder);
  const { name, version } = JSON.parse(readFileSync(join(at, "package.json"), "utf8"));
  for (const file of readdirSync(join(at, "src"), { recursive: true }).filter((path) => path.endsWith(".ts"))) {
    const text = readFileSync(join(at, "src", file), "utf8");
    const stated = text.replaceAll(new RegExp(`"${name} \\d+\\.\\d+\\.\\d+"`, "g"), `"${name} ${version}"`);
    if (stated !== text) writeFileSync(join(at, "src", file), stated);
  }
}
run("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund");
run("node", "scripts/check-packages.mjs");
