import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { defaultRules, explainPlan, HubError } from "@seg/model-hub";
import { CommandError } from "../errors.js";
import { writeFileAtomic } from "../files.js";
import { duration, type Output } from "../output.js";
import { invoke } from "./invoke.js";
import { newRunId, type OpenLearning } from "./learning.js";
import { makeRunPlan, type PlanWishes } from "./make-run-plan.js";
import { changesOf, type PlanFile, plainFacts, planYaml, readPlanFile, reasonOf, shown } from "./plan-file.js";
import {
  checkCarriedOut,
  notCarriedOut,
  OF_OTHER_COMMANDS,
  optimizeSettings,
  plannedSeconds,
  type Settings,
  studentSettings,
  type TeacherChoice,
  type TeacherWishes,
  teacherSettings,
} from "./plan-words.js";
import { describeFiles, readRunRecord, writeRunRecord } from "./run-record.js";
import type { RunStep } from "./run-steps.js";

/** Names of the steps, in order. */
export const STEPS = ["validate", "plan", "train-teacher", "train-student", "optimize", "evaluate"] as const;

/** Everything that the steps of one experiment need. */
export interface ExperimentInput {
  readonly experiment: string;
  /** COCO file, or what `seg validate` reads. */
  readonly data: string;
  readonly images: string | undefined;
  /** What the data is: digests of annotations and images. */
  readonly dataDigest: Readonly<Record<string, string>>;
  /** Shares; null: the data declares its splits. */
  readonly split: string | null;
  readonly splitSeed: number;
  readonly seed: number;
  readonly wishes: PlanWishes;
  /** An edited plan. */
  readonly edited: PlanFile | null;
  readonly teachers: TeacherChoice;
  /** What the person decided for a step, by its options. */
  readonly given: Readonly<Record<"teacher" | "student" | "optimize" | "evaluate", Settings>>;
  readonly threads: number | undefined;
  /** Number of the GPU that trains; undefined: the processor. */
  readonly gpu: number | undefined;
  readonly title: string;
  readonly learning: OpenLearning | null;
  /** Only to look: nothing is recorded. */
  readonly isDryRun?: boolean;
  readonly output: Output;
  readonly signal: AbortSignal;
}

export const PLAN_FILE = "plan.yaml";
const split = (name: string) => `data/${name}.json`;
/** The training split of an experiment: all that the plan looks at. */
export const TRAIN_FILE = split("train");
const isSplitFile = (name: string) => /^(train|val|test|split\.lock|validation)\.json$/.test(name);

