// npm run test:consume [-- --built]: the packed packages in applications outside the repository. Prints "N passed, N failed".
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { installTarballs, runtimeLibraries } from "./install.mjs";
import { layOut, manifests, packAll, specifiers } from "./lay-out.mjs";

const repository = resolve(import.meta.dirname, "../..");
const scratch = realpathSync(mkdtempSync(join(tmpdir(), "seg-consume-")));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
const app = join(scratch, "linked");

let passed = 0;
let failed = 0;
let skipped = 0;
const check = (title, test) => {
  try {
    test();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${title}\n  ${error.message.replaceAll("\n", "\n  ")}`);
  }
};

/** Runs a file of the application; its standard output is JSON. */
const runs = (...args) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: app, encoding: "utf8" });
  assert.equal(status, 0, `node ${args[0]} ended with ${status}:\n${stderr.slice(-2000)}`);
  return JSON.parse(stdout);
};
/** The same, or null with a failed check. */
const attempt = (title, ...args) => {
  let result = null;
  check(title, () => {
    result = runs(...args);
  });
  return result;
};

if (!process.argv.includes("--built")) {
  console.log("building (cached by nx) ...");
  execFileSync("npm", ["run", "--silent", "build"], {
    cwd: repository,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, NX_DAEMON: "false", NX_NO_CLOUD: "true" },
  });
}
const packages = manifests(repository);
console.log(`packing ${packages.length} packages into ${scratch} ...`);
const tarballs = packAll({ repository, folder: scratch, packages });
layOut({ repository, app, packages, tarballs });

const names = packages.map(({ name }) => name);
const entries = specifiers(packages);

// Exports
const imported = attempt("import of every package", "exports.mjs", ...entries);
const required = attempt("require of every package", "exports.cjs", ...entries);
const dist = pathToFileURL(join(app, "node_modules")).href;
for (const entry of entries) {
  for (const [way, found] of [
    ["import", imported?.[entry]],
    ["require", required?.[entry]],
  ]) {
    check(`${way} ${entry}`, () => {
      assert.equal(found?.error, undefined);
      assert.match(found.file.slice(dist.length), /^\/@seg\/[a-z-]+\/dist\/[a-z]+\.c?js$/, `resolved to ${found.file}`);
      assert.ok(found.names.length > 0, "no exports");
    });
  }
  check(`${entry} has the same names in both formats`, () =>
    assert.deepEqual(required?.[entry].names, imported?.[entry].names),
  );
}

// Errors across the two copies
const errors = attempt("errors across ESM and CJS", "errors.mjs", ...names) ?? {};
for (const name of names) {
  for (const way of ["made by import, judged by require", "made by require, judged by import"]) {
    check(`an error of ${name} ${way}`, () =>
      assert.deepEqual(
        errors[`${name} ${way}`],
        { isError: true, hasCode: true, sameClass: false, recognisedByAll: true },
        "not recognised (a new package needs a line in app/errors.mjs)",
      ),
    );
  }
}
for (const way of ["made by import, judged by require", "made by require, judged by import"]) {
  check(`a plain Error ${way} is none of ours`, () =>
    assert.deepEqual(errors[`a plain Error, ${way}`], { recognisedBySome: false }),
  );
}

// The engine
const programs = ["program.mjs", "program.cjs"].map((file) => attempt(file, file));
for (const [i, format] of ["ESM", "CJS"].entries()) {
  const program = programs[i];
  check(`the engine multiplies (${format})`, () => {
    assert.equal(program?.backend, "onnxruntime");
    // [[1, 0, -1], [2, 2, 2]] x [[1, 2], [3, 4], [5, 6]]
    assert.deepEqual(program.product, [-4, -4, 18, 24]);
  });
  check(`a traced function is a valid model that ONNX Runtime runs (${format})`, () => {
    assert.deepEqual(program?.issues, []);
    assert.deepEqual(program.nodes, ["MatMul", "Relu"]);
    assert.deepEqual(program.y, { dims: [1, 2], data: [0, 4] });
  });
  check(`@seg/teachers finds its own folder (${format})`, () => {
    const folder = join(app, "node_modules", "@seg", "teachers", "pretrained", "sam-tiny-synthetic");
    assert.equal(program?.pretrained, folder);
    const inRepository = join(repository, "packages", "teachers", "pretrained", "sam-tiny-synthetic");
    assert.equal(existsSync(folder), existsSync(inRepository), "the weights are not packed");
  });
}
check("both formats trace the same model", () => assert.equal(programs[0]?.hash, programs[1]?.hash));

check("an imported and a required copy of the engine are one", () => {
  const found = runs("two-copies.mjs");
  assert.equal(found.distinct, true);
  assert.deepEqual(found.warnings, []);
  assert.deepEqual(found.nodes, [
    ["MatMul", "Sigmoid", "Mul"],
    ["MatMul", "Sigmoid", "Mul"],
  ]);
  assert.deepEqual(found.product, [14, 20, 30, 44]);
  assert.equal(found.threads, 1);
  assert.equal(found.runs[0], found.runs[1]);
});

// Declarations: skipLibCheck is off, findings in third-party declarations are theirs
check("the declarations compile for import and require", () => {
  const tsc = join(repository, "node_modules", "typescript", "bin", "tsc");
  const flags = ["--strict", "--module", "nodenext", "--target", "es2022", "--types", "node", "--noEmit"];
  const { stdout } = spawnSync(process.execPath, [tsc, ...flags, "types.mts", "types.cts"], {
    cwd: app,
    encoding: "utf8",
  });
  const ours = stdout.split("\n").filter((line) => /^(types\.|node_modules\/@seg\/|error )/.test(line));
  assert.deepEqual(ours, []);
});

// The command
const bin = join(app, "node_modules", "@seg", "cli", "dist", "bin.js");
check("seg --help exits 0, lists its commands and does not load the engine", () => {
  const { status, stdout } = spawnSync(process.execPath, ["--require", "./no-engine.cjs", bin, "--help"], {
    cwd: app,
    encoding: "utf8",
  });
  assert.equal(status, 0);
  for (const command of ["validate", "train-teacher", "train-student", "optimize", "evaluate", "predict"])
    assert.ok(stdout.includes(command), `${command} is missing in:\n${stdout}`);
});
check("seg has a shebang", () => assert.match(readFileSync(bin, "utf8"), /^#!\/usr\/bin\/env node\n/));

// The same tarballs, installed by npm in an empty folder
console.log("installing the tarballs in an empty folder ...");
const folder = join(scratch, "stranger");
const stranger = installTarballs({ folder, tarballs: [...tarballs.values()] });
if (stranger.unreachable) {
  skipped += 1;
  console.log(`SKIPPED the installation in an empty folder: the registry does not answer (${stranger.unreachable})`);
} else {
  console.log(`installed in ${stranger.seconds.toFixed(0)} s; running seg run at smoke scale ...`);
  const ended = (result, title) => {
    assert.equal(
      result.status,
      0,
      `${title} ended with ${result.status}:\n${`${result.stdout}${result.stderr}`.slice(-2000)}`,
    );
    return result.stdout;
  };
  check("a compiler of CUDA on the PATH brings no GPU libraries", () => {
    const libraries = runtimeLibraries(folder);
    assert.ok(libraries.includes("onnxruntime_binding.node"), libraries.join(" "));
    assert.deepEqual(
      libraries.filter((name) => /cuda|tensorrt|cudnn|cublas/i.test(name)),
      [],
    );
  });
  const experiment = join(folder, "experiment");
  const model = join(experiment, "student", "optimized", "model_int8.onnx");
  check("seg run makes a measured INT8 model and a report of a stranger's data", () => {
    ended(stranger.node("draw-objects.mjs"), "drawing");
    const started = performance.now();
    const options =
      "--data objects/annotations.json --output experiment --student yolov8p-seg --threads 2 --teacher.max-images 8 --teacher.grounding_dino.epochs 1 --teacher.steps 10 --student.imgsz 96 --student.epochs 3 --student.batch 8 --student.patience 0 --optimize.calibration-images 12 --evaluate.overlays 2 --evaluate.rounds 20 --json";
    const lines = ended(stranger.seg("run", ...options.split(" ")), "seg run")
      .trim()
      .split("\n");
    console.log(`seg run took ${((performance.now() - started) / 1000).toFixed(0)} s`);
    assert.equal(JSON.parse(lines.at(-1)).type, "result");
    for (const file of ["report.html", "report.json", "student/optimized/certificate.json"])
      assert.ok(existsSync(join(experiment, file)), `${file} is missing`);
    assert.ok(existsSync(model), "the INT8 model is missing");
  });
  const picture = join(folder, "objects", "images", "000.png");
  check("the model detects in projects of ESM, CommonJS and TypeScript alike", () => {
    const tsc = join(repository, "node_modules", "typescript", "bin", "tsc");
    // What a project in TypeScript installs beside.
    const types = join(folder, "node_modules", "@types", "node");
    mkdirSync(dirname(types), { recursive: true });
    if (!existsSync(types)) symlinkSync(join(repository, "node_modules", "@types", "node"), types, "junction");
    ended(stranger.node(tsc, "--project", "ts"), "tsc");
    const [esm, cjs, ts] = ["esm/detect.js", "cjs/detect.js", "ts/built/detect.js"].map((file) =>
      JSON.parse(ended(stranger.node(file, model, picture), file)),
    );
    // After three epochs no object is found; the best places are as good to compare.
    assert.ok(esm.scores.length > 0, "no place has a score");
    assert.deepEqual(cjs, esm);
    assert.deepEqual(ts, esm);
  });
  check("a mistake is one sentence and exit code 2", () => {
    const { status, stderr } = stranger.seg("run", "--dta", "objects/annotations.json");
    assert.equal(status, 2);
    assert.match(stderr, /--data/);
  });
}

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed === 0 ? 0 : 1;
