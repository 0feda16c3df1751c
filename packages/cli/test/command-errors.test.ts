import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DataType, GraphBuilder, inferShapes } from "@seg/onnx";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { tfliteArtefacts } from "../src/optimize/tflite-artefacts.js";
import { createPlayground, failure } from "./playground.js";
import { runSeg } from "./run-seg.js";

const { root, fresh, dataset, training, refuses, remove } = await createPlayground();
const good = await dataset();
/** A trained student for the commands behind training. */
const run = fresh();

beforeAll(async () => {
  const { code } = await runSeg(...training(good.annotations, "--output", run));
  expect(code).toBe(0);
}, 300_000);
afterAll(remove);

describe("command lines", () => {
  const usage = (argv: string[]) => refuses(argv, { exit: 2 });

  test("an unknown command: the nearest", async () => {
    expect(await usage(["trian-student"])).toBe(
      'error: Unknown command "trian-student". Did you mean "train-student"? seg --help lists them.',
    );
    expect(await usage(["constructor"])).toContain('Unknown command "constructor".');
  });

  test("an unknown option: the nearest", async () => {
    expect(await usage(["validate", "--dat", "x"])).toBe(
      "error: Unknown option --dat. Did you mean --data? See --help.",
    );
  });

  test("an argument where none is taken", async () => {
    expect(await usage(["validate", "--data", "x", "y"])).toBe(
      'error: seg validate takes no argument "y". See --help.',
    );
  });

  test("no command: the overview and exit code 2", async () => {
    const { code, stdout } = await runSeg();
    expect(code).toBe(2);
    expect(stdout).toContain("seg COMMAND [options]");
  });

  test.each([
    ["--epochs", "many", "a whole number, at least 1"],
    ["--epochs", "0", "a whole number, at least 1"],
    ["--imgsz", "50", "a multiple of 32, at least 32"],
    ["--batch", "1.5", "a whole number, at least 1"],
    ["--lr", "-1", "a number, above 0"],
    ["--mosaic", "3", "a number, at least 0 and at most 1"],
    ["--threads", "0", "a whole number, at least 1"],
    ["--patience", "-2", "a whole number, at least 0"],
  ])("%s %s", async (option, value, expected) => {
    expect(await usage(training(good.annotations, option, value))).toBe(
      `error: ${option} must be ${expected}; got "${value}".`,
    );
  });

  test("an unknown student: the known ones", async () => {
    expect(await usage(training(good.annotations, "--student", "yolov9"))).toMatch(
      /--student is one of yolov8p, .*fastsam-s, mobilesam; got "yolov9"\. Did you mean yolov8\w\?$/,
    );
  });

  test("with --json the last line of stdout is the error", async () => {
    const { code, stdout, stderr } = await runSeg("validate", "--data", join(root, "nope.json"), "--json");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", code: "coco/file-not-found" });
    expect(stderr).toMatch(/^error: .*nope\.json was not found/);
  });
});

