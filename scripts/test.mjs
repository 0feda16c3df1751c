// npm test: format and lint, layer check, types, then every test; closes with one plain line of counts.
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
let failed = 0;
failed += run("format and lint", "npx", ["biome", "check", "--diagnostic-level=warn", "."]) === 0 ? 0 : 1;
failed += run("imports", "node", ["scripts/check-deps.mjs"]) === 0 ? 0 : 1;
failed += run("examples of READMEs", "node", ["scripts/readme-examples.mjs"]) === 0 ? 0 : 1;
failed += run("types", "npx", ["tsc", "--noEmit", "-p", "tsconfig.json"]) === 0 ? 0 : 1;
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
