// Writes what is generated from sources in this package: the default profile as a module, and the WASM kernels from AssemblyScript.
// npm run generate -w @seg/augment [-- --check]
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { compileKernels, kernelsModule } from "../../../scripts/build-wasm.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function profileModule() {
  const profile = parse(readFileSync(join(root, "profiles/default.yaml"), "utf8"));
  return `// Generated from profiles/default.yaml by scripts/generate.mjs. Do not edit.\nexport const DEFAULT_PROFILE: unknown = JSON.parse(\n  ${JSON.stringify(JSON.stringify(profile))},\n);\n`;
}

const files = {
  "src/generated/default-profile.ts": profileModule(),
  "src/generated/kernels-wasm.ts": kernelsModule(await compileKernels(root)),
};
let stale = 0;
for (const [name, text] of Object.entries(files)) {
  const path = join(root, name);
  if (process.argv.includes("--check")) {
    if (readFileSync(path, "utf8") === text) continue;
    console.error(`${name} is not what its source gives: run npm run generate -w @seg/augment`);
    stale++;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(`wrote ${name}`);
  }
}
process.exit(stale > 0 ? 1 : 0);