describe("runs", () => {
  test("an output folder that holds a run", async () => {
    expect(await refuses(training(good.annotations, "--output", run))).toBe(
      `error: ${run} already holds a training run. Continue it with --resume or choose another --output.`,
    );
  });

  test("an output folder with foreign files is used as it is, and they stay", async () => {
    const output = fresh();
    await mkdir(output);
    await writeFile(join(output, "notes.txt"), "mine");
    expect((await runSeg(...training(good.annotations, "--output", output))).code).toBe(0);
    expect(existsSync(join(output, "weights", "student.safetensors"))).toBe(true);
    expect(existsSync(`${output}2`)).toBe(false);
    expect(await readFile(join(output, "notes.txt"), "utf8")).toBe("mine");
  });

  test("an output that is a file, or below one", async () => {
    const file = join(root, "a-file");
    await writeFile(file, "x");
    expect(await refuses(training(good.annotations, "--output", file))).toContain(`${file} is a file. Give a folder`);
    expect(await refuses(["validate", "--data", good.annotations, "--output", join(file, "x")])).toMatch(
      /A part of \S+ is a file where a folder is needed\. Give another path\.$/,
    );
  });

  test("resuming with another seed", async () => {
    const weights = join(run, "weights");
    const line = await refuses(training(good.annotations, "--output", run, "--resume", "--seed", "3"), {
      kept: weights,
    });
    expect(line).toContain("Cannot resume: seed: saved 0, now 3. Undo the change, or start a new run");
  });

  test("weights or teachers that do not exist", async () => {
    for (const option of ["--weights", "--teacher-dir"]) {
      expect(await refuses(training(good.annotations, option, "/nowhere/x"))).toBe(
        `error: ${option} /nowhere/x was not found. Check the path or leave the option out.`,
      );
    }
  });

  test("a mask student for data without masks", async () => {
    const { annotations } = await dataset((d) => {
      for (const a of d.annotations) delete a["segmentation"];
    });
    expect(await refuses(training(annotations, "--student", "yolov8p-seg"))).toMatch(
      /"yolov8p-seg" does not fit annotations with 12 boxes and 0 masks\. Choose a detection student or annotate masks\.$/,
    );
  });

  test("optimize on a folder without a student, or with a damaged record", async () => {
    const empty = join(root, "empty");
    expect(await refuses(["optimize", "--model", empty])).toBe(
      `error: ${empty} holds no trained student (no student.json). Run seg train-student --output ${empty} first.`,
    );
    const damaged = fresh();
    await cp(run, damaged, { recursive: true });
    await writeFile(join(damaged, "student.json"), "{");
    expect(await refuses(["optimize", "--model", damaged])).toMatch(/student\.json is damaged \(.*\)\. Run seg train/);
    await cp(join(run, "student.json"), join(damaged, "student.json"));
    await rm(join(damaged, "weights"), { recursive: true });
    expect(await refuses(["optimize", "--model", damaged])).toMatch(/student\.safetensors was not found although/);
  });

  test("optimize when the training split has gone", async () => {
    const gone = fresh();
    await cp(run, gone, { recursive: true });
    const record = JSON.parse(await readFile(join(gone, "student.json"), "utf8"));
    record.train.data = "moved.json";
    await writeFile(join(gone, "student.json"), JSON.stringify(record));
    expect(await refuses(["optimize", "--model", gone])).toMatch(
      /moved\.json of this student was not found\. Give images/,
    );
  });

  test("TFLite files are written, run and certified; without trtexec the command for the target is told", async () => {
    vi.stubEnv("TRTEXEC", join(root, "no-trtexec"));
    const folder = fresh();
    const result = await runSeg("optimize", "--model", run, "--format", "tflite", "tensorrt", "--output", folder);
    vi.unstubAllEnvs();
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout).toMatch(
      /tensorrt +int8 UNAVAILABLE: .*no-trtexec is no executable file.* run: trtexec --onnx=/,
    );
    const written = readdirSync(folder);
    for (const precision of ["fp32", "fp16", "int8"]) {
      expect(written).toContain(`model_${precision}.tflite`);
      expect(written).toContain(`model_${precision}_tflite.certificate.json`);
    }
    expect(written).toContain("model_int8_trt.onnx");
    expect(written.filter((name) => name.includes("engine"))).toEqual([]);
    const predictions = fresh();
    const image = join(good.images, (await readdir(good.images))[0]!);
    const found = await runSeg("predict", "--model", join(folder, "model_int8.tflite"), "--output", predictions, image);
    expect(found.code, found.stderr).toBe(0);
    expect(readdirSync(predictions)).toContain("predictions.json");
  });

  test("a network without a TFLite form is refused in words with every node in a file", () => {
    const b = new GraphBuilder();
    const images = b.input("images", DataType.FLOAT, [1, 4, 32, 32]);
    const shape = b.initializer("shape", DataType.INT64, [3], [1, 4, 1024]);
    const rows = b.node("Reshape", [b.node("Erf", [images])[0]!, shape])[0]!;
    b.output(b.node("Concat", [rows, rows], { attributes: { axis: 1 }, outputs: ["output0"] })[0]!);
    const folder = fresh();
    const model = inferShapes(b.build()).model;
    const unsupported = tfliteArtefacts({ model, calibration: null, folder });
    const coverage = join(folder, "model_tflite_coverage.json");
    expect(unsupported).toEqual({
      artefacts: [],
      refusal: `1 nodes have no TFLite form (Erf); ${coverage} lists them.`,
    });
    expect(JSON.parse(readFileSync(coverage, "utf8")).findings).toHaveLength(1);
  });

  test("an unknown format or quantisation", async () => {
    expect(await refuses(["optimize", "--model", run, "--format", "onx"], { exit: 2 })).toBe(
      'error: --format is one of onnx, tensorrt, tflite; got "onx". Did you mean onnx?',
    );
    expect(await refuses(["optimize", "--model", run, "--quantize", "int4"], { exit: 2 })).toBe(
      'error: --quantize is one of int8, fp16, dynamic, none; got "int4". Did you mean int8?',
    );
  });

  test("evaluate with neither a model nor weights", async () => {
    const bare = fresh();
    await cp(join(run, "student.json"), join(bare, "student.json"));
    expect(await refuses(["evaluate", "--student", bare, "--data", good.annotations])).toBe(
      `error: ${bare} holds neither an exported model nor trained weights. Run seg train-student --output ${bare} --resume, then seg optimize --model ${bare}.`,
    );
  });

  test("train-teacher without the SAM it was given", async () => {
    const argv = ["train-teacher", "--data", good.annotations, "--output", fresh(), "--sam", "/nowhere/sam"];
    expect(await refuses(argv)).toContain(
      "No SAM in /nowhere/sam: give a folder with config.json and model.safetensors",
    );
  });
});

