import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClassMapping } from "@seg/coco-dataset";
import { GROUNDING_DINO_PRESETS, SAM_PRESETS, selectTeachers, type TeacherSelection } from "@seg/teachers";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { configYaml } from "../config-yaml.js";
import { checkSameClasses, type LoadedSplit, loadSplit } from "../data.js";
import { type DryRun, reportDryRun } from "../dry-run.js";
import { checkGpu, startEngine } from "../engine.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import {
  findTeacherBase,
  listAdaptable,
  resolveTeacherBase,
  showManagerStatus,
  teacherManager,
} from "../hub/teacher-base.js";
import { configOption, DATA, dryRunOption, engineOptions, grouped, HOW } from "../option-specs.js";
import type { Output } from "../output.js";
import { EMBEDDED_GROUNDING_DINO } from "../teacher/detector-teacher.js";
import { EMBEDDED_SAM } from "../teacher/mask-teacher.js";
import { type TeacherData, teacherItems } from "../teacher/teacher-data.js";
import { type GateCheck, requireGates } from "../teacher/teacher-gate.js";
import { trainGroundingDino } from "../teacher/train-grounding-dino.js";
import { trainSam } from "../teacher/train-sam.js";

const whole = { integer: true, min: 1 } as const;
const METHODS = ["lora", "qlora", "full"] as const;

/** Settings that each teacher may have for itself; without a prefix they are for both. */
const perTeacher = (prefix: string): OptionSpecs => ({
  [`${prefix}epochs`]: { type: "number", range: whole, help: "rounds over the images" },
  [`${prefix}batch`]: { type: "number", range: whole, help: "images per step", aliases: [`${prefix}batch-size`] },
  [`${prefix}lr`]: {
    type: "number",
    range: { above: 0 },
    help: "learning rate",
    usual: "by the model's width",
    aliases: [`${prefix}learning-rate`],
  },
  [`${prefix}lora.r`]: { type: "number", range: whole, help: "rank of the adapters" },
  [`${prefix}lora.lora_alpha`]: {
    type: "number",
    range: { above: 0 },
    help: "scale of the adapters: alpha / r",
    aliases: [`${prefix}lora.alpha`],
  },
});

