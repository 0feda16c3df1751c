// node packages/model-hub/dashboard/build.mjs: bundles the page's script and writes it, its style and its markup as a TypeScript module,
// so that the server carries them as strings. A test compares the committed module with its sources.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const TARGET = here("../src/dashboard/generated/dashboard.ts");
// The licence of the one library in the bundle asks for its notice.
const NOTICE = "/* Contains Preact, (c) Jason Miller, MIT licence: github.com/preactjs/preact/blob/main/LICENSE */";

/** The generated module as text. */
export async function dashboardModule() {
  const options = { write: false, minify: true, target: "es2022", legalComments: "none", logLevel: "silent" };
  const { outputFiles: script } = await build({
    ...options,
    entryPoints: [here("main.tsx")],
    bundle: true,
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    tsconfig: here("tsconfig.json"),
  });
  const { outputFiles: style } = await build({ ...options, entryPoints: [here("style.css")] });
  const constant = (name, text) => `export const ${name}: string =\n  ${JSON.stringify(text)};\n`;
  return [
    "// Made by dashboard/build.mjs from dashboard/; do not edit.\n",
    constant("DASHBOARD_HTML", readFileSync(here("index.html"), "utf8")),
    constant("DASHBOARD_STYLE", style[0].text.trim()),
    constant("DASHBOARD_SCRIPT", `${NOTICE}\n${script[0].text.trim().replaceAll("</script", "<\\/script")}`),
  ].join("\n");
}

/** Where it is kept. */
export const committedModule = () => readFileSync(TARGET, "utf8");

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(TARGET, await dashboardModule());
