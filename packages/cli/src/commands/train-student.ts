import { existsSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { type ClassMapping, createClassMapping } from "@seg/coco-dataset";
import {
  type Augmentation,
  ablate,
  autoStudentBatch,
  createStudent,
  type DistillationData,
  isMaskStudent,
  loadWeights,
  prepareDistillation,
  STUDENT_IDS,
  type StudentData,
  type StudentDecision,
  type StudentId,
  selectStudent,
  studentTeacher,
  type Teachers,
  type TrainStudentConfig,
  trainStudent,
} from "@seg/distill";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { configYaml } from "../config-yaml.js";
import { checkSameClasses, type LoadedSplit, loadSplit } from "../data.js";
import { type DryRun, reportDryRun } from "../dry-run.js";
import { checkGpu, startEngine } from "../engine.js";
import { CommandError, UsageError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import { configOption, DATA, dryRunOption, engineOptions, grouped, HOW } from "../option-specs.js";
import type { Output } from "../output.js";
import { type ChosenTeachers, chooseTeachers } from "../student/choose-teachers.js";
import { loadUnlabelled } from "../student/unlabelled-images.js";
import { type StudentRecord, studentRecordFile } from "../student-record.js";
import { followTraining } from "../training-output.js";

const probability = { min: 0, max: 1 };
const KL = ["sigmoid", "binary", "softmax"] as const;
const FEATURE = ["pkd", "cwd"] as const;
const ASSISTANTS = ["s", "m"] as const;
const weight = (what: string, usual: number) =>
  ({ type: "number", range: { min: 0 }, help: `weight of ${what}`, usual }) as const;

export const trainStudentOptions: OptionSpecs = {
  ...grouped(DATA, {
    data: { type: "string", path: "file", required: true, help: "training split (COCO .json)" },
    val: { type: "string", path: "file", help: "validation split" },
    images: { type: "string", path: "folder", help: "folder of the images of both splits" },
    unlabelled: {
      type: "string",
      path: "file",
      help: "further images that the teacher names: a folder or a COCO .json",
      aliases: ["unlabeled"],
    },
    "non-exhaustive": {
      type: "boolean",
      fallback: false,
      help: "objects may be missing in the annotations: the teacher adds them",
    },
    "teacher-dir": {
      type: "string",
      path: "folder",
      help: "experiment with adapted teachers; without it the student learns from the labels alone",
    },
    output: {
      type: "string",
      path: "folder",
      required: true,
      help: "run directory of the student",
      aliases: ["output-dir"],
    },
    "on-bad-image": {
      type: "string",
      fallback: "error",
      choices: ["error", "skip"],
      help: "error: stop and name it; skip: leave it out with a warning",
    },
  }),
  ...grouped("Student", {
    student: { type: "string", choices: STUDENT_IDS, help: "architecture", usual: "chosen from the data" },
    edge: { type: "boolean", fallback: false, help: "choose the nano networks" },
    imgsz: {
      type: "number",
      range: { integer: true, min: 32, multipleOf: 32 },
      fallback: 640,
      help: "input side in pixels, a multiple of 32",
    },
    weights: { type: "string", path: "file", help: "initial weights (.safetensors)" },
    "allow-teacher-masks": {
      type: "boolean",
      fallback: false,
      help: "a mask student on data with boxes only: the teacher draws the masks",
    },
    assistant: {
      type: "string",
      choices: ASSISTANTS,
      help: "s or m: first train a student of this size, which then teaches the wanted one (teacher, assistant, student)",
    },
  }),
  ...grouped("Training", {
    epochs: { type: "number", range: { integer: true, min: 1 }, fallback: 100, help: "rounds over the images" },
    batch: {
      type: "number",
      range: { integer: true, min: 1 },
      fallback: 16,
      help: "images per step",
      aliases: ["batch-size"],
    },
    "auto-batch": {
      type: "boolean",
      fallback: false,
      help: "the largest batch, a power of two, whose step fits into 40 % of the memory, instead of --batch",
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
      help: "AdamW learning rate",
      usual: "from the number of classes and iterations",
      aliases: ["learning-rate"],
    },
    "bn-momentum": {
      type: "number",
      range: { above: 0, max: 1 },
      help: "momentum of batch normalisation",
      usual: 0.03,
    },
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
    shards: {
      type: "number",
      range: { integer: true, min: 1 },
      fallback: 1,
      help: "parts of a batch that are trained at once, a core each; results depend on it",
    },
  }),
  ...grouped("Augmentation", {
    characteristics: {
      type: "list",
      help: "what the objects are like (seg augment-preview shows it), instead of the usual augmentation",
    },
    mosaic: { type: "number", range: probability, help: "probability of a mosaic", usual: 0.5 },
    mixup: { type: "number", range: probability, help: "probability of a blend with another image", usual: 0.1 },
    "copy-paste": {
      type: "number",
      range: probability,
      help: "probability of pasted objects, with masks",
      usual: 0.15,
    },
    scale: { type: "number", range: { min: 0, below: 1 }, help: "random scale +- this share", usual: 0.5 },
    translate: { type: "number", range: probability, help: "random shift, share of the side", usual: 0.1 },
    fliplr: { type: "number", range: probability, help: "probability of a horizontal flip", usual: 0.5 },
    flipud: { type: "number", range: probability, help: "probability of a vertical flip", usual: 0 },
    "close-mosaic": {
      type: "number",
      range: { integer: true, min: 0 },
      help: "last epochs without mixed images; distillation fades out in them",
      usual: "min(10, 10 %)",
    },
  }),
  ...grouped("Distillation", {
    "loss_weights.detection": weight("boxes and classes", 0.3),
    "loss_weights.segmentation": weight("masks", 0.3),
    "loss_weights.logit": weight("what the teacher says", 0.2),
    "loss_weights.feature": weight("the teacher's features", 0.2),
    normalize: {
      type: "string",
      fallback: "task",
      choices: ["task", "none"],
      help: "task: weights relative to the larger task weight; none: as written",
    },
    "kd-cls": { type: "number", range: { min: 0 }, help: "gain of the teacher's class scores; 0 switches them off" },
    "kd-box": { type: "number", range: { min: 0 }, help: "gain of the teacher's boxes" },
    "kd-mask": { type: "number", range: { min: 0 }, help: "gain of the mask distillation term" },
    "kd-feat": { type: "number", range: { min: 0 }, help: "gain of the teacher's features; off unless given" },
    kl: { type: "string", fallback: "sigmoid", choices: KL, help: "form of the class term" },
    temperature: { type: "number", range: { above: 0 }, help: "of the softmax form", usual: 4 },
    "sigmoid-temperature": { type: "number", range: { above: 0 }, help: "of the other forms and of masks", usual: 1 },
    "soft-targets": { type: "number", range: probability, help: "share of the teacher in class targets", usual: 0.3 },
    feature: { type: "string", fallback: "pkd", choices: FEATURE, help: "form of the feature term" },
    "pseudo-score": {
      type: "number",
      range: probability,
      help: "lowest score of a label that the teacher adds",
      usual: "0.6, or 0.35 where no annotation calibrates",
    },
    "sweep-scores": {
      type: "boolean",
      fallback: false,
      help: "instead of --pseudo-score, per class the score of the best F1 on the annotated images",
    },
    "ignore-score": {
      type: "number",
      range: probability,
      help: "from this score on a place is not background",
      usual: 0.1,
    },
    ablation: {
      type: "boolean",
      fallback: false,
      help: "train the control arms (labels only, + teacher's labels, + scores, + boxes, + masks, + features) and compare",
    },
    "ablation-seeds": { type: "number", range: { integer: true, min: 2 }, fallback: 2, help: "seeds of every arm" },
  }),
  ...grouped(HOW, {
    "no-plots": { type: "boolean", fallback: false, help: "no pictures of the run when it ends" },
    tensorboard: { type: "boolean", fallback: false, help: "TensorBoard events beside results.csv" },
  }),
  ...engineOptions,
  ...configOption,
  resume: {
    type: "boolean",
    fallback: false,
    help: "go on from the newest checkpoint of --output, or begin where there is none",
    group: HOW,
  },
  ...dryRunOption,
};

/** Files that a run writes before its first epoch has ended, and after. */
const RUN_FILES = ["args.yaml", "class_mapping.json", "checkpoints.json", "results.csv", "weights"];

/**
 * Whether `--output` holds a run.
 * @throws {@link CommandError} `cli/not-a-folder`, and without --resume `cli/run-exists`
 */
function inspectOutput(directory: string, { resume }: { resume: boolean }): boolean {
  if (!existsSync(directory)) return false;
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
  return hasRun;
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

/** @throws {@link UsageError}, {@link CommandError} `cli/path-not-found` */
function checkOptions(options: OptionValues): void {
  if (options["sweep-scores"] === true && options["pseudo-score"] !== undefined)
    throw new UsageError("--sweep-scores finds the scores that --pseudo-score would set: give one of them.");
  for (const name of ["weights", "teacher-dir", "unlabelled"]) {
    const path = options[name] as string | undefined;
    if (path === undefined || existsSync(path)) continue;
    throw new CommandError({
      code: "cli/path-not-found",
      message: `--${name} ${path} was not found. Check the path or leave the option out.`,
    });
  }
  const experiment = options["teacher-dir"] as string | undefined;
  if (experiment !== undefined && !existsSync(join(experiment, "teachers"))) {
    throw new CommandError({
      code: "cli/teacher-not-found",
      message: `${experiment} holds no adapted teacher (no folder teachers). Run seg train-teacher --output ${experiment} first, or leave --teacher-dir out to learn from the labels alone.`,
    });
  }
  if (options["ablation"] === true && options["val"] === undefined)
    throw new UsageError("--ablation compares the arms on a validation split: give --val.");
}

/** Everything of a training that follows from the options. */
function trainingOptions(options: OptionValues): Omit<TrainStudentConfig, "student" | "train" | "directory"> {
  const patience = options["patience"] as number | undefined;
  const lr = options["lr"] as number | undefined;
  const weights = options["weights"] as string | undefined;
  const characteristics = options["characteristics"] as readonly string[] | undefined;
  const mixing = pick(options, { mosaic: "mosaic", mixup: "mixup", copy_paste: "copy-paste" });
  const augment: Augmentation =
    characteristics === undefined
      ? pick(options, {
          ...{ mosaic: "mosaic", mixup: "mixup", copyPaste: "copy-paste" },
          ...{ scale: "scale", translate: "translate", fliplr: "fliplr", flipud: "flipud" },
        })
      : { characteristics, distillation: mixing };
  return {
    imgsz: options["imgsz"] as number,
    epochs: options["epochs"] as number,
    batch: options["batch"] as number,
    shards: options["shards"] as number,
    seed: options["seed"] as number,
    onBadImage: options["on-bad-image"] as "error" | "skip",
    ...(lr === undefined ? {} : { optimizer: { kind: "adamw" as const, lr } }),
    ...(weights === undefined ? {} : { weights }),
    ...pick(options, { closeMosaic: "close-mosaic", bnMomentum: "bn-momentum" }),
    lossWeights: pick(options, {
      detection: "loss_weights.detection",
      segmentation: "loss_weights.segmentation",
      logit: "loss_weights.logit",
      feature: "loss_weights.feature",
    }),
    normalize: options["normalize"] as "task" | "none",
    gains: pick(options, { kdCls: "kd-cls", kdBox: "kd-box", kdMask: "kd-mask", kdFeat: "kd-feat" }),
    forms: {
      kl: options["kl"] as (typeof KL)[number],
      feature: options["feature"] as (typeof FEATURE)[number],
      ...pick(options, {
        temperature: "temperature",
        sigmoidTemperature: "sigmoid-temperature",
        softTargets: "soft-targets",
      }),
    },
    augment,
    evaluation: { interval: options["eval-interval"] as number },
    plots: options["no-plots"] !== true,
    tensorboard: options["tensorboard"] === true,
    ...(patience === undefined
      ? {}
      : { checkpoint: { early_stopping: patience === 0 ? { enabled: false } : { enabled: true, patience } } }),
  };
}

/** Comments of `distillation_config.yaml`: the classes, and what was chosen. */
function configComments({
  decision,
  mapping,
  notes,
}: {
  decision: StudentDecision;
  mapping: ClassMapping;
  notes: readonly string[];
}): string[] {
  const facts = {
    student: decision.id,
    num_classes: mapping.classes.length,
    class_mapping: Object.fromEntries(mapping.classes.map(({ index, name }) => [index, name])),
    category_ids: mapping.classes.map(({ categoryId }) => categoryId),
  };
  return [
    ...Object.entries(facts).map(([key, value]) => `${key}: ${JSON.stringify(value)}`),
    ...decision.reasons,
    ...notes,
  ];
}

/** What the annotations hold, with what the teacher can add where nobody annotated. */
function factsOf({ inspection }: LoadedSplit, { teachers }: ChosenTeachers, isUnnamed: boolean) {
  if (!isUnnamed) return inspection;
  const hasBoxes = teachers.detector !== undefined;
  return { ...inspection, hasBoxes, hasMasks: hasBoxes && teachers.masks !== undefined };
}

/** What `--dry-run` says. */
function planOf({
  options,
  decision,
  chosen,
  train,
  val,
  unlabelled,
  hasRun,
  directory,
}: {
  options: OptionValues;
  decision: StudentDecision;
  chosen: ChosenTeachers | null;
  train: LoadedSplit;
  val: LoadedSplit | null;
  unlabelled: StudentData | null;
  hasRun: boolean;
  directory: string;
}): DryRun {
  const [first, ...others] = decision.reasons.map((reason) => reason.replace(`${decision.id}: `, ""));
  const count = train.dataset.images.length + (unlabelled?.dataset.images.length ?? 0);
  const batch = Math.min(options["batch"] as number, count);
  const epochs = options["epochs"] as number;
  const at = (...parts: string[]) => join(directory, ...parts);
  const listens = chosen !== null && Object.keys(chosen.teachers).length > 0;
  const assistant = options["assistant"] as (typeof ASSISTANTS)[number] | undefined;
  const cache = join((options["teacher-dir"] as string | undefined) ?? "", "teacher_cache");
  return {
    decisions: [
      { what: "student", choice: decision.id, why: [first!, ...others].join("; ") },
      ...(chosen?.reasons ?? ["no --teacher-dir: the labels alone"]).map((why) => ({
        ...{ what: "teacher", choice: listens ? "listened to" : "none", why },
      })),
      {
        what: "run",
        choice: hasRun ? "goes on" : "new",
        why: hasRun ? `${directory} holds a run and --resume is given` : `${directory} holds no run`,
      },
    ],
    steps: [
      ...(listens ? [`ask the teachers about ${count} images, or read their answers from ${cache}`] : []),
      ...(assistant === undefined ? [] : [`train the assistant ${sized(decision.id, assistant)} first`]),
      `train ${decision.id} for ${epochs} epochs of ${Math.ceil(count / batch)} steps, ${batch} images each${options["auto-batch"] === true ? " (or what fits into the memory)" : ""}`,
      val === null
        ? "evaluate nothing: no --val"
        : `evaluate on ${val.dataset.images.length} images every ${options["eval-interval"]} epochs`,
      ...(options["ablation"] === true ? [`repeat for every control arm with ${options["ablation-seeds"]} seeds`] : []),
    ],
    writes: [
      ...(listens ? [{ path: cache, what: "answers of the teachers" }] : []),
      ...(assistant === undefined ? [] : [{ path: at("assistant"), what: "run of the assistant" }]),
      { path: at("distillation_config.yaml"), what: "this configuration" },
      { path: at("weights"), what: "best, last and final weights with checkpoints" },
      { path: at("results.csv"), what: "losses and metrics of every epoch" },
      { path: at("args.yaml"), what: "what the trainer was given" },
      { path: at("student.json"), what: "record for seg optimize and seg evaluate" },
      ...(options["no-plots"] === true ? [] : [{ path: at("*.png"), what: "pictures of the run" }]),
    ],
  };
}

/** Asks the teachers and says what came of it. */
async function distillationOf({
  teachers,
  prompts,
  options,
  train,
  unlabelled,
  mapping,
  dir,
  output,
  signal,
}: {
  teachers: Teachers;
  prompts: readonly string[] | null;
  options: OptionValues;
  train: StudentData;
  unlabelled: StudentData | null;
  mapping: ClassMapping;
  dir: string;
  output: Output;
  signal: AbortSignal;
}): Promise<DistillationData> {
  const distillation = await prepareDistillation({
    teachers,
    train,
    unlabelled,
    dir,
    mapping,
    ...(prompts === null ? {} : { prompts }),
    exhaustive: options["non-exhaustive"] !== true,
    ...pick(options, { pseudoScore: "pseudo-score", ignoreScore: "ignore-score" }),
    ...(options["sweep-scores"] === true ? { pseudoScore: "sweep" as const } : {}),
    onBadImage: options["on-bad-image"] as "error" | "skip",
    onProgress: ({ kind, done, total }) => output.progress({ label: `teacher cache: ${kind}`, done, total }),
    signal,
  });
  const { counts, calibration, thresholds } = distillation;
  output.settle();
  output.line(
    `cache       ${dir}: ${counts.images} images, ${counts.matched} labels confirmed, ${counts.pseudo} added, ${counts.ignored} places left open, ${counts.masks} masks`,
  );
  if (calibration?.ece)
    output.line(
      `calibration of the detector's scores: error ${calibration.ece.before.toFixed(3)} before, ${calibration.ece.after.toFixed(3)} after`,
    );
  for (const [k, { score, f1, sweptOn }] of (thresholds ?? []).entries()) {
    const why =
      sweptOn === "none" ? "too few right answers to sweep" : `F1 ${f1.toFixed(3)}, swept on ${SWEPT[sweptOn]}`;
    output.line(`labels from ${score.toFixed(3)} on: ${mapping.classes[k]!.name} (${why})`);
  }
  return distillation;
}

/** What thresholds were swept on, in words. */
const SWEPT = { class: "this class", pooled: "all classes" } as const;

/** The student of the same kind in another size. */
const sized = (id: StudentId, size: (typeof ASSISTANTS)[number]): StudentId =>
  (isMaskStudent(id) ? `yolov8${size}-seg` : `yolov8${size}`) as StudentId;

/** Distils a prompt-free student: labels, and what the adapted teachers add where there are any. */
export async function trainStudentCommand(
  options: OptionValues,
  output: Output,
  { signal, config: resolved }: CommandContext,
): Promise<void> {
  checkOptions(options);
  checkGpu(options);
  const directory = options["output"] as string;
  const images = options["images"] as string | undefined;
  const onBadImage = options["on-bad-image"] as "error" | "skip";
  const resume = options["resume"] as boolean;
  const isAblation = options["ablation"] as boolean;
  // An ablation is a set of runs, each of which goes on by itself.
  const hasRun = inspectOutput(directory, { resume: resume || isAblation });
  const load = (path: string) => loadSplit(path, images, { onBadImage });
  const train = await load(options["data"] as string);
  const val = options["val"] === undefined ? null : await load(options["val"] as string);
  if (val !== null) checkSameClasses(train, val);
  const experiment = options["teacher-dir"] as string | undefined;
  const isUnnamed = train.dataset.annotations.length === 0;
  if (isUnnamed && experiment === undefined) {
    throw new CommandError({
      code: "cli/no-annotations",
      message: `${train.path} has images but no annotations: there is nothing to learn. Annotate objects, give another --data, or a --teacher-dir whose detector names them.`,
    });
  }
  const unlabelledPath = options["unlabelled"] as string | undefined;
  const unlabelled =
    unlabelledPath === undefined
      ? null
      : await loadUnlabelled(unlabelledPath, { images, categories: train.dataset.categories, onBadImage });
  if (unlabelled !== null && experiment === undefined)
    throw new UsageError("--unlabelled needs a --teacher-dir: somebody has to name the objects.");

  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  const wanted = (options["student"] as StudentId | undefined) ?? null;
  const isOpen = isUnnamed || unlabelled !== null || options["non-exhaustive"] === true;
  const positive = (name: string) => ((options[name] as number | undefined) ?? 0) > 0;
  const chosen: ChosenTeachers | null =
    experiment === undefined
      ? null
      : await chooseTeachers({
          experiment,
          segment: wanted === null ? isUnnamed || train.inspection.hasMasks : isMaskStudent(wanted),
          isOpen,
          wantsClasses: positive("kd-cls") || positive("kd-box"),
          wantsFeatures: positive("kd-feat"),
        });
  if (isUnnamed && chosen?.teachers.detector === undefined) {
    throw new CommandError({
      code: "cli/no-annotations",
      message: `${train.path} has no annotations and ${experiment} no detection teacher that could name the objects. Run seg train-teacher on data with boxes first.`,
    });
  }
  const decision = selectStudent(chosen === null ? train.inspection : factsOf(train, chosen, isUnnamed), {
    edge: options["edge"] as boolean,
    student: wanted,
    allowTeacherMasks: options["allow-teacher-masks"] as boolean,
  });
  if (wanted === null) resolved.note("student", { value: decision.id, why: decision.reasons[0]! });
  const mapping = createClassMapping(train.dataset);
  if (options["dry-run"] === true) {
    chosen?.dispose();
    const plan = planOf({ options, decision, chosen, train, val, unlabelled, hasRun, directory });
    return reportDryRun({ command: "train-student", config: resolved, output, plan });
  }
  for (const reason of decision.reasons) output.line(`student     ${reason}`);
  const notes = (chosen?.reasons ?? []).map((reason) => `teacher: ${reason}`);
  for (const reason of chosen?.reasons ?? []) output.line(`teacher     ${reason}`);
  output.line(`engine      ${engine.name} ${engine.version}, ${engine.threads} threads`);

  const data: StudentData = { dataset: train.dataset, imagesDir: train.imagesDir };
  const own = trainingOptions(options);
  const batch = options["auto-batch"]
    ? await autoStudentBatch({ ...own, student: decision.id, directory, resume, dataset: train.dataset })
    : own.batch;
  if (options["auto-batch"]) output.line(`batch       ${batch}: what a step may take of this machine's memory`);
  const config: TrainStudentConfig = {
    ...own,
    ...(batch === undefined ? {} : { batch }),
    ...(chosen?.off.classes ? { gains: { kdCls: 0, kdBox: 0, ...own.gains } } : {}),
    student: decision.id,
    train: data,
    ...(val === null ? {} : { val: { dataset: val.dataset, imagesDir: val.imagesDir } }),
    directory,
    mapping,
    // A command that is refused leaves nothing behind: by now everything has been checked.
    callbacks: {
      on_train_start: () =>
        writeFileAtomic(
          join(directory, "distillation_config.yaml"),
          configYaml(resolved, { comments: configComments({ decision, mapping, notes }) }),
        ),
    },
    // A folder with a run was refused above unless it is to go on; resuming nothing begins, and keeps the folder beside other files.
    resume: true,
  };
  const asked = { options, train: data, unlabelled, mapping, output, signal };
  let distillation: DistillationData | null = null;
  try {
    if (chosen !== null && Object.keys(chosen.teachers).length > 0) {
      const dir = join(experiment!, "teacher_cache");
      distillation = await distillationOf({ ...asked, teachers: chosen.teachers, prompts: chosen.prompts, dir });
    }
    const size = options["assistant"] as (typeof ASSISTANTS)[number] | undefined;
    if (size !== undefined) {
      const labels = distillation;
      distillation = await teachByAssistant({ size, config, distillation: labels, chosen, asked });
      labels?.close();
    }
  } finally {
    chosen?.dispose();
  }
  const whole: TrainStudentConfig = { ...config, ...(distillation === null ? {} : { distillation }) };
  try {
    if (isAblation) return await runAblation(whole, { options, output, signal });
    if (resume && !hasRun) output.line(`resume      ${directory} holds no run yet: starting from the beginning`);
    const count = (distillation?.data ?? data).dataset.images.length;
    const result = await followTraining(trainStudent(whole, { signal }), {
      output,
      label: decision.id,
      stepsPerEpoch: Math.ceil(count / Math.min(config.batch!, count)),
    });
    const record: StudentRecord = {
      version: 1,
      student: decision.id,
      imgsz: config.imgsz!,
      seed: config.seed!,
      epochs: result.epoch,
      reason: result.reason,
      classes: mapping.classes,
      decision: decision.reasons,
      teacher:
        distillation === null ? null : { id: Object.values(distillation.teachers).join(", "), hash: distillation.hash },
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
  } finally {
    distillation?.close();
  }
}

/** Trains the larger student on what the teachers say, then has it say its own about the same images; masks stay those of the mask teacher. */
async function teachByAssistant({
  size,
  config,
  distillation,
  chosen,
  asked,
}: {
  size: (typeof ASSISTANTS)[number];
  config: TrainStudentConfig;
  distillation: DistillationData | null;
  chosen: ChosenTeachers | null;
  asked: Omit<Parameters<typeof distillationOf>[0], "teachers" | "prompts" | "dir">;
}): Promise<DistillationData> {
  const { output, signal } = asked;
  const id = sized(config.student, size);
  const directory = join(config.directory, "assistant");
  const { weights: _weights, ...rest } = config;
  output.line(`assistant   ${id} learns first, in ${directory}; then it teaches ${config.student}`);
  const count = (distillation?.data ?? config.train).dataset.images.length;
  const first = { ...rest, student: id, directory, resume: true, ...(distillation === null ? {} : { distillation }) };
  const result = await followTraining(trainStudent(first, { signal }), {
    output,
    label: id,
    stepsPerEpoch: Math.ceil(count / Math.min(config.batch!, count)),
  });
  signal.throwIfAborted();
  const student = createStudent(id, { classes: config.mapping!.classes.length, imgsz: config.imgsz! });
  try {
    loadWeights(student, result.state, { strict: true });
    const { detector, features } = studentTeacher(student);
    const wantsFeatures = (config.gains?.kdFeat ?? 0) > 0;
    const masks = chosen?.teachers.masks;
    const teachers = { detector, ...(masks ? { masks } : {}), ...(wantsFeatures ? { features } : {}) };
    return await distillationOf({ ...asked, teachers, prompts: null, dir: join(directory, "teacher_cache") });
  } finally {
    student.dispose();
  }
}

/** Trains the control arms and prints the verdict. */
async function runAblation(
  config: TrainStudentConfig,
  { options, output, signal }: { options: OptionValues; output: Output; signal: AbortSignal },
): Promise<void> {
  const count = options["ablation-seeds"] as number;
  const seeds = Array.from({ length: count }, (_, k) => config.seed! + k);
  const events = ablate(config, { seeds, signal });
  for (;;) {
    const next = await events.next();
    if (next.done) {
      output.settle();
      for (const sentence of next.value.verdict) output.line(`ablation    ${sentence}`);
      output.line(`ablation    ${join(config.directory, "kd_ablation.csv")} and kd_ablation.svg`);
      const { metric, arms, verdict } = next.value;
      output.result({ command: "train-student", ablation: { metric, arms, verdict } });
      return;
    }
    const { arm, seed, run, runs, event } = next.value;
    if (event.type !== "epoch") continue;
    output.progress({
      label: `arm ${arm}, seed ${seed} (${run}/${runs})`,
      done: event.epoch,
      total: event.totalEpochs,
    });
  }
}
