// Writes into every package's manifest where the repository is: npm ties provenance to it, and the pages of a registry link there.
// node scripts/stamp-repository.mjs https://HOST/OWNER/NAME. Run when a release is made; the repository itself has no fixed home.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";

const packages = resolve(import.meta.dirname, "../packages");
const address = process.argv[2] ?? "";
if (!/^https:\/\/[^\s/]+\/[^\s/]+\/[^\s/]+$/.test(address) || address.endsWith(".git")) {
  console.error(`"${address}" is not the address of a repository, like https://HOST/OWNER/NAME without .git.`);
  process.exit(2);
}
for (const folder of readdirSync(packages)) {
  const file = join(packages, folder, "package.json");
  const stamped = [];
  for (const [key, value] of Object.entries(JSON.parse(readFileSync(file, "utf8")))) {
    if (["repository", "homepage", "bugs"].includes(key)) continue;
    stamped.push([key, value]);
    if (key !== "license") continue;
    const directory = `packages/${folder}`;
    stamped.push(["repository", { type: "git", url: `git+${address}.git`, directory }]);
    stamped.push(["homepage", `${address}/tree/main/${directory}#readme`]);
    stamped.push(["bugs", `${address}/issues`]);
  }
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(stamped), null, 2)}\n`);
}
console.log(`${readdirSync(packages).length} packages name ${address}.`);