/** The steps of `seg run`: split, plan, teachers, student, artefacts, report. */
export function experimentSteps(input: ExperimentInput): RunStep[] {
  const { experiment, output, signal, given, threads, wishes } = input;
  const at = (name: string) => join(experiment, name);
  const digests = async (names: readonly string[]): Promise<Record<string, string>> =>
    Object.fromEntries(
      Object.entries(await describeFiles(experiment, names)).map(([name, { sha256 }]) => [name, sha256]),
    );
  const onThreads = threads === undefined ? {} : { threads };
  const engine = { ...onThreads, ...(input.gpu === undefined ? {} : { gpu: input.gpu }) };
  const plan = () => readPlanFile(at(PLAN_FILE), Object.keys(defaultRules().outputs));
  const splitFiles = (...names: readonly string[]) => names.map(split).filter((name) => existsSync(at(name)));
  const teaching: TeacherWishes = {
    teachers: input.teachers,
    timeBudgetSeconds: wishes.timeBudgetSeconds,
    student: given.student,
  };
  const valOf = () => (existsSync(at(split("val"))) ? { val: at(split("val")) } : {});
  /** Adapters and what is said about them; large base weights are not part of an experiment. */
  const teacherFiles = () => {
    const folder = at("teachers");
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => /(adapter_(model|config)\.(safetensors|json)|model\.safetensors|^[\w-]+\.json)$/.test(name))
      .map((name) => `teachers/${name}`)
      .sort();
  };
  const common = { output, signal };

  return [
    {
      name: "validate",
      prepare: async () => ({
        decision:
          input.split === null
            ? `check ${input.data} and take the splits that it declares`
            : `check ${input.data} and split it ${input.split.replaceAll(",", ", ")}, classes balanced, so that nothing is measured on what was trained`,
        inputs: { ...input.dataDigest, split: input.split ?? "declared", seed: input.splitSeed },
        owns: ["data"],
        run: () =>
          invoke("validate", {
            ...common,
            options: {
              data: input.data,
              output: at("data"),
              "random-seed": input.splitSeed,
              ...(input.images === undefined ? {} : { images: input.images }),
              ...(input.split === null ? {} : { split: input.split }),
            },
          }),
        outputs: () =>
          readdirSync(at("data"))
            .filter(isSplitFile)
            .map((name) => `data/${name}`),
      }),
    },
    {
      name: "plan",
      prepare: async () => ({
        decision:
          input.edited === null
            ? "the advisor looks at the training split and decides (AUTO)"
            : `${changesOf(input.edited).length} changes of a person to the advisor's plan (ASSISTED)`,
        inputs: {
          ...(await digests(splitFiles("train"))),
          ...wishes,
          ...(input.edited === null ? {} : { edited: input.edited.choices }),
        },
        owns: [PLAN_FILE, "plan.txt"],
        run: async () => {
          const {
            file,
            plan: advised,
            fingerprint,
          } = await makeRunPlan(at(split("train")), {
            wishes,
            edited: input.edited,
            learning: input.learning?.store ?? null,
            signal,
          });
          checkCarriedOut(file);
          writeFileAtomic(at(PLAN_FILE), planYaml(file));
          writeFileAtomic(at("plan.txt"), explainPlan(advised, "detailed"));
          sayPlan(file, { teaching, output });
          output.line(`time        ${timeInWords(file, { ...teaching, images: fingerprint.images })}`);
          if (input.learning === null || input.isDryRun === true) return;
          const record = readRunRecord(experiment);
          const learning = newRunId();
          await input.learning.store.begin({
            run_id: learning,
            plan: {
              id: file.plan,
              choices: plainFacts(
                Object.fromEntries(Object.entries(file.advised).map(([name, { value }]) => [name, value])),
              ),
            },
            fingerprint,
            used: plainFacts(file.choices),
          });
          writeRunRecord(experiment, { ...record, learning });
          output.line(`learning    run ${learning} is recorded in ${input.learning.where}`);
        },
        outputs: () => [PLAN_FILE],
      }),
    },
    {
      name: "train-teacher",
      prepare: async () => {
        const file = plan();
        const { settings, why } = teacherSettings(file, teaching);
        const words = [
          ...(file.choices["detector_teacher"] ? ["Grounding DINO to the boxes"] : []),
          ...(file.choices["mask_teacher"] ? ["SAM to the masks"] : []),
        ];
        const inputs = {
          ...(await digests(splitFiles("train", "val"))),
          ...input.dataDigest,
          ...settings,
          ...given.teacher,
          seed: input.seed,
          teachers: settings === null ? "none" : input.teachers,
        };
        return {
          decision: settings === null ? `none: ${why}` : `adapt ${words.join(" and ")}; ${why}`,
          inputs,
          owns: ["teachers"],
          run: async ({ resume }) => {
            if (settings === null) return;
            await withRemedy(input.teachers, () =>
              invoke("train-teacher", {
                ...common,
                decided: settings,
                options: {
                  data: at(split("train")),
                  output: experiment,
                  seed: input.seed,
                  ...valOf(),
                  ...engine,
                  ...given.teacher,
                  ...(resume ? { resume: true } : {}),
                },
              }),
            );
          },
          outputs: teacherFiles,
        };
      },
    },
    {
      name: "train-student",
      prepare: async () => {
        const file = plan();
        const settings = studentSettings(file);
        const hasTeacher = existsSync(at("teachers/decisions.json"));
        return {
          decision: `${settings["student"]} at ${settings["imgsz"]} px, ${settings["epochs"]} epochs; ${reasonOf(file, "student")}`,
          inputs: {
            ...(await digests([...splitFiles("train", "val"), ...teacherFiles()])),
            ...input.dataDigest,
            ...settings,
            ...given.student,
            seed: input.seed,
          },
          owns: ["student"],
          run: ({ resume }) =>
            invoke("train-student", {
              ...common,
              decided: settings,
              options: {
                data: at(split("train")),
                output: at("student"),
                seed: input.seed,
                ...valOf(),
                ...(hasTeacher ? { "teacher-dir": experiment } : {}),
                ...engine,
                ...given.student,
                ...(resume ? { resume: true } : {}),
              },
            }),
          outputs: () => ["student/student.json", "student/weights/student.safetensors", "student/results.csv"],
        };
      },
    },
    {
      name: "optimize",
      prepare: async () => {
        const file = plan();
        const settings = optimizeSettings(file);
        return {
          decision: `ONNX, ${settings["quantize"]}; ${reasonOf(file, "export")}`,
          inputs: {
            ...(await digests([
              ...splitFiles("train", "val"),
              "student/weights/student.safetensors",
              "student/student.json",
            ])),
            ...settings,
            ...given.optimize,
          },
          owns: ["student/optimized"],
          run: () =>
            invoke("optimize", {
              ...common,
              decided: settings,
              options: { model: at("student"), ...engine, ...given.optimize },
            }),
          outputs: () =>
            readdirSync(at("student/optimized"))
              .filter((name) => /\.(onnx|tflite|engine|yaml)$|^certificate\.json$/.test(name))
              .map((name) => `student/optimized/${name}`),
        };
      },
    },
    {
      name: "evaluate",
      prepare: async () => {
        const held = splitFiles("test").length > 0 ? "test" : "val";
        const artefacts = existsSync(at("student/optimized"))
          ? readdirSync(at("student/optimized")).filter((name) => name.endsWith(".onnx") || name.endsWith(".tflite"))
          : [];
        return {
          decision:
            held === "test"
              ? "teacher, student and artefacts on the test split, which nothing has seen; then the report"
              : "on the validation split, because the data has no test split: epochs were chosen by it, so the figures flatter",
          inputs: {
            ...(await digests([
              ...splitFiles(held),
              ...teacherFiles(),
              "student/weights/student.safetensors",
              ...artefacts.map((name) => `student/optimized/${name}`),
            ])),
            ...given.evaluate,
            title: input.title,
          },
          owns: ["report.html", "report.json", "report-pictures"],
          run: () =>
            invoke("evaluate", {
              ...common,
              options: {
                student: at("student"),
                data: at(split(held)),
                output: experiment,
                title: input.title,
                ...(existsSync(at("teachers/decisions.json")) ? { "teacher-dir": experiment } : {}),
                ...onThreads,
                ...given.evaluate,
              },
            }),
          outputs: () => ["report.html", "report.json"],
        };
      },
    },
  ];
}

