// One run of the bundled suite on one backend, in a process of its own: writes the outcome of every spec as JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";

const { CONFORMANCE_BUNDLE, CONFORMANCE_OUT, CONFORMANCE_SKIP, CONFORMANCE_GREP } = process.env;
const require = createRequire(import.meta.url);
const { installGlobals, jasmine } = require("jasmine-core");
installGlobals();
const environment = jasmine.getEnv();
const skipped = new Set(JSON.parse(readFileSync(CONFORMANCE_SKIP, "utf8")));
const specs = [];
const pattern = CONFORMANCE_GREP ? new RegExp(CONFORMANCE_GREP) : null;
environment.configure({
  random: false,
  // Suites of tfjs-core repeat names such as "div".
  forbidDuplicateNames: false,
  specFilter: (spec) => !skipped.has(spec.getFullName()) && (pattern === null || pattern.test(spec.getFullName())),
});
environment.clearReporters();
environment.addReporter({
  specDone({ fullName, status, failedExpectations, pendingReason }) {
    specs.push({
      name: fullName,
      status,
      reason: pendingReason ?? "",
      failures: failedExpectations.map(({ message, stack }) => ({ message, stack: (stack ?? "").slice(0, 4000) })),
    });
  },
  suiteDone({ fullName, failedExpectations }) {
    for (const { message, stack } of failedExpectations ?? []) {
      specs.push({ name: `${fullName} (suite)`, status: "failed", reason: "", failures: [{ message, stack }] });
    }
  },
});
console.warn = () => {};
require(CONFORMANCE_BUNDLE);
jasmine.DEFAULT_TIMEOUT_INTERVAL = 20_000;
await environment.execute();
writeFileSync(CONFORMANCE_OUT, JSON.stringify(specs));
process.exit(0);
