import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createClassMapping } from "@seg/coco-dataset";
import { GROUNDING_DINO_PRESETS, SAM_PRESETS, selectTeachers } from "@seg/teachers";
import { type JsonObject, toYaml } from "@seg/train";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { loadSplit } from "../data.js";
import { startEngine } from "../engine.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic, writeJson } from "../files.js";
import { listAdaptable, resolveTeacherBase, showManagerStatus, teacherManager } from "../hub/teacher-base.js";
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
  [`${prefix}batch`]: {
    type: "number",
    range: whole,
    help: "images per step",
    aliases: prefix === "" ? ["batch-size", "teacher.batch_size"] : [`${prefix}batch_size`],
  },
  [`${prefix}lr`]: { type: "number", range: { above: 0 }, help: "learning rate; by the model's width when absent" },
  [`${prefix}lora.r`]: { type: "number", range: whole, help: "rank of the adapters" },
  [`${prefix}lora.lora_alpha`]: {
    type: "number",
    range: { above: 0 },
    help: "scale of the adapters: alpha / r",
    aliases: [`${prefix}lora.alpha`],
  },
});

export const trainTeacherOptions: OptionSpecs = {
  config: { type: "string", help: "YAML file of these options, such as an earlier teacher_config.yaml" },
  data: { type: "string", help: "training split (COCO .json), required to train", aliases: ["dataset"] },
  val: { type: "string", help: "validation split, measured before and after" },
  images: { type: "string", help: "folder of the images of both splits", aliases: ["dataset-root"] },
  output: { type: "string", help: "experiment folder, required to train", aliases: ["output-dir"] },
  method: {
    type: "string",
    fallback: "lora",
    help: "lora, qlora (base in 4 bits while training) or full (every weight)",
  },
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
  "accept-licence": { type: "boolean", fallback: false, help: "agree to unknown or non-commercial terms of a model" },
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
  "with-detection": {
    type: "boolean",
    fallback: false,
    help: "adapt Grounding DINO to boxes of masks where only masks are annotated",
  },
  resume: { type: "boolean", fallback: false, help: "go on from the checkpoint of --output" },
  patience: { type: "number", range: whole, help: "epochs without a better mAP50 before Grounding DINO stops [15]" },
  ...perTeacher(""),
  ...perTeacher("grounding_dino."),
  "grounding_dino.preset": {
    type: "string",
    help: `adapted layers: ${Object.keys(GROUNDING_DINO_PRESETS).join(", ")}`,
  },
  "grounding_dino.max-images": {
    type: "number",
    range: whole,
    help: "train Grounding DINO on at most this many images",
  },
  "cache-views": {
    type: "number",
    range: whole,
    help: "draw so many views of an image once and cache what frozen parts make of them; without it Grounding DINO sees a new view every time",
    aliases: ["cache_views"],
  },
  "retention.prompts": {
    type: "list",
    help: "phrases that are not trained, to measure what adapting Grounding DINO costs [the 80 names of COCO; shapes for the embedded model]",
    aliases: ["retention_prompts"],
  },
  ...perTeacher("sam."),
  "sam.preset": { type: "string", help: `adapted layers: ${Object.keys(SAM_PRESETS).join(", ")}` },
  "sam.zoom": {
    type: "number",
    range: { min: 0 },
    help: "show each object in a window of so many times its box; 0: whole images [2.5 for models below 512 px]",
  },
  "sam.box-jitter": {
    type: "number",
    range: { min: 0 },
    help: "how far prompt boxes move in training, as a share of their side [0.1]",
  },
  "require-teacher-gate": {
    type: "boolean",
    fallback: false,
    help: "fail when a teacher misses its gate: mAP50 0.85, mask IoU 0.88",
    aliases: ["require_teacher_gate"],
  },
  steps: { type: "number", range: whole, help: "optimisation steps of SAM; wins over epochs", aliases: ["sam.steps"] },
  "max-trainable-ratio": {
    type: "number",
    range: { above: 0 },
    help: "largest trainable share of the frozen parameters [0.05]",
  },
  "max-images": { type: "number", range: whole, help: "use at most this many training images" },
  seed: {
    type: "number",
    range: { integer: true, min: 0 },
    fallback: 0,
    help: "prompts, order, adapters",
    aliases: ["random-seed"],
  },
  threads: { type: "number", range: whole, help: "threads of the engine [cores]" },
};

/** @throws {@link UsageError} */
function checkWords(options: OptionValues): void {
  for (const name of ["data", "output"]) {
    if (options[name] === undefined) throw new UsageError(`--${name} is required: ${trainTeacherOptions[name]!.help}.`);
  }
  const method = options["method"] as string;
  if (!(METHODS as readonly string[]).includes(method)) {
    throw new UsageError(`--method is ${METHODS.join(" or ")}, got "${method}".`);
  }
  const presets = { grounding_dino: GROUNDING_DINO_PRESETS, sam: SAM_PRESETS };
  for (const [teacher, known] of Object.entries(presets)) {
    const preset = options[`${teacher}.preset`] as string | undefined;
    if (preset === undefined || Object.hasOwn(known, preset)) continue;
    throw new UsageError(`--${teacher}.preset is one of ${Object.keys(known).join(", ")}; got "${preset}".`);
  }
}

/** Options that say how a command is run, not what it trains. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  ...["json", "quiet", "help", "config", "resume", "output", "list-models", "show-manager-status", "accept-licence"],
]);

/** Options as nested YAML, so that the file can be given back as --config. */
function configYaml(options: OptionValues, extra: JsonObject): string {
  const tree: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || NOT_KEPT.has(name)) continue;
    const [group, ...rest] = name.split(".");
    // `sam` names a model and prefixes settings: there the dotted key stays whole.
    if (rest.length === 0 || group === "sam" || group === "grounding_dino") tree[name] = value;
    else tree[group!] = { ...(tree[group!] as object | undefined), [rest.join(".")]: value };
  }
  const header = Object.entries(extra).map(([key, value]) => `# ${key}: ${JSON.stringify(value)}\n`);
  return `${header.join("")}${toYaml(tree as JsonObject)}`;
}

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Adapts the teachers that the annotations call for: Grounding DINO to boxes, SAM to masks. */
export async function trainTeacher(options: OptionValues, output: Output, { signal }: CommandContext): Promise<void> {
  if (options["list-models"] === true) return listAdaptable(teacherManager(), output);
  if (options["show-manager-status"] === true) return showManagerStatus(teacherManager(), output);
  checkWords(options);
  const directory = options["output"] as string;
  const images = options["images"] as string | undefined;
  const train = await loadSplit(options["data"] as string, images);
  const val = options["val"] === undefined ? null : await loadSplit(options["val"] as string, images);
  const decision = selectTeachers(train.inspection, { withDetection: options["with-detection"] as boolean });
  const wanted = (teacher: "grounding_dino" | "sam") => decision.fineTune.includes(teacher);
  const baseOf = async (teacher: "grounding_dino" | "sam", name: string): Promise<string | null> => {
    if (!wanted(teacher)) return null;
    const acceptLicence = options["accept-licence"] as boolean;
    return (await resolveTeacherBase({ teacher, name, output, acceptLicence, signal })).folder;
  };
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
  const names = createClassMapping(train.dataset).classes.map((c) => c.name);
  writeFileAtomic(
    join(directory, "teacher_config.yaml"),
    configYaml(options, { num_classes: names.length, class_names: names, teachers: [...decision.fineTune] }),
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