export const trainTeacherOptions: OptionSpecs = {
  ...grouped(DATA, {
    data: {
      type: "string",
      path: "file",
      help: "training split (COCO .json), required to train",
      aliases: ["dataset"],
    },
    val: { type: "string", path: "file", help: "validation split, measured before and after" },
    images: {
      type: "string",
      path: "folder",
      help: "folder of the images of both splits",
      aliases: ["dataset-root"],
    },
    output: {
      type: "string",
      path: "folder",
      help: "experiment folder, required to train",
      aliases: ["output-dir"],
    },
    "max-images": { type: "number", range: whole, help: "use at most this many training images" },
    "with-detection": {
      type: "boolean",
      fallback: false,
      help: "adapt Grounding DINO to boxes of masks where only masks are annotated",
    },
  }),
  ...grouped("Teachers", {
    teacher: {
      type: "string",
      fallback: EMBEDDED_GROUNDING_DINO,
      help: "Grounding DINO: a model of --list-models, a folder in Hugging Face layout, or the embedded small one",
      aliases: ["grounding_dino"],
    },
    sam: {
      type: "string",
      fallback: EMBEDDED_SAM,
      help: "SAM: a model of --list-models, a folder in Hugging Face layout, or the embedded small one",
      aliases: ["model"],
    },
    "accept-licence": {
      type: "boolean",
      fallback: false,
      help: "agree to unknown or non-commercial terms of a model",
    },
    "list-models": {
      type: "boolean",
      fallback: false,
      help: "models that can be adapted, * = on this machine; trains nothing",
    },
    "show-manager-status": {
      type: "boolean",
      fallback: false,
      help: "state of those models, cache and disk; trains nothing",
    },
  }),
  ...grouped("Training of both", {
    method: {
      type: "string",
      fallback: "lora",
      choices: METHODS,
      help: "lora, qlora (base in 4 bits while training) or full (every weight)",
    },
    ...perTeacher(""),
    seed: {
      type: "number",
      range: { integer: true, min: 0 },
      fallback: 0,
      help: "prompts, order, adapters",
      aliases: ["random-seed"],
    },
    "max-trainable-ratio": {
      type: "number",
      range: { above: 0 },
      help: "largest trainable share of the frozen parameters",
      usual: 0.05,
    },
    "require-teacher-gate": {
      type: "boolean",
      fallback: false,
      help: "fail when a teacher misses its gate: mAP50 0.85, mask IoU 0.88",
    },
  }),
  ...grouped("Grounding DINO alone", {
    ...perTeacher("grounding_dino."),
    "grounding_dino.preset": {
      type: "string",
      choices: Object.keys(GROUNDING_DINO_PRESETS),
      help: "adapted layers",
    },
    "grounding_dino.max-images": {
      type: "number",
      range: whole,
      help: "train Grounding DINO on at most this many images",
    },
    patience: {
      type: "number",
      range: whole,
      help: "epochs without a better mAP50 before Grounding DINO stops",
      usual: 15,
    },
    "cache-views": {
      type: "number",
      range: whole,
      help: "draw so many views of an image once and cache what frozen parts make of them; without it Grounding DINO sees a new view every time",
    },
    "retention.prompts": {
      type: "list",
      help: "phrases that are not trained, to measure what adapting Grounding DINO costs",
      usual: "the 80 names of COCO; shapes for the embedded model",
    },
  }),
  ...grouped("SAM alone", {
    ...perTeacher("sam."),
    "sam.preset": { type: "string", choices: Object.keys(SAM_PRESETS), help: "adapted layers" },
    "sam.zoom": {
      type: "number",
      range: { min: 0 },
      help: "show each object in a window of so many times its box; 0: whole images",
      usual: "2.5 for models below 512 px",
    },
    "sam.box-jitter": {
      type: "number",
      range: { min: 0 },
      help: "how far prompt boxes move in training, as a share of their side",
      usual: 0.1,
    },
    steps: {
      type: "number",
      range: whole,
      help: "optimisation steps of SAM; wins over epochs",
      aliases: ["sam.steps"],
    },
  }),
  ...engineOptions,
  ...configOption,
  resume: {
    type: "boolean",
    fallback: false,
    help: "go on from the checkpoints of --output, or begin where there are none",
    group: HOW,
  },
  ...dryRunOption,
};

/** @throws {@link UsageError} */
function checkRequiredToTrain(options: OptionValues): void {
  for (const name of ["data", "output"]) {
    if (options[name] === undefined) throw new UsageError(`--${name} is required: ${trainTeacherOptions[name]!.help}.`);
  }
}

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

const TITLES = { grounding_dino: "Grounding DINO", sam: "SAM" } as const;

/** What `--dry-run` says. */
function planOf({
  options,
  decision,
  train,
  val,
  names,
}: {
  options: OptionValues;
  decision: TeacherSelection;
  train: LoadedSplit;
  val: LoadedSplit | null;
  names: readonly string[];
}): DryRun {
  const directory = options["output"] as string;
  const method = options["method"] as string;
  const bases = decision.fineTune.map((teacher) => {
    const name = options[teacher === "sam" ? "sam" : "teacher"] as string;
    const { folder, entry } = findTeacherBase(teacher, name);
    return { teacher, where: folder ?? `${entry?.id}, which is fetched unless it is in the cache` };
  });
  const folder = method === "full" ? "full" : "lora";
  const images = Math.min(train.dataset.images.length, (options["max-images"] as number | undefined) ?? Infinity);
  return {
    decisions: decision.decisions.map(({ teacher, wanted, reason }) => ({
      ...{ what: TITLES[teacher], choice: wanted, why: reason },
    })),
    steps: bases.map(
      ({ teacher, where }) =>
        `adapt ${TITLES[teacher]} by ${method} to ${names.length} classes on ${images} images; base: ${where}; ` +
        (val === null ? "measured on nothing: no --val" : `measured on ${val.dataset.images.length} images`),
    ),
    writes: [
      { path: join(directory, "teacher_config.yaml"), what: "this configuration" },
      { path: join(directory, "metadata.json"), what: "data, classes, seed, checksums" },
      { path: join(directory, "teachers", "decisions.json"), what: "these decisions" },
      ...bases.flatMap(({ teacher }) => [
        { path: join(directory, "teachers", `${teacher}_${folder}`), what: "what was learned, and checkpoints" },
        { path: join(directory, "teachers", `${teacher}.json`), what: "record for later commands" },
        { path: join(directory, "teachers", `${teacher}_metrics.json`), what: "quality before and after" },
      ]),
      { path: join(directory, "teacher_cache"), what: "what frozen parts say of the images" },
    ],
  };
}

