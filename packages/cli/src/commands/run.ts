import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { importDataset } from "@seg/coco-dataset";
import { DOMAIN_DISTANCE, defaultRules, type Fact } from "@seg/model-hub";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { emptyData } from "../data.js";
import { reportDryRun } from "../dry-run.js";
import { checkGpu } from "../engine.js";
import { UsageError } from "../errors.js";
import { imagesDirectory } from "../files.js";
import { nearest } from "../option-names.js";
import { configOption, DATA, dryRunOption, engineOptions, grouped, HOW } from "../option-specs.js";
import type { Output } from "../output.js";
import { type ExperimentInput, experimentSteps, PLAN_FILE, STEPS } from "../run/experiment-steps.js";
import { imagesDigest } from "../run/image-digest.js";
import { openLearning } from "../run/learning.js";
import { readPlanFile } from "../run/plan-file.js";
import { givenFor, prefixed, type Settings, STEP_CHOICES, type TeacherChoice } from "../run/plan-words.js";
import { previewRun } from "../run/preview-run.js";
import { fileSha256, readRunRecord } from "../run/run-record.js";
import { runSteps } from "../run/run-steps.js";
import { comparedMetric, readReport, summaryTable } from "../run/summary.js";
import { evaluateOptions } from "./evaluate.js";
import { optimizeOptions } from "./optimize.js";
import { trainStudentOptions } from "./train-student.js";
import { trainTeacherOptions } from "./train-teacher.js";

/** Options of a step that the run sets itself. */
const OWN = ["data", "val", "images", "output", "config", "resume", "threads", "gpu", "seed", "dry-run", "title"];

export const runOptions: OptionSpecs = {
  ...grouped(DATA, {
    data: {
      type: "string",
      required: true,
      path: "file",
      help: "COCO .json, or a YOLO, Pascal VOC, LabelMe or CVAT dataset",
    },
    images: { type: "string", path: "folder", help: "folder of the images", usual: "found beside the annotations" },
    split: {
      type: "string",
      help: "shares of the splits",
      usual: "those that the data declares, else train:0.7,val:0.15,test:0.15",
    },
    "split-seed": { type: "number", range: { integer: true, min: 0 }, fallback: 42, help: "seed of the split" },
    output: {
      type: "string",
      path: "folder",
      help: "experiment folder; the same folder goes on where it stopped",
      usual: "experiments/NAME OF THE DATA",
      aliases: ["output-dir"],
    },
    title: { type: "string", help: "title of the report", usual: "name of the experiment" },
  }),
  ...grouped("What is wanted", {
    priority: {
      type: "string",
      fallback: "balanced",
      choices: ["quality", "balanced", "speed", "memory"],
      help: "what matters most",
    },
    edge: {
      type: "boolean",
      fallback: false,
      help: "for a small device: the nano network, whatever the amount of data",
    },
    "time-budget": {
      type: "number",
      range: { above: 0 },
      help: "minutes that the whole run may take on an idle machine: images and epochs are cut to it",
      usual: "as long as it takes",
    },
    task: { type: "string", help: "what shall be found, in words; names the kind of pictures" },
    domain: {
      type: "string",
      choices: Object.keys(DOMAIN_DISTANCE),
      help: "kind of pictures",
      usual: "photographic, or what --task says",
    },
    permissive: { type: "boolean", fallback: false, help: "no weights under AGPL or other restrictive licences" },
    teacher: {
      type: "string",
      fallback: "embedded",
      choices: ["embedded", "published", "none"],
      help: "embedded: the small ones of this toolkit; published: the plan's, fetched once; none: labels alone",
    },
    student: {
      type: "string",
      help: "architecture of the student",
      usual: "the plan's",
      aliases: ["student.student"],
    },
    set: { type: "list", help: "decide something of the plan yourself: --set image_size=512 mosaic=0.5" },
  }),
  ...grouped("Which steps", {
    plan: { type: "string", path: "file", help: "carry out this plan: --until plan writes one to edit" },
    from: { type: "string", choices: [...STEPS], help: "do this step and the ones after it again" },
    until: { type: "string", choices: [...STEPS], help: "the last step to do" },
    resume: {
      type: "boolean",
      fallback: false,
      help: "go on with the experiment of --output, which must have been begun; the same command goes on without it, too",
    },
  }),
  ...grouped(HOW, {
    seed: {
      type: "number",
      range: { integer: true, min: 0 },
      fallback: 0,
      help: "initial weights, order and augmentation",
    },
  }),
  ...engineOptions,
  ...configOption,
  ...dryRunOption,
  ...prefixed("teacher", trainTeacherOptions, [...OWN, "list-models", "show-manager-status"]),
  ...prefixed("student", trainStudentOptions, [...OWN, "student", "teacher-dir", "edge", "ablation", "ablation-seeds"]),
  ...prefixed("optimize", optimizeOptions, [...OWN, "model"]),
  ...prefixed("evaluate", evaluateOptions, [...OWN, "student", "teacher-dir", "validation"]),
};

