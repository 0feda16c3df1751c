import { existsSync, readdirSync, statSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runSeg, type SegRun } from "./run-seg.js";
import { HEIGHT, type TinyDocument, WIDTH, writeTinyDataset } from "./tiny-dataset.js";

let root: string;
let count = 0;
/** A trained, exported student for the commands behind training. */
let run: string;
let good: Awaited<ReturnType<typeof writeTinyDataset>>;

const fresh = (): string => join(root, String(count++));
const dataset = (edit: (document: TinyDocument) => void = () => {}) => writeTinyDataset(fresh(), { edit });

/** Micro training; `more` wins over what comes before it. */
const training = (data: string, ...more: string[]): string[] => [
  ...["train-student", "--data", data, "--output", fresh(), "--student", "yolov8p", "--imgsz", "64"],
  ...["--epochs", "1", "--batch", "4", "--threads", "1", ...more],
];

/** Length and time of change of every file below a folder. */
function snapshot(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(folder, path), `${statSync(path).size} ${statSync(path).mtimeMs}`];
    }),
  );
}

/** The one line of an honest failure. */
function failure({ code, stderr }: SegRun, { exit = 1 }: { exit?: number } = {}): string {
  expect(code).toBe(exit);
  const lines = stderr.split("\n").filter((line) => line.startsWith("error: "));
  expect(lines).toHaveLength(1);
  const [line] = lines as [string];
  expect(stderr.endsWith(`${line}\n`)).toBe(true);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(line).not.toMatch(/undefined|\[object|null,|ENOENT|ENOTDIR|EISDIR|NaN|Unexpected|SEG_DEBUG/);
  expect(line).toMatch(/[.)]$/);
  return line;
}

/** Runs a command that must fail, and proves that it changed no file. */
async function refuses(argv: readonly string[], options: { exit?: number; kept?: string } = {}): Promise<string> {
  const kept = options.kept ?? root;
  const before = snapshot(kept);
  const result = await runSeg(...argv);
  const line = failure(result, options);
  expect(snapshot(kept)).toEqual(before);
  return line;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-errors-"));
  good = await dataset();
  run = fresh();
  const trained = await runSeg(...training(good.annotations, "--output", run));
  expect(trained.code).toBe(0);
}, 120_000);
afterAll(() => rm(root, { recursive: true, force: true }));

describe("annotation files", () => {
  test("one that is missing", async () => {
    const path = join(root, "nope.json");
    for (const argv of [["validate", "--data", path], training(path)]) {
      expect(await refuses(argv)).toContain(`${path} was not found or cannot be read. Check the path`);
    }
  });

  test("one that is no JSON: line and column", async () => {
    const path = join(root, "broken.json");
    await writeFile(path, '{"images": [\n {"id": 1,}\n]}');
    for (const argv of [["validate", "--data", path], training(path)]) {
      expect(await refuses(argv)).toMatch(/broken\.json is not JSON: .* at line 2, column 11 .* Fix it there/);
    }
  });

  test("one that is cut off", async () => {
    const { annotations } = await dataset();
    await truncate(annotations, 100);
    expect(await refuses(["validate", "--data", annotations])).toMatch(/The file is cut off: export or download it/);
  });

  test("one that is not COCO: the field", async () => {
    const path = join(root, "results.json");
    await writeFile(path, '{"images": [], "annotations": []}');
    expect(await refuses(["validate", "--data", path])).toMatch(/\/categories is missing, expected an array\. Add/);
  });

  test("an unknown category id: the annotation and its image", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
    });
    for (const argv of [["validate", "--data", annotations], training(annotations)]) {
      const line = await refuses(argv);
      expect(line).toContain(`${annotations} cannot be used: category_id names no category`);
      expect(line).toContain("declare it or correct the id: annotation 4 in scene-1.jpg.");
    }
  });

  test("run lengths of the wrong length: the annotation", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["segmentation"] = { size: [HEIGHT, WIDTH], counts: [10, 10] };
    });
    for (const argv of [["validate", "--data", annotations], training(annotations)]) {
      const line = await refuses(argv);
      expect(line).toContain("do not sum to height * width; re-encode the mask: annotation 5 in scene-2.jpg.");
    }
  });

  test("several kinds of error: the first, and how to see the rest", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
      d.annotations[4]!["bbox"] = [1, 2, 3];
    });
    expect(await refuses(training(annotations))).toMatch(/1 more kinds? of error: seg validate --data \S+ lists/);
  });

  test("a split without images, for training, validation and seg validate", async () => {
    const { annotations } = await dataset((d) => {
      d.images = [];
      d.annotations = [];
    });
    const lists = `${annotations} lists no images. Add images, or split again`;
    expect(await refuses(["validate", "--data", annotations])).toContain(lists);
    expect(await refuses(training(annotations))).toContain(lists);
    expect(await refuses(training(good.annotations, "--val", annotations))).toContain(lists);
  });

  test("images without a single annotation cannot train", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations = [];
    });
    expect(await refuses(training(annotations))).toMatch(
      /annotations\.json has images but no annotations: .* Annotate/,
    );
  });

  test("shares that leave a split empty, or that cannot be read", async () => {
    const split = (shares: string) => ["validate", "--data", good.annotations, "--output", fresh(), "--split", shares];
    expect(await refuses(split("train:0.98,val:0.02"))).toContain("Split val would be empty: 6 images are too few");
    expect(await refuses(split("train:0.98,val"))).toContain('cannot read "val". Write for example');
    expect(await refuses(split("train:0.5,val:0.4"))).toContain("they sum to 0.9, expected 1.");
  });

  test("validation findings are kept beside the refusal, the source untouched", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[3]!["category_id"] = 99;
    });
    const before = await readFile(annotations, "utf8");
    const output = fresh();
    const result = await runSeg("validate", "--data", annotations, "--output", output, "--split", "train:0.5,val:0.5");
    failure(result);
    expect(readdirSync(output)).toEqual(["validation.json"]);
    expect(JSON.parse(await readFile(join(output, "validation.json"), "utf8"))).toMatchObject({
      ok: false,
      split: null,
    });
    expect(await readFile(annotations, "utf8")).toBe(before);
  });
});

