// npm run release [-- --dry-run]: builds, checks and publishes every package whose version the registry lacks. A dry run publishes
// nothing and needs no login; it does all else. Ends with one line.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

const repository = resolve(import.meta.dirname, "..");
const dryRun = readArguments();
const manifestOf = (folder) => JSON.parse(readFileSync(join(repository, "packages", folder, "package.json"), "utf8"));
const manifests = readdirSync(join(repository, "packages")).map(manifestOf);
const [{ version }] = manifests;

function readArguments() {
  try {
    return parseArgs({ options: { "dry-run": { type: "boolean", default: false } } }).values["dry-run"];
  } catch (error) {
    return fail(`${error.message}\nUsage: npm run release [-- --dry-run]`);
  }
}
function fail(message) {
  console.error(message);
  process.exit(1);
}
function run(command, args) {
  console.log(`\n== ${[command, ...args].join(" ")}`);
  const env = { ...process.env, NX_DAEMON: "false", NX_NO_CLOUD: "true" };
  const { status } = spawnSync(command, args, { cwd: repository, stdio: "inherit", env });
  if (status !== 0) fail(`${command} ${args.join(" ")} ended with ${status}; nothing after it was done.`);
}

if (!dryRun) {
  const pending = readdirSync(join(repository, ".changeset")).filter((name) => name.endsWith(".md"));
  if (pending.length > 0)
    fail(
      `${pending.length} changesets are not in a version yet: npm run version, look at it, commit, release that commit.`,
    );
  const unstamped = manifests.filter((manifest) => manifest.repository === undefined);
  if (unstamped.length > 0)
    fail(
      "The packages do not say where their repository is: node scripts/stamp-repository.mjs https://HOST/OWNER/NAME.",
    );
  const silent = manifests.filter(
    ({ name }) => !existsSync(join(repository, "packages", name.split("/")[1], "CHANGELOG.md")),
  );
  if (silent.length > 0)
    fail(`${silent.map(({ name }) => name).join(", ")} have no CHANGELOG.md: npm run version writes it.`);
  // In GitHub's release workflow: the tag names what is in the manifests.
  const tag = process.env.GITHUB_REF_NAME;
  if (process.env.GITHUB_REF_TYPE === "tag" && tag !== `v${version}`)
    fail(`The tag is ${tag}, the packages are ${version}: tag the commit v${version}.`);
}
run("npm", ["run", "--silent", "build"]);
run("npm", ["run", "--silent", "check:package"]);
if (dryRun) {
  for (const { name } of manifests) run("npm", ["publish", "--dry-run", "--loglevel=error", "-w", name]);
  console.log(`\n${manifests.length} packages of version ${version} can be published.`);
} else {
  // Asks the registry for each package first, so that an interrupted release goes on where it stopped.
  run("npx", ["changeset", "publish", "--no-git-tag"]);
  console.log(`\n${manifests.length} packages of version ${version} are published.`);
}
