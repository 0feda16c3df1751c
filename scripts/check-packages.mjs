// Every published package has the same shape of manifest, licence and README. With --packed (after a build): what a tarball would
// contain, file by file, against a list of what may be in one and a budget of bytes. Fails with one line a finding.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Kilobytes a tarball may have: about a quarter more than it had when this was set, so that growth is a decision. */
const BUDGET_KB = {
  "@seg/augment": 540,
  "@seg/cli": 700,
  "@seg/coco-dataset": 760,
  "@seg/distill": 360,
  "@seg/export": 560,
  "@seg/lora": 150,
  "@seg/model-hub": 1900,
  "@seg/nn": 220,
  "@seg/onnx": 230,
  "@seg/preprocess": 310,
  "@seg/teachers": 7500,
  "@seg/tfjs-onnxruntime": 460,
  "@seg/train": 300,
};
/** Importing it registers the backend; a bundler must not drop that. */
const HAS_SIDE_EFFECTS = new Set(["@seg/tfjs-onnxruntime"]);
const ORDER =
  "name version description keywords license repository homepage bugs type sideEffects engines bin exports files publishConfig scripts dependencies peerDependencies peerDependenciesMeta devDependencies".split(
    " ",
  );
/** Written by scripts/stamp-repository.mjs when a release is made, in all packages or in none. */
const STAMPED = ["repository", "homepage", "bugs"];

const problems = [];
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));
const root = readJson("package.json");
const licence = readFileSync("LICENSE", "utf8");
const folders = readdirSync("packages").sort();
const manifests = new Map(folders.map((folder) => [folder, readJson(join("packages", folder, "package.json"))]));
const version = manifests.get("onnx").version;
const third = new Map();

for (const [folder, manifest] of manifests) {
  const at = join("packages", folder);
  const check = (holds, text) => {
    if (!holds) problems.push(`${at}: ${text}`);
  };
  const same = (field, expected) =>
    check(
      JSON.stringify(manifest[field]) === JSON.stringify(expected),
      `${field} is ${JSON.stringify(manifest[field])}, expected ${JSON.stringify(expected)}`,
    );
  same("name", `@seg/${folder}`);
  same("version", version);
  same("license", root.license);
  same("type", "module");
  same("sideEffects", HAS_SIDE_EFFECTS.has(manifest.name));
  same("engines", root.engines);
  same("publishConfig", { access: "public", provenance: true });
  check(manifest.description?.endsWith("."), "description is a sentence");
  check(manifest.keywords?.length >= 3, "at least three keywords");
  const keys = Object.keys(manifest);
  const sorted = ORDER.filter((key) => key in manifest);
  check(
    keys.join() === sorted.join(),
    `fields in the order ${sorted.join(", ")}${keys.length > sorted.length ? ` and no ${keys.filter((k) => !ORDER.includes(k))}` : ""}`,
  );

  const stamped = STAMPED.filter((key) => key in manifest);
  if (stamped.length > 0) {
    check(stamped.length === STAMPED.length, `${STAMPED.join(", ")} are stamped together`);
    check(manifest.repository?.url === manifests.get("onnx").repository?.url, "one repository.url in all packages");
    check(manifest.repository?.directory === at, `repository.directory is ${at}`);
  }

  // What `files` names, and what it must name.
  const { files } = manifest;
  for (const needed of ["CHANGELOG.md", "dist", "src", "!src/**/*.test.ts"])
    check(files.includes(needed), `files names ${needed}`);
  // changesets writes the change log with the first release.
  const absent = (name) => !["CHANGELOG.md", "dist"].includes(name) && !existsSync(join(at, name));
  for (const name of files.filter((f) => !f.startsWith("!") && absent(f)))
    check(false, `files names ${name}, which is absent`);
  check(existsSync(join(at, "NOTICE")) === files.includes("NOTICE"), "NOTICE is a file and named in files, or neither");
  if (existsSync(join(at, "assembly"))) {
    check(files.includes("NOTICE"), "compiled WebAssembly calls for a NOTICE");
    check(files.includes("assembly"), "the source of compiled WebAssembly is packed with it");
  }
  const licenceFile = join(at, "LICENSE");
  check(existsSync(licenceFile) && readFileSync(licenceFile, "utf8") === licence, "LICENSE is the repository's");

  // exports: sources first for our own tools, types before code in each format, nothing undeclared.
  check(manifest.exports["./package.json"] === "./package.json", "exports ./package.json");
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    if (typeof target === "string") {
      check(existsSync(join(at, target)), `exports ${subpath}: ${target} is absent`);
      continue;
    }
    const conditions = Object.keys(target).filter((key) => key !== "browser");
    check(
      conditions.join() === "@seg/source,import,require",
      `exports ${subpath}: @seg/source, import, require in this order`,
    );
    for (const source of Object.values(
      typeof target["@seg/source"] === "string" ? { s: target["@seg/source"] } : target["@seg/source"],
    ))
      check(existsSync(join(at, source)), `exports ${subpath}: ${source} is absent`);
    for (const [condition, types, code] of [
      ["browser", ".d.ts", ".js"],
      ["import", ".d.ts", ".js"],
      ["require", ".d.cts", ".cjs"],
    ]) {
      if (condition === "browser" && !target.browser) continue;
      const found = target[condition] ?? {};
      const stem = String(found.default).slice(0, -code.length);
      check(
        JSON.stringify(found) === JSON.stringify({ types: stem + types, default: stem + code }) &&
          /^\.\/dist\/[a-z-]+$/.test(stem),
        `exports ${subpath}: ${condition} is {"types": "./dist/NAME${types}", "default": "./dist/NAME${code}"}`,
      );
    }
  }

  // Versions: ours equal, theirs exact and the same everywhere.
  for (const field of ["dependencies", "devDependencies"]) {
    for (const [name, range] of Object.entries(manifest[field] ?? {})) {
      if (name.startsWith("@seg/")) check(range === version, `${name} ${range}, expected ${version}`);
      else check(/^\d+\.\d+\.\d+$/.test(range), `${name} ${range} is pinned exactly`);
      const before = third.get(name);
      check(before === undefined || before.range === range, `${name} ${range}, but ${before?.range} in ${before?.at}`);
      third.set(name, { range, at });
    }
  }
  for (const name of Object.keys(manifest.peerDependenciesMeta ?? {}))
    check(name in (manifest.peerDependencies ?? {}), `peerDependenciesMeta names ${name}, which is no peer`);
}
for (const [name, range] of Object.entries(root.devDependencies)) {
  const known = third.get(name);
  if (known !== undefined && known.range !== range)
    problems.push(`package.json: ${name} ${range}, but ${known.range} in ${known.at}`);
}
const { fixed } = readJson(".changeset/config.json");
if (JSON.stringify(fixed) !== '[["@seg/*"]]')
  problems.push(".changeset/config.json: all @seg packages share a version");