describe("data that are odd but usable", () => {
  test("a box without area is named, dropped from the splits and logged", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["bbox"] = [10, 10, 0, 20];
      delete d.annotations[4]!["segmentation"];
    });
    const before = await readFile(annotations, "utf8");
    const output = fresh();
    const { code, stdout, stderr } = await runSeg(
      ...["validate", "--data", annotations, "--output", output, "--split", "train:0.5,val:0.5"],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/warn {2}zero_area \(1\): .*annotation 5 in scene-2\.jpg/);
    expect(stdout).toContain("repaired    annotation 5 of scene-2.jpg: zero_area, dropped");
    const parts = await Promise.all(
      ["train", "val"].map(async (name) => JSON.parse(await readFile(join(output, `${name}.json`), "utf8"))),
    );
    const ids = parts.flatMap((part) => part.annotations.map((a: { id: number }) => a.id)).sort((a, b) => a - b);
    expect(ids).toEqual([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    const patch = (await readFile(join(output, "patch.jsonl"), "utf8")).trimEnd().split("\n");
    expect(patch.map((line) => JSON.parse(line))).toMatchObject([{ id: 5, field: null, code: "zero_area" }]);
    expect(await readFile(annotations, "utf8")).toBe(before);
  });

  test("without a split nothing is claimed to be repaired, without a folder nothing to be written", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations[4]!["bbox"] = [10, 10, 0, 20];
      delete d.annotations[4]!["segmentation"];
    });
    const before = snapshot(root);
    const plain = await runSeg("validate", "--data", annotations);
    expect(plain.stdout).toContain("repairable  annotation 5 of scene-2.jpg");
    const split = await runSeg("validate", "--data", annotations, "--split", "train:0.5,val:0.5");
    expect(split.stdout).toContain("written     nothing: give --output FOLDER to keep the splits");
    expect([plain.code, split.code]).toEqual([0, 0]);
    expect(snapshot(root)).toEqual(before);
  });

  test("a category that never occurs is a warning", async () => {
    const { annotations } = await dataset((d) => {
      d.categories.push({ id: 9, name: "ghost" });
    });
    const { code, stdout, stderr } = await runSeg("validate", "--data", annotations);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("warn  zero_instances (1): Categories that never occur cannot be learned: ghost.");
  });

  test("an image without annotations counts as a negative", async () => {
    const { annotations } = await dataset((d) => {
      d.annotations = d.annotations.filter((a) => a["image_id"] !== 2);
    });
    const { code, stdout, stderr } = await runSeg("validate", "--data", annotations);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("negatives 1;");
    expect(stdout).toMatch(/info {2}images_without_annotations \(1\): .*count as negatives: scene-1\.jpg/);
  });

  test("a picture that EXIF turns upright is no size mismatch", async () => {
    const { annotations, images } = await dataset((d) => {
      Object.assign(d.images[1]!, { width: HEIGHT, height: WIDTH });
      for (const a of d.annotations.filter((a) => a["image_id"] === 2)) {
        a["bbox"] = [5, 5, 20, 20];
        delete a["segmentation"];
      }
    });
    const file = join(images, "scene-1.jpg");
    expect(failure(await runSeg("validate", "--data", annotations))).toContain("scene-1.jpg is 96x64, the document");
    const turned = await sharp(file).withMetadata({ orientation: 6 }).toBuffer();
    await writeFile(file, turned);
    expect((await runSeg("validate", "--data", annotations)).code).toBe(0);
  });
});