const DEFAULT_SPLIT = "train:0.7,val:0.15,test:0.15";

/** `bccd` of `data/bccd/annotations.json`, `cells` of `data/cells.json`. */
function nameOf(data: string): string {
  const path = resolve(data);
  const stem = basename(path, extname(path));
  const isGeneric = /^(annotations?|instances.*|_annotations.*|data|dataset)$/i.test(stem);
  return isGeneric ? basename(dirname(path)) : stem;
}

/** `name=value` of `--set`; numbers, true, false and none are what they say. */
function setOf(pairs: readonly string[], known: readonly string[]): Record<string, Fact> {
  const words: Readonly<Record<string, Fact>> = { true: true, false: false, none: null };
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name = "", value = ""] = pair.split("=", 2);
      if (value === "") throw new UsageError(`--set takes name=value; got "${pair}".`);
      if (!known.includes(name)) {
        const hint = nearest(name, known);
        throw new UsageError(
          `--set knows no "${name}".${hint === null ? "" : ` Did you mean ${hint}?`} Known: ${known.join(", ")}.`,
        );
      }
      const number = Number(value);
      return [name, Object.hasOwn(words, value) ? words[value]! : Number.isNaN(number) ? value : number];
    }),
  );
}

/** What the person decided that the plan decides otherwise: `--set`, `--student`, `--edge`, and step options that are choices of the plan. */
function overridesOf(options: OptionValues): Record<string, Fact> {
  const steps = Object.entries(STEP_CHOICES).flatMap(([option, output]): [string, Fact][] => {
    const value = options[option];
    return value === undefined || typeof value === "object" ? [] : [[output, value]];
  });
  const student = options["student"];
  return {
    ...setOf((options["set"] as readonly string[] | undefined) ?? [], Object.keys(defaultRules().outputs)),
    ...Object.fromEntries(steps),
    ...(typeof student === "string" ? { student } : {}),
  };
}

/**
 * A plan that a person edited is carried out only when it is named: otherwise the edit would be moved aside.
 * @throws {@link UsageError} for an edited plan that no option speaks of, and for --resume where nothing was begun
 */
async function checkExperiment(experiment: string, options: OptionValues): Promise<void> {
  const { steps } = readRunRecord(experiment);
  if (options["resume"] === true && Object.keys(steps).length === 0) {
    throw new UsageError(
      `Nothing was begun in ${experiment}: leave --resume out, or name the experiment with --output.`,
    );
  }
  const path = join(experiment, PLAN_FILE);
  const known = steps["plan"]?.outputs[PLAN_FILE];
  const isNamed = options["plan"] !== undefined || ["validate", "plan"].includes(String(options["from"]));
  if (isNamed || known === undefined || !existsSync(path) || (await fileSha256(path)) === known.sha256) return;
  throw new UsageError(
    `${path} was edited: add --plan ${path} to carry it out, or --from plan to let the advisor decide again.`,
  );
}

