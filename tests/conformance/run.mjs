/**
 * npm run conformance [-- --backend cpu] [--grep REGEX] [--verbose]
 *
 * tfjs-core's own tests (its npm package ships them compiled) against this repository's engine: once with synchronous reads, once
 * with `isDataSync: false` (the specs that need none). Closes with "N passed, N failed, N skipped" over both runs. A spec is
 * skipped only if conformance.skip.json says why; a spec that skips itself, or an entry that matches nothing, is a failure.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { bundle } from "./bundle.mjs";

const here = import.meta.dirname;
const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "onnxruntime" },
    grep: { type: "string" },
    verbose: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const scratch = mkdtempSync(join(tmpdir(), "seg-conformance-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
const bundled = join(here, "dist/suite.cjs");
await bundle(bundled);

const entries = JSON.parse(readFileSync(join(here, "conformance.skip.json"), "utf8"));
/** Suite names contain the environment's name; entries have "{env}" there, for they hold for every backend. */
const withoutEnvironment = (name) => name.replaceAll(`${values.backend} {}`, "{env}");
const reasons = new Map(entries.map(({ name, reason }) => [name, reason]));

function suite(sync) {
  const out = join(scratch, `specs-${sync}.json`);
  const { status, signal } = spawnSync(process.execPath, [join(here, "worker.mjs")], {
    stdio: ["ignore", values.verbose ? "inherit" : "ignore", "inherit"],
    env: {
      ...process.env,
      SEG_THREADS: process.env.SEG_THREADS ?? "1",
      CONFORMANCE_BACKEND: values.backend,
      CONFORMANCE_SYNC: sync ? "1" : "0",
      CONFORMANCE_BUNDLE: bundled,
      CONFORMANCE_OUT: out,
      CONFORMANCE_SKIP: skipFile,
      CONFORMANCE_GREP: values.grep ?? "",
    },
  });
  if (status !== 0) throw new Error(`The suite's process ended with ${status ?? signal}, not with results.`);
  return JSON.parse(readFileSync(out, "utf8"));
}

const skipFile = join(scratch, "skip.json");
writeFileSync(skipFile, JSON.stringify(entries.map(({ name }) => name.replaceAll("{env}", `${values.backend} {}`))));

let passed = 0;
let failed = 0;
let skipped = 0;
const seen = new Set();
const fail = (name, message) => {
  failed += 1;
  console.log(
    `FAILED ${name}\n  ${message
      .split("\n")
      .slice(0, values.verbose ? 40 : 3)
      .join("\n  ")}`,
  );
};
const all = {};
for (const sync of [true, false]) {
  const started = performance.now();
  const specs = suite(sync);
  all[sync ? "sync" : "async"] = specs;
  const before = { passed, failed, skipped };
  for (const { name, status, failures } of specs) {
    const plain = withoutEnvironment(name);
    if (status === "passed") passed += 1;
    else if (status === "failed")
      fail(name, failures.map((f) => (values.verbose ? `${f.message}\n${f.stack}` : f.message)).join("\n"));
    else if (status === "pending" || reasons.has(plain)) {
      seen.add(plain);
      if (reasons.has(plain)) skipped += 1;
      else fail(name, "It skips itself and conformance.skip.json does not say why.");
    } else if (!values.grep) fail(name, `It did not run: ${status}.`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${values.backend}, ${sync ? "synchronous reads" : "isDataSync: false"}: ${passed - before.passed} passed, ` +
      `${failed - before.failed} failed, ${skipped - before.skipped} skipped, ${seconds} s`,
  );
}
if (values.json) writeFileSync(values.json, JSON.stringify(all));
if (!values.grep)
  for (const { name } of entries)
    if (!seen.has(name)) fail(name, "conformance.skip.json names a spec that does not exist.");
if (skipped > 0.02 * (passed + failed + skipped)) fail("conformance.skip.json", `${skipped} specs are more than 2 %.`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
