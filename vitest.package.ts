import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const conditions = ["@seg/source", "import", "module", "node", "default"];

/**
 * Vitest hands these to Node for modules that it does not transform. `import` among them would make `require("pg-pool")` inside `pg` load
 * the ESM build, and `module` would load ESM builds that are meant for bundlers.
 */
const nodeConditions = ["@seg/source", "node"];

/** Shared by every package: tests run the sources, unbuilt, through the `@seg/source` condition. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions: nodeConditions, externalConditions: nodeConditions } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    // A file of its own process loads tfjs and every package below again, which takes longer than most tests. vitest.setup.ts tidies up between files.
    isolate: false,
    setupFiles: [fileURLToPath(new URL("./vitest.setup.ts", import.meta.url))],
    // For what hangs: a machine with other work may need ten times as long as an idle one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    env: { SEG_THREADS: "1" },
  },
});
