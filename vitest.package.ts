import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const conditions = ["@seg/source", "import", "module", "node", "default"];

/** Shared by every package: tests run the sources, unbuilt, through the `@seg/source` condition. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["@seg/source", "node"] } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    setupFiles: [fileURLToPath(new URL("./vitest.setup.ts", import.meta.url))],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    env: { SEG_THREADS: "1" },
  },
});
