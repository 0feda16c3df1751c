import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { chmod, cp, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { type createPlayground, writeStudent } from "./playground.js";
import { runSeg } from "./run-seg.js";

type Playground = Awaited<ReturnType<typeof createPlayground>>;

/** A command line that cannot work, and what becomes of it. */
export interface WrongUsage {
  /** What is wrong, for the title. */
  readonly what: string;
  readonly argv: readonly string[];
  readonly exit: 1 | 2 | 3;
  readonly code: string;
  /** What must be so while it runs; returns what undoes it. */
  readonly during?: () => (() => void) | Promise<() => void>;
  /** Parts of the sentence that belong to the machine or the release of Node. */
  readonly masks?: readonly (readonly [RegExp, string])[];
}

/** A disk without a free byte under `folder`; where none may be mounted, writing fails as it would there. */
function fullDisk(folder: string): () => void {
  fs.mkdirSync(folder, { recursive: true });
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]);
  if (mount.status === 0) {
    fs.writeFileSync(join(folder, "ballast"), new Uint8Array(4096));
    return () => void spawnSync("umount", [folder]);
  }
  const { writeSync } = fs;
  fs.writeSync = () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" });
  };
  syncBuiltinESMExports();
  return () => {
    fs.writeSync = writeSync;
    syncBuiltinESMExports();
  };
}

/** Sets a variable of the environment. */
function environment(name: string, value: string): () => void {
  const before = process.env[name];
  process.env[name] = value;
  return () => {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  };
}

/** An administrator may write everywhere: permissions are only seen by somebody else. */
function asNobody(): () => void {
  if (process.geteuid?.() !== 0) return () => {};
  process.seteuid!(65_534);
  return () => process.seteuid!(0);
}

const usage = (what: string, argv: readonly string[]): WrongUsage => ({ what, argv, exit: 2, code: "cli/usage" });
const failure = (what: string, code: string, argv: readonly string[]): WrongUsage => ({ what, argv, exit: 1, code });

