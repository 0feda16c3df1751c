// Imports between packages go down only, and every import is declared. Fails with the offending line.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Lower number = lower layer; equal layers may import each other only where listed in SIDEWAYS. */
const LAYER = {
  onnx: 0,
  "tfjs-onnxruntime": 1,
  "coco-dataset": 2,
  preprocess: 3,
  augment: 3,
  nn: 4,
  train: 5,
  lora: 6,
  export: 7,
  "model-hub": 7,
  teachers: 7,
  distill: 8,
  cli: 9,
};
/** @seg/coco-dataset lends its vocabulary as types to the engine's tests only; nothing is sideways today. */
const SIDEWAYS = new Set();
/** Tests may look upwards: the engine's tests draw their random numbers from @seg/augment. */
const isTest = (file) => /\.test(-d)?\.ts$|\/test\//.test(file);

const files = (dir) =>
  readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile() && /\.ts$/.test(e.name))
    .map((e) => join(e.parentPath ?? e.path, e.name));

const problems = [];
for (const name of Object.keys(LAYER)) {
  const manifest = JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8"));
  const declared = new Set([
    ...Object.keys(manifest.dependencies ?? {}),
    ...Object.keys(manifest.peerDependencies ?? {}),
    // Not devDependencies: tsup would bundle them.
  ]);
  for (const file of files(`packages/${name}/src`)) {
    const text = readFileSync(file, "utf8");
    const statements = /(?:^|\n)\s*(?:import|export)\s(?:[^;"]*?\sfrom\s+)?"([^".][^"]*)"|\bimport\("([^".][^"]*)"\)/g;
    for (const [, named, dynamic] of text.matchAll(statements)) {
      const specifier = named ?? dynamic;
      if (specifier.startsWith("node:") || specifier === "vitest" || specifier === "fast-check") continue;
      const dependency = specifier.startsWith("@")
        ? specifier.split("/").slice(0, 2).join("/")
        : specifier.split("/")[0];
      const own = dependency.startsWith("@seg/") ? dependency.slice(5) : null;
      if (own === name) continue;
      if (own !== null && !(own in LAYER)) problems.push(`${file}: unknown package ${dependency}`);
      if (own !== null && !isTest(file) && LAYER[own] >= LAYER[name] && !SIDEWAYS.has(`${name}>${own}`)) {
        problems.push(
          `${file}: ${name} (layer ${LAYER[name]}) imports ${own} (layer ${LAYER[own]}): imports go down only`,
        );
      }
      if (!isTest(file) && !declared.has(dependency))
        problems.push(`${file}: ${dependency} is not declared in packages/${name}/package.json`);
    }
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`Imports of ${Object.keys(LAYER).length} packages go down only and are declared.`);