/** Adapts the teachers that the annotations call for: Grounding DINO to boxes, SAM to masks. */
export async function trainTeacher(
  options: OptionValues,
  output: Output,
  { signal, config }: CommandContext,
): Promise<void> {
  if (options["list-models"] === true) return listAdaptable(teacherManager(), output);
  if (options["show-manager-status"] === true) return showManagerStatus(teacherManager(), output);
  checkRequiredToTrain(options);
  checkGpu(options);
  const directory = options["output"] as string;
  const images = options["images"] as string | undefined;
  const train = await loadSplit(options["data"] as string, images);
  const val = options["val"] === undefined ? null : await loadSplit(options["val"] as string, images);
  if (val !== null) checkSameClasses(train, val);
  const decision = selectTeachers(train.inspection, { withDetection: options["with-detection"] as boolean });
  const wanted = (teacher: "grounding_dino" | "sam") => decision.fineTune.includes(teacher);
  const baseOf = async (teacher: "grounding_dino" | "sam", name: string): Promise<string | null> => {
    if (!wanted(teacher)) return null;
    const acceptLicence = options["accept-licence"] as boolean;
    return (await resolveTeacherBase({ teacher, name, output, acceptLicence, signal })).folder;
  };
  const names = createClassMapping(train.dataset).classes.map((c) => c.name);
  if (options["dry-run"] === true) {
    const plan = planOf({ options, decision, train, val, names });
    return reportDryRun({ command: "train-teacher", config, output, plan });
  }
  const bases = {
    grounding_dino: await baseOf("grounding_dino", options["teacher"] as string),
    sam: await baseOf("sam", options["sam"] as string),
  };
  for (const { teacher, wanted: what, reason } of decision.decisions)
    output.line(`teacher     ${teacher}: ${what}; ${reason}`);
  await mkdir(join(directory, "teachers"), { recursive: true });
  writeJson(join(directory, "teachers", "decisions.json"), {
    version: 2,
    teachers: decision.decisions,
    fineTune: decision.fineTune,
  });
  writeFileAtomic(
    join(directory, "teacher_config.yaml"),
    configYaml(config, {
      comments: [
        `num_classes: ${names.length}`,
        `class_names: ${JSON.stringify(names)}`,
        `teachers: ${JSON.stringify(decision.fineTune)}`,
      ],
      omit: ["list-models", "show-manager-status", "accept-licence"],
    }),
  );
  writeJson(join(directory, "metadata.json"), {
    version: 1,
    data: { train: options["data"], sha256: sha256(options["data"] as string), images: train.dataset.images.length },
    classes: names,
    seed: options["seed"],
    node: process.version,
    bases: Object.fromEntries(
      Object.entries(bases).flatMap(([teacher, folder]) => {
        const file = folder === null ? null : join(folder, "model.safetensors");
        return file !== null && existsSync(file) ? [[teacher, { sha256: sha256(file) }]] : [];
      }),
    ),
  });
  const engine = await startEngine({ threads: options["threads"] as number | undefined });
  output.line(`engine      ${engine.name} ${engine.version}, ${engine.threads} threads`);
  const data: TeacherData = {
    train: await teacherItems(train, output, options["max-images"] as number | undefined),
    val: val === null ? [] : await teacherItems(val, output),
    names,
  };
  const results: Record<string, unknown> = {};
  const input = { options, data, output, signal };
  const missed: GateCheck[] = [];
  if (bases.grounding_dino !== null) {
    const trained = await trainGroundingDino({ ...input, base: bases.grounding_dino });
    results["grounding_dino"] = trained.result;
    missed.push(...trained.missed);
  }
  if (bases.sam !== null) {
    signal.throwIfAborted();
    const trained = await trainSam({ ...input, base: bases.sam });
    results["sam"] = trained.result;
    missed.push(...trained.missed);
  }
  output.result({ command: "train-teacher", adapted: decision.fineTune, decision, ...results });
  if (options["require-teacher-gate"]) requireGates(missed);
}