/** Wrong usages of every kind, with the files that they need, by headings. */
export async function wrongUsages(
  { root, dataset }: Playground,
  { port }: { /** In use. */ port: number },
): Promise<Record<string, WrongUsage[]>> {
  await chmod(root, 0o755);
  const at = (...parts: string[]) => join(root, ...parts);
  const text = async (name: string, content: string) => {
    await writeFile(at(name), content);
    return at(name);
  };
  const data = async (name: string, ...[edit]: Parameters<typeof dataset>) => {
    const made = await dataset(edit);
    const folder = at(name);
    await rm(folder, { recursive: true, force: true });
    await fs.promises.rename(join(made.annotations, ".."), folder);
    return join(folder, "annotations.json");
  };
  const good = await data("data");
  const picture = at("data", "images", "scene-0.jpg");
  const student = (annotations: string, ...more: string[]) => [
    "train-student",
    "--data",
    annotations,
    "--output",
    at("student"),
    ...more,
  ];

  await mkdir(at("started", "weights"), { recursive: true });
  await mkdir(at("without-teachers"));
  await mkdir(at("read-only"));
  await chmod(at("read-only"), 0o555);
  await writeStudent(at("trained"), "../data");
  await cp(at("trained"), at("damaged"), { recursive: true });
  await cp(at("trained"), at("without-weights"), { recursive: true });
  await rm(join(at("without-weights"), "weights"), { recursive: true });
  await text("damaged/student.json", "{");
  const exported = at("exported", "model_fp32.onnx");
  const { code, stderr } = await runSeg(
    ...["optimize", "--model", at("trained"), "--output", at("exported"), "--quantize", "none", "--threads", "1"],
  );
  if (code !== 0) throw new Error(stderr);

  const noImages = await data("empty", (d) => {
    d.images = [];
    d.annotations = [];
  });
  const noAnnotations = await data("unnamed", (d) => {
    d.annotations = [];
  });
  const stray = await data("stray", (d) => {
    d.annotations[3]!["category_id"] = 99;
  });
  const renamed = await data("renamed", (d) => {
    d.categories[0]!.name = "circle";
  });
  await mkdir(at("mine"));
  await cp(at("data", "images"), at("mine", "images"), { recursive: true });
  const input = await text("mine/train.json", await readFile(good, "utf8"));
  const missing = await data("missing");
  await rm(at("missing", "images", "scene-2.jpg"));
  await mkdir(at("other"));
  await text("other/scene-9.jpg", "no picture");
  const cut = await data("cut");
  await truncate(at("cut", "images", "scene-2.jpg"), 600);

  return {
    "Command lines": [
      usage("an unknown command", ["trian-student"]),
      usage("a typo in a flag", ["validate", "--dat", good]),
      usage("an option under another name", ["train-teacher", "--lora.rnk", "8"]),
      usage("a required option is missing", ["validate"]),
      usage("an option without its value", ["validate", "--data"]),
      usage("a number out of range", student(good, "--mosaic", "3")),
      usage("no number", student(good, "--epochs", "many")),
      usage("an unknown architecture", student(good, "--student", "yolov9n")),
      usage("an unknown format", ["optimize", "--model", "run", "--format", "onx"]),
      usage("an argument where none is taken", ["validate", "--data", good, "now"]),
      usage("an option that needs another one", student(good, "--ablation")),
      usage("options that exclude each other", [
        "augment-preview",
        "--data",
        good,
        "--pipeline",
        "a.yaml",
        "--characteristics",
        "rigid",
      ]),
      usage("an unknown choice of the plan", ["advise", "--data", good, "--set", "studnet=yolov8n"]),
      usage("an unknown shell", ["completion", "bsh"]),
    ],
    "Configuration files": [
      usage("none of that name", student(good, "--config", at("nowhere.yaml"))),
      usage("no YAML", student(good, "--config", await text("broken.yaml", "epochs: [1\nbatch: 4\n"))),
      usage(
        "an unknown key",
        student(good, "--config", await text("unknown-key.yaml", "epochs: 20\nloss_weights:\n  logits: 0.1\n")),
      ),
      usage("a value out of range", student(good, "--config", await text("out-of-range.yaml", "epochs: 0\n"))),
      usage(
        "a list instead of names and values",
        student(good, "--config", await text("list.yaml", "- epochs\n- 20\n")),
      ),
    ],
    Data: [
      failure("a file that does not exist", "coco/file-not-found", ["validate", "--data", at("nowhere.json")]),
      {
        what: "broken JSON",
        argv: ["validate", "--data", await text("broken.json", '{"images": [\n {"id": 1,}\n]}')],
        exit: 1,
        code: "coco/parse",
      },
      failure("another format", "coco/format", ["validate", "--data", picture]),
      failure(
        "JSON that is no COCO",
        "coco/schema",
        student(await text("results.json", '{"images": [], "annotations": []}')),
      ),
      failure("a folder instead of a file", "cli/not-a-file", student(at("data"))),
      failure("a folder without annotations", "coco/format", ["validate", "--data", at("read-only")]),
      failure("an empty file", "coco/format", ["validate", "--data", await text("nothing.json", "")]),
      failure("pictures of another data set", "cli/unusable-data", student(good, "--images", at("other"))),
      failure("no images", "cli/empty-split", student(noImages)),
      failure("no annotations", "cli/no-annotations", student(noAnnotations)),
      failure("a class that is not declared", "cli/unusable-data", student(stray)),
      failure(
        "other class names in another split",
        "cli/classes-differ",
        student(good, "--val", renamed, "--student", "yolov8p", "--imgsz", "64"),
      ),
      failure(
        "no image where they are looked for",
        "cli/images-not-found",
        student(await text("lonely.json", await readFile(good, "utf8"))),
      ),
      failure("a missing image", "cli/unusable-data", student(missing)),
      failure("a cut-off image", "cli/unusable-data", ["validate", "--data", cut]),
      failure("shares of splits that are not one", "coco/split", [
        "validate",
        "--data",
        good,
        "--split",
        "train:0.5,val:0.4",
      ]),
    ],
    "Where results go": [
      failure("the folder holds a run", "cli/run-exists", ["train-student", "--data", good, "--output", at("started")]),
      failure("the folder is a file", "cli/not-a-folder", ["train-student", "--data", good, "--output", picture]),
      {
        ...failure("a folder that may not be written", "EACCES", [
          "validate",
          "--data",
          good,
          "--output",
          at("read-only", "checked"),
        ]),
        during: asNobody,
      },
      {
        ...failure("no space left", "ENOSPC", ["validate", "--data", good, "--output", at("checked")]),
        during: () => fullDisk(at("checked")),
      },
      failure("the input would be overwritten", "cli/would-overwrite-input", [
        ...["validate", "--data", input, "--output", at("mine"), "--split", "train:0.5,val:0.5"],
      ]),
      failure("a file of somebody else would be overwritten", "cli/would-overwrite", [
        ...["validate", "--data", good, "--output", at("mine"), "--split", "train:0.5,val:0.5"],
      ]),
      usage("a picture of another kind", ["augment-preview", "--data", good, "--output", at("sheet.jpg")]),
    ],
    "Teachers and models": [
      failure("no such teacher", "cli/path-not-found", student(good, "--teacher-dir", at("nowhere"))),
      failure(
        "no teacher in the folder",
        "cli/teacher-not-found",
        student(good, "--teacher-dir", at("without-teachers")),
      ),
      failure("an unknown SAM", "cli/sam-not-found", [
        "train-teacher",
        "--data",
        good,
        "--output",
        at("exp"),
        "--sam",
        "sam-vit-bse",
      ]),
      failure("a model that cannot be adapted", "cli/teacher-not-adaptable", [
        "train-teacher",
        "--data",
        good,
        "--output",
        at("exp"),
        "--teacher",
        "sam-vit-base",
      ]),
      failure("no student", "cli/student-not-found", ["optimize", "--model", at("without-teachers")]),
      {
        ...failure("a damaged record of a student", "cli/student-record-damaged", [
          "optimize",
          "--model",
          at("damaged"),
        ]),
        masks: [[/is damaged \(.*?\)\./, "is damaged (...)."]],
      },
      failure("nothing to measure", "cli/artefacts-not-found", [
        "evaluate",
        "--student",
        at("without-weights"),
        "--data",
        good,
      ]),
      failure("no such model", "cli/model-not-found", ["predict", "--model", at("nowhere.onnx"), picture]),
      failure("a file that is no model", "cli/model-unusable", ["predict", "--model", good, picture]),
      usage("no picture", ["predict", "--model", exported]),
      usage("a class that the model does not know", ["predict", "--model", exported, picture, "--classes", "sqare"]),
    ],
    "The machine": [
      {
        ...failure("a GPU that is not there", "cli/gpu-unavailable", student(good, "--gpu", "63")),
        masks: [[/cannot be used: .* Or leave/, "cannot be used: (what the driver says). Or leave"]],
      },
      {
        ...usage("a GPU for an engine that has none", student(good, "--gpu", "0")),
        during: () => environment("SEG_ENGINE", "cpu"),
      },
      {
        ...failure("an engine that does not exist", "ENGINE_CONFIG", student(good)),
        during: () => environment("SEG_ENGINE", "tensorflw"),
      },
      {
        ...failure("a port in use", "cli/port-unavailable", ["serve", "--root", at("hub"), "--port", String(port)]),
        masks: [[/\b\d{4,5}\b/g, "8000"]],
      },
    ],
  };
}

/** Occupies a free port of this machine. */
export async function occupyPort(): Promise<{ port: number; free(): void }> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, free: () => void server.close() };
}