describe("predict", () => {
  let model: string;
  beforeAll(async () => {
    const output = fresh();
    const { code } = await runSeg(
      ...["optimize", "--model", run, "--output", output, "--quantize", "none", "--threads", "1"],
    );
    expect(code).toBe(0);
    model = join(output, "model_fp32.onnx");
  }, 300_000);
  const image = (k: number) => join(good.images, `scene-${k}.jpg`);
  const predict = (...more: string[]) => ["predict", "--model", model, "--output", fresh(), ...more];

  test("no image, or one that is missing", async () => {
    expect(await refuses(predict(), { exit: 2 })).toContain("seg predict needs at least one image");
    expect(await refuses(predict(image(0), join(root, "nope.jpg")))).toBe(
      `error: Image ${join(root, "nope.jpg")} was not found. Check the path.`,
    );
  });

  test("a model that is missing or none", async () => {
    const path = join(root, "nope.onnx");
    expect(await refuses(["predict", "--model", path, image(0)])).toContain(`Model ${path} was not found. Export one`);
    expect(await refuses(["predict", "--model", good.annotations, image(0)])).toMatch(
      /Model \S+annotations\.json cannot be opened: .* no ONNX model\. Give a file that seg optimize wrote, such as/,
    );
  });

  test("--dry-run says what would be written and writes nothing; --classes keeps what is named", async () => {
    const output = fresh();
    const plan = await runSeg(...predict("--output", output, image(0), "--dry-run"));
    expect([plan.code, plan.stderr]).toEqual([0, ""]);
    expect(plan.stdout).toContain(join(output, "scene-0.png"));
    expect(existsSync(output)).toBe(false);
    const found = await runSeg(...predict(image(0), "--confidence", "0", "--classes", "bar", "--json"));
    const { images } = JSON.parse(found.stdout.trimEnd().split("\n").at(-1)!);
    const names = images[0].instances.map(({ name }: { name: string }) => name);
    expect(new Set(names)).toEqual(new Set(["bar"]));
    expect(await refuses(predict(image(0), "--classes", "bra"), { exit: 2 })).toMatch(
      /--classes: the model knows no "bra"\. Did you mean "bar"\? It finds bar, square\.$/,
    );
  });

  test("a damaged image alone", async () => {
    const file = join(root, "cut.jpg");
    await cp(image(0), file);
    await truncate(file, 600);
    expect(await refuses(predict(file))).toMatch(/Cannot decode \S+cut\.jpg: .*premature end/);
  });

  test("a damaged image among others costs the others nothing", async () => {
    const file = join(root, "cut-2.jpg");
    await cp(image(0), file);
    await truncate(file, 600);
    const output = fresh();
    const line = failure(await runSeg(...predict("--output", output, image(0), file, image(1))));
    expect(line).toContain("cut-2.jpg");
    expect(line).toContain(`The other 2 are in ${join(output, "predictions.json")}.`);
    expect(readdirSync(output).sort()).toEqual(["annotations.json", "predictions.json", "scene-0.png", "scene-1.png"]);
    const results = JSON.parse(await readFile(join(output, "predictions.json"), "utf8"));
    expect(results.map((r: { file: string }) => r.file)).toEqual([image(0), image(1)]);
  });

  test("images of one name in two folders keep their overlays apart", async () => {
    const other = join(fresh(), "x");
    await mkdir(other, { recursive: true });
    await cp(image(1), join(other, "scene-0.jpg"));
    const output = fresh();
    const { code } = await runSeg(...predict("--output", output, image(0), join(other, "scene-0.jpg")));
    expect(code).toBe(0);
    expect(readdirSync(output).sort()).toEqual([
      "annotations.json",
      "predictions.json",
      "scene-0-2.png",
      "scene-0.png",
    ]);
  });
});
