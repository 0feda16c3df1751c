import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { createClassMapping } from "@seg/coco-dataset";
import {
  buildTeacherCache,
  isMaskStudent,
  STUDENT_IDS,
  type StudentId,
  selectStudent,
  type TeacherCache,
  trainStudent,
} from "@seg/distill";
import type { OptionSpecs, OptionValues } from "../args.js";
import { loadSplit } from "../data.js";
import { startEngine } from "../engine.js";
import { CommandError, UsageError } from "../errors.js";
import { writeJson } from "../files.js";
import type { CommandContext } from "../main.js";
import type { Output } from "../output.js";
import { type StudentRecord, studentRecordFile } from "../student-record.js";
import { loadMaskTeacher } from "../teacher/mask-teacher.js";
import { followTraining } from "../training-output.js";

export const trainStudentOptions: OptionSpecs = {
  data: { type: "string", required: true, help: "training split (COCO .json)" },
  val: { type: "string", help: "validation split" },
  images: { type: "string", help: "folder of the images of both splits" },
  "teacher-dir": {
    type: "string",
    help: "experiment with adapted teachers; without it the student learns from the labels alone",
  },
  output: { type: "string", required: true, help: "run directory of the student", aliases: ["output-dir"] },
  student: { type: "string", help: `architecture; chosen from the data when absent (${STUDENT_IDS.join(", ")})` },
  edge: { type: "boolean", fallback: false, help: "choose the nano networks" },
  imgsz: {
    type: "number",
    range: { integer: true, min: 32, multipleOf: 32 },
    fallback: 640,
    help: "input side in pixels, a multiple of 32",
  },
  epochs: { type: "number", range: { integer: true, min: 1 }, fallback: 100, help: "epochs" },
  batch: {
    type: "number",
    range: { integer: true, min: 1 },
    fallback: 16,
    help: "images per step",
    aliases: ["batch-size"],
  },
  seed: {
    type: "number",
    range: { integer: true, min: 0 },
    fallback: 0,
    help: "initial weights, order and augmentation",
    aliases: ["random-seed"],
  },
  lr: {
    type: "number",
    range: { above: 0 },
    help: "AdamW learning rate; from the number of classes and iterations when absent",
  },
  weights: { type: "string", help: "initial weights (.safetensors)" },
  mosaic: { type: "number", range: { min: 0, max: 1 }, help: "probability of a mosaic [augment default]" },
  scale: { type: "number", range: { min: 0, below: 1 }, help: "random scale +- this share" },
  translate: { type: "number", range: { min: 0, max: 1 }, help: "random shift, share of the side" },
  fliplr: { type: "number", range: { min: 0, max: 1 }, help: "probability of a horizontal flip" },
  flipud: { type: "number", range: { min: 0, max: 1 }, help: "probability of a vertical flip" },
  "close-mosaic": {
    type: "number",
    range: { integer: true, min: 0 },
    help: "last epochs without mosaic [min(10, 10 %)]",
  },
  "bn-momentum": { type: "number", range: { above: 0, max: 1 }, help: "momentum of batch normalisation [0.03]" },
  "kd-mask": { type: "number", range: { min: 0 }, help: "gain of the mask distillation term" },
  "eval-interval": {
    type: "number",
    range: { integer: true, min: 1 },
    fallback: 1,
    help: "epochs between evaluations",
  },
  patience: {
    type: "number",
    range: { integer: true, min: 0 },
    help: "evaluated epochs without improvement before stopping; 0 never stops",
  },
  threads: { type: "number", range: { integer: true, min: 1 }, help: "threads of the engine [cores]" },
  resume: { type: "boolean", fallback: false, help: "go on from the newest checkpoint of --output" },
  "on-bad-image": {
    type: "string",
    fallback: "error",
    help: "error: stop and name it; skip: leave it out with a warning",
  },
};

