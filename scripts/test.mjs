// npm test: format and lint, layer check, types, then every test; closes with one plain line of counts. `--check` (npm run check) adds
// what a release asks of the repository: unused code, manifests, licences, links of the documents.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const scratch = mkdtempSync(join(tmpdir(), "seg-test-"));
const report = join(scratch, "vitest.json");
const run = (title, command, args) => {
  console.log(`\n== ${title}`);
  const started = Date.now();
  const { status } = spawnSync(command, args, {
    stdio: "inherit",
    env: { ...process.env, NX_DAEMON: "false", NX_NO_CLOUD: "true" },
  });
  console.log(
    `== ${title}: ${status === 0 ? "ok" : `failed (${status})`}, ${((Date.now() - started) / 1000).toFixed(0)} s`,
  );
  return status ?? 1;
};
const steps = [
  ["format and lint", "npx", "biome", "check", "--diagnostic-level=warn", "."],
  ["imports", "node", "scripts/check-deps.mjs"],
  ["examples of READMEs", "node", "scripts/readme-examples.mjs"],
  ["snippets of pages", "node", "scripts/doc-snippets.mjs"],
  ["types", "npx", "tsc", "--noEmit", "-p", "tsconfig.json"],
];
if (process.argv.includes("--check"))
  steps.push(
    ["unused code", "npx", "knip", "--no-progress", "--no-config-hints"],
    ["manifests", "node", "scripts/check-packages.mjs"],
    ["licences", "node", "scripts/check-licences.mjs"],
    ["links", "node", "scripts/verify-links.mjs"],
  );
let failed = steps.filter(([title, command, ...args]) => run(title, command, args) !== 0).length;
const tests = run("tests", "npx", [
  "vitest",
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
]);
let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
try {
  counts = JSON.parse(readFileSync(report, "utf8"));
} catch {
  failed += 1;
}
rmSync(scratch, { recursive: true, force: true });
if (tests !== 0 && counts.numFailedTests === 0) failed += 1;
const bad = counts.numFailedTests + failed;
console.log(`\n${counts.numPassedTests} passed, ${bad} failed, ${counts.numPendingTests} skipped`);
process.exit(bad === 0 && tests === 0 ? 0 : 1);
