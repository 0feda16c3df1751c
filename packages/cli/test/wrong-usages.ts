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
  /** The command has written something before it is refused, and says so. */
  readonly writes?: boolean;
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

/** An administrator may write everywhere: permissions are only seen by somebody else. */
function asNobody(): () => void {
  if (process.geteuid?.() !== 0) return () => {};
  process.seteuid!(65_534);
  return () => process.seteuid!(0);
}

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
  const missing = await data("missing");
  await rm(at("missing", "images", "scene-2.jpg"));
  const cut = await data("cut");
  await truncate(at("cut", "images", "scene-2.jpg"), 600);

  return {
    "Command lines": [
      { what: "an unknown command", argv: ["trian-student"], exit: 2, code: "cli/usage" },
      { what: "a typo in a flag", argv: ["validate", "--dat", good], exit: 2, code: "cli/usage" },
      { what: "an option under another name", argv: ["train-teacher", "--lora.rnk", "8"], exit: 2, code: "cli/usage" },
      { what: "a required option is missing", argv: ["validate"], exit: 2, code: "cli/usage" },
      { what: "an option without its value", argv: ["validate", "--data"], exit: 2, code: "cli/usage" },
      { what: "a number out of range", argv: student(good, "--mosaic", "3"), exit: 2, code: "cli/usage" },
      { what: "no number", argv: student(good, "--epochs", "many"), exit: 2, code: "cli/usage" },
      { what: "an unknown architecture", argv: student(good, "--student", "yolov9n"), exit: 2, code: "cli/usage" },
      {
        what: "an unknown format",
        argv: ["optimize", "--model", "run", "--format", "onx"],
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "an argument where none is taken",
        argv: ["validate", "--data", good, "now"],
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "an option that needs another one",
        argv: student(good, "--ablation"),
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "options that exclude each other",
        argv: ["augment-preview", "--data", good, "--pipeline", "a.yaml", "--characteristics", "rigid"],
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "an unknown choice of the plan",
        argv: ["advise", "--data", good, "--set", "studnet=yolov8n"],
        exit: 2,
        code: "cli/usage",
      },
      { what: "an unknown shell", argv: ["completion", "bsh"], exit: 2, code: "cli/usage" },
    ],
    "Configuration files": [
      { what: "none of that name", argv: student(good, "--config", at("nowhere.yaml")), exit: 2, code: "cli/usage" },
      {
        what: "no YAML",
        argv: student(good, "--config", await text("broken.yaml", "epochs: [1\nbatch: 4\n")),
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "an unknown key",
        argv: student(good, "--config", await text("unknown-key.yaml", "epochs: 20\nloss_weights:\n  logits: 0.1\n")),
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "a value out of range",
        argv: student(good, "--config", await text("out-of-range.yaml", "epochs: 0\n")),
        exit: 2,
        code: "cli/usage",
      },
      {
        what: "a list instead of names and values",
        argv: student(good, "--config", await text("list.yaml", "- epochs\n- 20\n")),
        exit: 2,
        code: "cli/usage",
      },
    ],
    Data: [
      {
        what: "a file that does not exist",
        argv: ["validate", "--data", at("nowhere.json")],
        exit: 1,
        code: "coco/file-not-found",
      },
      {
        what: "broken JSON",
        argv: ["validate", "--data", await text("broken.json", '{"images": [\n {"id": 1,}\n]}')],
        exit: 1,
        code: "coco/parse",
      },
      { what: "another format", argv: ["validate", "--data", picture], exit: 1, code: "coco/format" },
      {
        what: "JSON that is no COCO",
        argv: student(await text("results.json", '{"images": [], "annotations": []}')),
        exit: 1,
        code: "coco/schema",
      },
      { what: "no images", argv: student(noImages), exit: 1, code: "cli/empty-split" },
      { what: "no annotations", argv: student(noAnnotations), exit: 1, code: "cli/no-annotations" },
      { what: "a class that is not declared", argv: student(stray), exit: 1, code: "cli/unusable-data" },
      {
        what: "other class names in another split",
        argv: student(good, "--val", renamed, "--student", "yolov8p", "--imgsz", "64"),
        exit: 1,
        code: "cli/classes-differ",
      },
      {
        what: "no image where they are looked for",
        argv: student(await text("lonely.json", await readFile(good, "utf8"))),
        exit: 1,
        code: "cli/images-not-found",
      },
      { what: "a missing image", argv: student(missing), exit: 1, code: "cli/unusable-data" },
      { what: "a cut-off image", argv: ["validate", "--data", cut], exit: 1, code: "cli/unusable-data" },
      {
        what: "shares of splits that are not one",
        argv: ["validate", "--data", good, "--split", "train:0.5,val:0.4"],
        exit: 1,
        code: "coco/split",
      },
    ],
    "Where results go": [
      {
        what: "the folder holds a run",
        argv: ["train-student", "--data", good, "--output", at("started")],
        exit: 1,
        code: "cli/run-exists",
      },
      {
        what: "the folder is a file",
        argv: ["train-student", "--data", good, "--output", picture],
        exit: 1,
        code: "cli/not-a-folder",
      },
      {
        what: "a folder that may not be written",
        argv: ["validate", "--data", good, "--output", at("read-only", "checked")],
        exit: 1,
        code: "EACCES",
        during: asNobody,
      },
      {
        what: "no space left",
        argv: ["validate", "--data", good, "--output", at("checked")],
        exit: 1,
        code: "ENOSPC",
        during: () => fullDisk(at("checked")),
      },
      {
        what: "the input would be overwritten",
        argv: ["validate", "--data", at("data", "train.json"), "--output", at("data"), "--split", "train:0.5,val:0.5"],
        exit: 1,
        code: "cli/would-overwrite-input",
        writes: true,
        during: async () => {
          await cp(good, at("data", "train.json"));
          return () => {};
        },
      },
      {
        what: "a picture of another kind",
        argv: ["augment-preview", "--data", good, "--output", at("sheet.jpg")],
        exit: 2,
        code: "cli/usage",
      },
    ],
    "Teachers and models": [
      {
        what: "no such teacher",
        argv: student(good, "--teacher-dir", at("nowhere")),
        exit: 1,
        code: "cli/path-not-found",
      },
      {
        what: "no teacher in the folder",
        argv: student(good, "--teacher-dir", at("without-teachers")),
        exit: 1,
        code: "cli/teacher-not-found",
      },
      {
        what: "an unknown SAM",
        argv: ["train-teacher", "--data", good, "--output", at("exp"), "--sam", "sam-vit-bse"],
        exit: 1,
        code: "cli/sam-not-found",
      },
      {
        what: "a model that cannot be adapted",
        argv: ["train-teacher", "--data", good, "--output", at("exp"), "--teacher", "sam-vit-base"],
        exit: 1,
        code: "cli/teacher-not-adaptable",
      },
      {
        what: "no student",
        argv: ["optimize", "--model", at("without-teachers")],
        exit: 1,
        code: "cli/student-not-found",
      },
      {
        what: "a damaged record of a student",
        argv: ["optimize", "--model", at("damaged")],
        exit: 1,
        code: "cli/student-record-damaged",
        masks: [[/is damaged \(.*?\)\./, "is damaged (...)."]],
      },
      {
        what: "nothing exported yet",
        argv: ["evaluate", "--student", at("trained"), "--data", good],
        exit: 1,
        code: "cli/artefacts-not-found",
      },
      {
        what: "no such model",
        argv: ["predict", "--model", at("nowhere.onnx"), picture],
        exit: 1,
        code: "cli/model-not-found",
      },
      {
        what: "a file that is no model",
        argv: ["predict", "--model", good, picture],
        exit: 1,
        code: "cli/model-unusable",
      },
      { what: "no picture", argv: ["predict", "--model", exported], exit: 2, code: "cli/usage" },
      {
        what: "a class that the model does not know",
        argv: ["predict", "--model", exported, picture, "--classes", "sqare"],
        exit: 2,
        code: "cli/usage",
      },
    ],
    "The machine": [
      {
        what: "a GPU that is not there",
        argv: student(good, "--gpu", "63"),
        exit: 1,
        code: "cli/gpu-unavailable",
        masks: [[/cannot be used: .* Or leave/, "cannot be used: (what the driver says). Or leave"]],
      },
      {
        what: "a port in use",
        argv: ["serve", "--root", at("hub"), "--port", String(port)],
        exit: 1,
        code: "cli/port-unavailable",
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