/** Files that a run writes before its first epoch has ended, and after. */
const RUN_FILES = ["args.yaml", "class_mapping.json", "checkpoints.json", "results.csv", "weights"];

/**
 * What `--output` holds.
 * @throws {@link CommandError} `cli/not-a-folder`, and without --resume `cli/run-exists`
 */
function inspectOutput(directory: string, { resume }: { resume: boolean }): { hasRun: boolean; isEmpty: boolean } {
  if (!existsSync(directory)) return { hasRun: false, isEmpty: true };
  if (!statSync(directory).isDirectory()) {
    throw new CommandError({
      code: "cli/not-a-folder",
      message: `--output ${directory} is a file. Give a folder for the training run.`,
    });
  }
  const hasRun = RUN_FILES.some((name) => existsSync(join(directory, name)));
  if (hasRun && !resume) {
    throw new CommandError({
      code: "cli/run-exists",
      message: `${directory} already holds a training run. Continue it with --resume or choose another --output.`,
    });
  }
  return { hasRun, isEmpty: readdirSync(directory).length === 0 };
}

/** Options that are given, under their configuration names. */
function pick<T extends string>(options: OptionValues, names: Record<T, string>): Partial<Record<T, number>> {
  const result: Partial<Record<T, number>> = {};
  for (const [key, name] of Object.entries(names) as [T, string][]) {
    const value = options[name];
    if (typeof value === "number") result[key] = value;
  }
  return result;
}