/** From annotations to a measured, prompt-free model: every step, each with its reason, each kept when it is there already. */
export async function run(options: OptionValues, output: Output, { signal, config }: CommandContext): Promise<void> {
  const data = options["data"] as string;
  const images = options["images"] as string | undefined;
  const experiment = (options["output"] as string | undefined) ?? join("experiments", nameOf(data));
  await checkExperiment(experiment, options);
  const overrides = overridesOf(options);
  const planPath = options["plan"] as string | undefined;
  const edited = planPath === undefined ? null : readPlanFile(planPath, Object.keys(defaultRules().outputs));
  const imported = await importDataset(data, { ...(images === undefined ? {} : { imagesDir: images }), signal });
  const { dataset } = imported;
  if (dataset.images.length === 0) throw emptyData(data);
  const imagesDir = imported.imagesDir ?? (await imagesDirectory({ dataset, path: imported.source, option: images }));
  const isFile = existsSync(data) && statSync(data).isFile();
  const minutes = options["time-budget"] as number | undefined;
  const gpu = options["gpu"] as number | undefined;
  checkGpu(options);
  const learning = await openLearning();
  const input: ExperimentInput = {
    experiment,
    data,
    images,
    dataDigest: {
      annotations: isFile ? await fileSha256(data) : createHash("sha256").update(JSON.stringify(dataset)).digest("hex"),
      images: await imagesDigest(dataset, imagesDir),
    },
    split:
      (options["split"] as string | undefined) ??
      (Object.keys(imported.splits).includes("train") ? null : DEFAULT_SPLIT),
    splitSeed: options["split-seed"] as number,
    seed: options["seed"] as number,
    wishes: {
      priority: options["edge"] === true ? "speed" : (options["priority"] as "balanced"),
      device: gpu === undefined ? "cpu" : "accelerator",
      domain: (options["domain"] as string | undefined) ?? null,
      task: (options["task"] as string | undefined) ?? null,
      timeBudgetSeconds: minutes === undefined ? null : 60 * minutes,
      secondsPerGflop: null,
      permissive: options["permissive"] as boolean,
      overrides,
    },
    edited,
    teachers: options["teacher"] as TeacherChoice,
    given: {
      teacher: stepSettings("teacher", options),
      student: stepSettings("student", options),
      optimize: stepSettings("optimize", options),
      evaluate: stepSettings("evaluate", options),
    },
    threads: options["threads"] as number | undefined,
    gpu,
    title: (options["title"] as string | undefined) ?? basename(experiment),
    learning,
    output,
    signal,
  };
  const range = {
    from: (options["from"] as string | undefined) ?? null,
    until: (options["until"] as string | undefined) ?? null,
  };
  try {
    if (options["dry-run"] === true) {
      return reportDryRun({ command: "run", config, output, plan: await previewRun(input, range) });
    }
    const steps = await runSteps({
      experiment,
      steps: experimentSteps(input),
      ...range,
      output,
      signal,
    });
    const report = steps.some(({ name }) => name === "evaluate") ? readReport(experiment) : null;
    if (report !== null) {
      const metric = comparedMetric(report);
      const { learning: runId } = readRunRecord(experiment);
      if (learning !== null && runId !== null && metric !== null) {
        await learning.store.finish(runId, { metric, metric_definition: "mAP50-95, test" });
      }
      output.line(`\n${summaryTable(report.models).join("\n")}`);
      output.line(`models      ${join(experiment, "student", "optimized")}`);
      output.line(`plan        ${join(experiment, "plan.yaml")}, explained in plan.txt`);
      output.line(`report      ${join(experiment, "report.html")}`);
    }
    output.result({
      command: "run",
      experiment,
      steps,
      models: report?.models ?? [],
      promptFree: report?.promptFree ?? null,
    });
  } finally {
    await learning?.close();
  }
}

/** Settings of a step that are no choices of the plan: those went into it. */
const stepSettings = (prefix: string, options: OptionValues): Settings =>
  Object.fromEntries(
    Object.entries(givenFor(prefix, options)).filter(([name]) => !(`${prefix}.${name}` in STEP_CHOICES)),
  );
