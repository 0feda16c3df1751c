// npm test: format and lint, layer check, types, then every test; closes with one plain line of counts. `--check` (npm run check) adds
// what a release asks of the repository: unused code, manifests, licences, links of the documents.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const MEMORY = "/dev/shm";
/** Tests write less than a tenth of it at a time. */
const ROOM_BYTES = 4 * 2 ** 30;

/** A folder that other users can reach things in: PostgreSQL does not run as root. */
const makeScratch = (parent) => {
  const folder = mkdtempSync(join(parent, `seg-test-${process.pid}-`));
  chmodSync(folder, 0o711);
  return folder;
};

/**
 * The folder for temporary files of all tests, removed at the end. In memory where there is room and programs may run: thousands of files are
 * synced, which costs a disk milliseconds each and proves nothing about a process that is killed.
 */
function testScratch() {
  try {
    // A run that was killed left its own: memory that nobody uses.
    for (const name of readdirSync(MEMORY)) {
      const pid = /^seg-test-(\d+)-/.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`))
        rmSync(join(MEMORY, name), { recursive: true, force: true });
    }
    const { bavail, bsize } = statfsSync(MEMORY);
    if (bavail * bsize < ROOM_BYTES) return makeScratch(tmpdir());
    const folder = makeScratch(MEMORY);
    const probe = join(folder, "probe");
    writeFileSync(probe, "#!/bin/sh\n", { mode: 0o755 });
    if (spawnSync(probe).status === 0) return folder;
    rmSync(folder, { recursive: true });
  } catch {
    // Not Linux, or not ours to write in.
  }
  return makeScratch(tmpdir());
}

const scratch = testScratch();
const report = join(scratch, "vitest.json");

const children = new Set();
let stoppedBy = null;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stoppedBy = signal;
    for (const child of children) child.kill(signal);
  });
}

/** Runs a program of Node. What it says appears at once when `isLive`, else when it has ended: others run beside it. */
async function run([title, ...argv], { isLive = false } = {}) {
  if (stoppedBy !== null) return false;
  if (isLive) console.log(`\n== ${title}`);
  const started = Date.now();
  const child = spawn(process.execPath, argv, {
    stdio: ["ignore", ...(isLive ? ["inherit", "inherit"] : ["pipe", "pipe"])],
    env: { ...process.env, NX_DAEMON: "false", NX_NO_CLOUD: "true", TMPDIR: scratch },
  });
  children.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
  }
  const status = await new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  children.delete(child);
  if (!isLive) console.log(`\n== ${title}${said.trim() === "" ? "" : `\n${said.trimEnd()}`}`);
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  console.log(`== ${title}: ${status === 0 ? "ok" : `failed (${status})`}, ${seconds} s`);
  return status === 0;
}

async function runAll(steps) {
  let failed = 0;
  for (const step of steps) if (!(await run(step))) failed += 1;
  return failed;
}

// Written first: they are checked like everything else.
let failed = await runAll([
  ["examples of READMEs", "scripts/readme-examples.mjs"],
  ["snippets of pages", "scripts/doc-snippets.mjs"],
]);
const checks = [
  ["format and lint", "node_modules/@biomejs/biome/bin/biome", "check", "--diagnostic-level=warn", "."],
  ["imports", "scripts/check-deps.mjs"],
];
if (process.argv.includes("--check"))
  checks.push(
    ["unused code", "node_modules/knip/bin/knip.js", "--no-progress", "--no-config-hints"],
    ["manifests", "scripts/check-packages.mjs"],
    ["licences", "scripts/check-licences.mjs"],
    ["links", "scripts/verify-links.mjs"],
  );
// The compiler uses one core.
const types = [["types", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json"]];
for (const count of await Promise.all([runAll(types), runAll(checks)])) failed += count;

const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
const isPassed = await run(["tests", "node_modules/vitest/vitest.mjs", "run", ...reporters], { isLive: true });
let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
try {
  counts = JSON.parse(readFileSync(report, "utf8"));
} catch {
  failed += 1;
}
rmSync(scratch, { recursive: true, force: true });
if (!isPassed && counts.numFailedTests === 0) failed += 1;
const bad = counts.numFailedTests + failed;
console.log(`\n${counts.numPassedTests} passed, ${bad} failed, ${counts.numPendingTests} skipped`);
process.exit(stoppedBy !== null ? 128 + constants.signals[stoppedBy] : bad === 0 && isPassed ? 0 : 1);