/** Distils a prompt-free student: labels, and masks of the adapted teacher where there is one. */
export async function trainStudentCommand(
  options: OptionValues,
  output: Output,
  { signal }: CommandContext,
): Promise<void> {
  const directory = options["output"] as string;
  const images = options["images"] as string | undefined;
  const onBadImage = options["on-bad-image"];
  if (onBadImage !== "error" && onBadImage !== "skip")
    throw new UsageError(`--on-bad-image is error or skip, got "${String(onBadImage)}".`);
  const wanted = options["student"] as string | undefined;
  if (wanted !== undefined && !STUDENT_IDS.includes(wanted as StudentId)) {
    throw new UsageError(`--student ${wanted} is unknown. Known: ${STUDENT_IDS.join(", ")}.`);
  }
  const resume = options["resume"] as boolean;
  const { hasRun, isEmpty } = inspectOutput(directory, { resume });
  const weights = options["weights"] as string | undefined;
  const teacherDir = options["teacher-dir"] as string | undefined;
  for (const [name, path] of Object.entries({ weights, "teacher-dir": teacherDir })) {
    if (path === undefined || existsSync(path)) continue;
    throw new CommandError({
      code: "cli/path-not-found",
      message: `--${name} ${path} was not found. Check the path or leave the option out.`,
    });
  }
  const load = (path: string) => loadSplit(path, images, { onBadImage });
  const train = await load(options["data"] as string);
  const val = options["val"] === undefined ? null : await load(options["val"] as string);
  if (train.dataset.annotations.length === 0) {
    throw new CommandError({
      code: "cli/no-annotations",
      message: `${train.path} has images but no annotations: there is nothing to learn. Annotate objects or give another --data.`,
    });
  }
  const decision = selectStudent(train.inspection, {
    edge: options["edge"] as boolean,
    student: (wanted as StudentId | undefined) ?? null,
  });
  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  for (const reason of decision.reasons) output.line(`student     ${reason}`);
  output.line(`engine      ${engine.name} ${engine.version}, ${engine.threads} threads`);

  const mapping = createClassMapping(train.dataset);
  let teacher: TeacherCache | null = null;
  if (teacherDir !== undefined && isMaskStudent(decision.id)) {
    const found = await loadMaskTeacher(teacherDir);
    if (found === null) {
      output.line(
        `teacher     ${teacherDir} holds no mask teacher: no distillation terms, the student learns from the labels alone`,
      );
    } else {
      teacher = await buildTeacherCache({
        teacher: found.teacher,
        dataset: train.dataset,
        imagesDir: train.imagesDir,
        dir: join(teacherDir, "teacher_cache"),
        mapping,
        onBadImage,
        onProgress: ({ done, total }) => output.progress({ label: "teacher cache", done, total }),
        signal,
      });
      found.dispose();
      output.line(`teacher     ${found.teacher.id}: soft masks cached in ${join(teacherDir, "teacher_cache")}`);
    }
  } else if (teacherDir !== undefined) {
    const decisionFile = join(teacherDir, "teachers", "decisions.json");
    const known = existsSync(decisionFile)
      ? (JSON.parse(readFileSync(decisionFile, "utf8")) as { unavailable?: string[] })
      : {};
    output.line(
      `teacher     ${decision.id} has no masks to distil${known.unavailable?.length ? ` and ${known.unavailable.join(", ")} is not available` : ""}: labels alone`,
    );
  }

  const epochs = options["epochs"] as number;
  const batch = options["batch"] as number;
  const imgsz = options["imgsz"] as number;
  const patience = options["patience"] as number | undefined;
  const lr = options["lr"] as number | undefined;
  const kdMask = options["kd-mask"] as number | undefined;
  const closeMosaic = options["close-mosaic"] as number | undefined;
  const bnMomentum = options["bn-momentum"] as number | undefined;
  const seed = options["seed"] as number;
  if (resume && !hasRun) output.line(`resume      ${directory} holds no run yet: starting from the beginning`);
  const result = await followTraining(
    trainStudent(
      {
        student: decision.id,
        train: { dataset: train.dataset, imagesDir: train.imagesDir },
        ...(val === null ? {} : { val: { dataset: val.dataset, imagesDir: val.imagesDir } }),
        directory,
        mapping,
        imgsz,
        epochs,
        batch,
        seed,
        onBadImage,
        // A new run beside foreign files (a log, a split) would go to a folder with a suffix; resuming nothing keeps the folder.
        resume: resume || !isEmpty,
        ...(lr === undefined ? {} : { optimizer: { kind: "adamw" as const, lr } }),
        ...(weights === undefined ? {} : { weights }),
        ...(closeMosaic === undefined ? {} : { closeMosaic }),
        ...(bnMomentum === undefined ? {} : { bnMomentum }),
        ...(kdMask === undefined ? {} : { gains: { kdMask } }),
        ...(teacher === null ? {} : { teacher }),
        augment: pick(options, {
          mosaic: "mosaic",
          scale: "scale",
          translate: "translate",
          fliplr: "fliplr",
          flipud: "flipud",
        }),
        evaluation: { interval: options["eval-interval"] as number },
        ...(patience === undefined
          ? {}
          : { checkpoint: { early_stopping: patience === 0 ? { enabled: false } : { enabled: true, patience } } }),
      },
      { signal },
    ),
    {
      output,
      label: decision.id,
      stepsPerEpoch: Math.ceil(train.dataset.images.length / Math.min(batch, train.dataset.images.length)),
    },
  );
  const record: StudentRecord = {
    version: 1,
    student: decision.id,
    imgsz,
    seed,
    epochs: result.epoch,
    reason: result.reason,
    classes: mapping.classes,
    decision: decision.reasons,
    teacher: teacher === null ? null : { id: teacher.teacherId, hash: teacher.teacherHash },
    train: { data: relative(directory, resolve(train.path)), images: relative(directory, train.imagesDir) },
    val:
      val === null
        ? null
        : { data: relative(directory, resolve(val.path)), images: relative(directory, val.imagesDir) },
  };
  writeJson(studentRecordFile(directory), record);
  output.line(
    `student     ${result.reason} after epoch ${result.epoch}; weights in ${join(directory, "weights", "student.safetensors")}`,
  );
  output.result({
    command: "train-student",
    student: decision.id,
    reason: result.reason,
    epoch: result.epoch,
    metrics: result.metrics,
    best: result.best,
  });
}