/**
 * Published weights that cannot be had end a run only until the person decides what to do without them.
 * @throws {@link CommandError} `cli/published-teachers-unavailable`
 */
async function withRemedy(teachers: TeacherChoice, train: () => Promise<void>): Promise<void> {
  try {
    await train();
  } catch (error) {
    // Bytes that are not those of their checksum have an exit code of their own.
    if (teachers !== "published" || !HubError.isInstance(error) || error.code === "INTEGRITY") throw error;
    throw new CommandError({
      code: "cli/published-teachers-unavailable",
      message: `The published teachers cannot be had: ${error.message.replace(/\.$/, "")}. Run it again with a network, or take --teacher embedded (the small ones of this toolkit) or --teacher none (labels alone); what is done is kept.`,
    });
  }
}

/** "about 26:00 of training: teachers 6:00, student 20:00, ..." */
export function timeInWords(file: PlanFile, given: TeacherWishes & { readonly images: number }): string {
  const { teacher, student } = plannedSeconds(file, given);
  const reference =
    "on one idle core with AVX-512, as the rules were measured; more cores are faster, other work slower";
  const parts = `teachers ${teacher === null ? "not measured" : duration(teacher)}, student ${student === null ? "not measured" : duration(student)}`;
  if (teacher === null || student === null) return `${parts} ${reference}`;
  return `about ${duration(teacher + student)} of training: ${parts}, ${reference}`;
}

/** Every choice of a plan that a run follows in one line, with its reason. */
export function sayPlan(file: PlanFile, { teaching, output }: { teaching: TeacherWishes; output: Output }): void {
  for (const [name, value] of Object.entries(file.choices)) {
    if (OF_OTHER_COMMANDS.includes(name)) continue;
    output.line(`${name.replaceAll("_", " ").padEnd(18)} ${shown(value).padEnd(20)} ${reasonOf(file, name)}`);
  }
  for (const { output: name, advised, chosen } of changesOf(file)) {
    output.line(`changed     ${name.replaceAll("_", " ")}: ${shown(advised)} -> ${shown(chosen)}`);
  }
  for (const line of notCarriedOut(file, teaching)) output.line(`note        ${line}`);
  for (const line of file.warnings) output.line(`look out    ${line}`);
}