if (process.argv.includes("--packed")) checkTarballs();
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${folders.length} packages have the agreed manifest.`);

function checkTarballs() {
  const packed = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--offline", ...folders.map((f) => `./packages/${f}`)], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    }),
  );
  // npm 10 prints a list, npm 11 an object by name.
  for (const { name, size, unpackedSize, files } of Object.values(packed)) {
    const folder = name.split("/")[1];
    const manifest = manifests.get(folder);
    const paths = files.map(({ path }) => path);
    const own = ["package.json", "README.md", "LICENSE", ...manifest.files.filter((f) => !f.startsWith("!"))];
    const problem = (text) => problems.push(`${name} packed: ${text}`);
    for (const path of paths) {
      if (!own.some((allowed) => path === allowed || path.startsWith(`${allowed}/`)))
        problem(`${path} is in no entry of files`);
      if (
        /(^|\/)(test|tests|fixtures|node_modules|coverage|\.[^/]+)(\/|$)|\.test(-d)?\.|\.tsbuildinfo$|\.(pem|key|env|log|tgz)$/.test(
          path,
        )
      )
        problem(`${path} does not belong into a package`);
      else if (/\.(ts|js|cjs|mjs|json|yaml|md|txt)$/.test(path)) {
        const secret =
          /-----BEGIN [A-Z ]*PRIVATE KEY-----\n|\b(?:ghp|gho|npm|hf)_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b/.exec(
            readFileSync(join("packages", folder, path), "utf8"),
          );
        if (secret) problem(`${path} has something like a secret at offset ${secret.index}`);
      }
    }
    const targets = JSON.stringify([manifest.exports, manifest.bin ?? {}]).matchAll(/"\.\/(dist\/[^"]+)"/g);
    for (const [, target] of targets) if (!paths.includes(target)) problem(`${target} is not built`);
    if (!paths.includes("README.md") || !paths.includes("LICENSE")) problem("README.md and LICENSE are missing");
    const kilobytes = Math.ceil(size / 1000);
    const budget = BUDGET_KB[name];
    console.log(
      `${name.padEnd(24)} ${String(kilobytes).padStart(5)} kB of ${budget ?? "?"} kB packed, ${Math.ceil(unpackedSize / 1000)} kB on disk, ${paths.length} files`,
    );
    if (budget === undefined) problem("has no budget in scripts/check-packages.mjs");
    else if (kilobytes > budget)
      problem(`${kilobytes} kB, budget ${budget} kB: what grew, and must users download it?`);
  }
}