describe("image files", () => {
  const damages: [name: string, damage: (file: string) => Promise<void>, asValidated: RegExp, asTrained: RegExp][] = [
    [
      "missing",
      (file) => rm(file),
      /Image files are not in \S+images: scene-2\.jpg\. Restore the file/,
      /Image files are not in \S+images: scene-2\.jpg\. Restore the file/,
    ],
    [
      "empty",
      (file) => writeFile(file, ""),
      /cannot be decoded \(empty file\): scene-2\.jpg\. Replace the file/,
      /cannot be decoded \(empty file\): scene-2\.jpg\. Replace the file/,
    ],
    [
      "truncated",
      (file) => truncate(file, 600),
      /cannot be decoded \(damaged or cut off\): scene-2\.jpg\. Replace the file/,
      /Cannot decode \S+scene-2\.jpg: .*premature end.* Or leave it out with --on-bad-image skip\.$/,
    ],
    [
      "no image at all",
      (file) => writeFile(file, "not an image"),
      /cannot be decoded \(no image that can be read\): scene-2\.jpg\. Replace the file/,
      /Cannot decode \S+scene-2\.jpg: .* Or leave it out with --on-bad-image skip\.$/,
    ],
    [
      "of another size",
      async (file) => writeFile(file, await sharp(file).resize(100, 64, { fit: "fill" }).toBuffer()),
      /scene-2\.jpg is 100x64, the document says 96x64\): scene-2\.jpg\. Correct width and height/,
      /scene-2\.jpg decodes to 100 x 64 px, but its annotations are for 96 x 64\. Correct .* --on-bad-image skip\.$/,
    ],
  ];
  test.each(damages)("%s: refused by name", async (_name, damage, asValidated, asTrained) => {
    const { annotations, images } = await dataset();
    await damage(join(images, "scene-2.jpg"));
    expect(await refuses(["validate", "--data", annotations])).toMatch(asValidated);
    expect(await refuses(training(annotations))).toMatch(asTrained);
  });

  test("with --on-bad-image skip training leaves them out by name, and export goes on", async () => {
    const { annotations, images } = await dataset();
    await rm(join(images, "scene-1.jpg"));
    await truncate(join(images, "scene-2.jpg"), 600);
    const output = fresh();
    const trained = await runSeg(...training(annotations, "--on-bad-image", "skip", "--output", output));
    expect(trained.code).toBe(0);
    const left = trained.stdout.split("\n").filter((line) => line.startsWith("warning: Left out "));
    expect(left.map((line) => /scene-\d\.jpg/.exec(line)?.[0])).toEqual(["scene-1.jpg", "scene-2.jpg"]);
    expect(existsSync(join(output, "weights", "student.safetensors"))).toBe(true);
    const exported = await runSeg("optimize", "--model", output, "--threads", "1", "--quantize", "none");
    expect(exported.code).toBe(0);
    expect(exported.stdout.match(/warning: not used for calibration: .*scene-[12]\.jpg/g)).toHaveLength(2);
  });

  test("a folder without any of the images", async () => {
    expect(await refuses(["validate", "--data", good.annotations, "--images", join(root, "elsewhere")])).toMatch(
      /No image of \S+annotations\.json was found in \S+elsewhere .* Give the folder with --images DIR\.$/,
    );
  });
});

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
    expect(await usage(["validate", "--data", "x", "y"])).toBe('error: seg validate takes no argument "y".');
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
      /--student yolov9 is unknown\. Known: yolov8p, .*fastsam-s\.$/,
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

  test.each(["tflite", "tensorrt"])("--format %s is not available and says so", async (format) => {
    const result = await runSeg("optimize", "--model", run, "--format", format);
    expect(failure(result)).toBe(`error: ${format} export is not available in this version. Use --format onnx.`);
    expect(result.stdout).toMatch(new RegExp(`^${format} +NOT AVAILABLE`));
    expect(existsSync(join(run, "optimized"))).toBe(false);
  });

  test("an unknown format or quantisation", async () => {
    expect(await refuses(["optimize", "--model", run, "--format", "onx"], { exit: 2 })).toContain(
      "Unknown format onx.",
    );
    expect(await refuses(["optimize", "--model", run, "--quantize", "int4"], { exit: 2 })).toBe(
      'error: --quantize is int8 or none, got "int4".',
    );
  });

  test("evaluate without artefacts", async () => {
    expect(await refuses(["evaluate", "--student", run, "--data", good.annotations])).toBe(
      `error: ${run}/optimized holds no model. Run seg optimize --model ${run} first.`,
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
  }, 60_000);
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
      /Model \S+annotations\.json cannot be opened: .* no ONNX model\.$/,
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
    expect(readdirSync(output).sort()).toEqual(["predictions.json", "scene-0.png", "scene-1.png"]);
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
    expect(readdirSync(output).sort()).toEqual(["predictions.json", "scene-0-2.png", "scene-0.png"]);
  });
});
