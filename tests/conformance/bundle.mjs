// Bundles tfjs-core's compiled tests with one instance of tfjs-core, the cpu backend and this repository's engine.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const require = createRequire(import.meta.url);
const core = join(dirname(require.resolve("@tensorflow/tfjs-core/package.json")), "dist");

/** The entry in the order that the suite needs: kernels and gradients, then the environment, then the tests. */
const entry = `
import ${JSON.stringify(join(core, "public/chained_ops/register_all_chained_ops.js"))};
import ${JSON.stringify(join(core, "register_all_gradients.js"))};
import "@tensorflow/tfjs-backend-cpu";
import "@seg/tfjs-onnxruntime";
import { setTestEnvs } from ${JSON.stringify(join(core, "jasmine_util.js"))};
const backendName = process.env.CONFORMANCE_BACKEND;
setTestEnvs([{ name: backendName, backendName, isDataSync: process.env.CONFORMANCE_SYNC !== "0" }]);
`;
const tests = `
import "conformance:environment";
import ${JSON.stringify(join(core, "tests.js"))};
`;

/** @param outfile - CommonJS file; it has to lie inside the repository so that onnxruntime-node is found from there */
export async function bundle(outfile) {
  await build({
    stdin: { contents: tests, resolveDir: import.meta.dirname, loader: "js" },
    outfile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    mainFields: ["module", "main"],
    conditions: ["@seg/source", "import", "module", "node", "default"],
    // tfjs-core declares its tests free of side effects; without this they are dropped.
    ignoreAnnotations: true,
    external: ["onnxruntime-node", "onnxruntime-node/*", "node-fetch"],
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
    define: { "import.meta.url": "importMetaUrl" },
    logLevel: "warning",
    plugins: [
      {
        name: "conformance",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^conformance:environment$/ }, ({ path }) => ({ path, namespace: "conformance" }));
          onLoad({ filter: /environment$/, namespace: "conformance" }, () => ({
            contents: entry,
            resolveDir: import.meta.dirname,
          }));
          // jasmine-core's exports block this deep import; the runner supplies the globals.
          onResolve({ filter: /^jasmine-core\/lib/ }, ({ path }) => ({ path, namespace: "jasmine-stub" }));
          onLoad({ filter: /.*/, namespace: "jasmine-stub" }, () => ({
            contents: "module.exports = { core() { return {}; } };",
          }));
        },
      },
    ],
  });
}
