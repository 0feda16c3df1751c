import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultRules } from "@seg/model-hub";
import type { DryRun } from "../dry-run.js";
import type { Output } from "../output.js";
import {
  type ExperimentInput,
  experimentSteps,
  PLAN_FILE,
  STEPS,
  TRAIN_FILE,
  timeInWords,
} from "./experiment-steps.js";
import { readPlanFile, reasonOf, shown } from "./plan-file.js";
import { checkCarriedOut } from "./plan-words.js";
import { inspectSteps, runSteps } from "./run-steps.js";

/** What is left of an experiment, by the step that makes it. */
const WRITES: Readonly<Record<(typeof STEPS)[number], readonly [path: string, what: string][]>> = {
  validate: [["data", "splits, repaired; the record of the split"]],
  plan: [
    ["plan.yaml", "every choice with its reason, to edit"],
    ["plan.txt", "the plan explained"],
  ],
  "train-teacher": [["teachers", "adapters and what they reached"]],
  "train-student": [["student", "weights, curves, pictures of the training"]],
  optimize: [["student/optimized", "ONNX files with certificate"]],
  evaluate: [["report.html and report.json", "the report"]],
};

/** Images of the training split. */
const imagesIn = (experiment: string): number =>
  (JSON.parse(readFileSync(join(experiment, TRAIN_FILE), "utf8")) as { images: unknown[] }).images.length;

/**
 * What a run would do: the data is checked, split and planned for in a temporary folder that is removed, so the decisions are those of the run
 * itself; of an experiment that exists only its record is read.
 */
export async function previewRun(
  input: ExperimentInput,
  { from, until }: { from: string | null; until: string | null },
): Promise<DryRun> {
  const { experiment, signal } = input;
  const silent: Output = { ...input.output, line: () => {}, event: () => {}, result: () => {} };
  const temporary = await mkdtemp(join(tmpdir(), "seg-dry-run-"));
  try {
    const steps = experimentSteps({ ...input, experiment: temporary, output: silent, isDryRun: true });
    await runSteps({ experiment: temporary, steps, until: "plan", output: silent, signal });
    const file = readPlanFile(join(temporary, PLAN_FILE), Object.keys(defaultRules().outputs));
    checkCarriedOut(file);
    const { kept, next, reason } = await inspectSteps({ experiment, steps: experimentSteps(input), from });
    const last = until === null ? STEPS.length : (STEPS as readonly string[]).indexOf(until) + 1;
    const wanted = steps.slice(0, last);
    const stateOf = (name: string): string => {
      if (kept.includes(name)) return "kept as it is";
      return name === next ? `to do (${reason})` : "to do";
    };
    const decisions = await Promise.all(wanted.map(async ({ name, prepare }) => [name, await prepare()] as const));
    return {
      decisions: [
        ...Object.entries(file.choices).map(([what, choice]) => ({
          what: what.replaceAll("_", " "),
          choice: shown(choice),
          why: reasonOf(file, what),
        })),
        {
          what: "time",
          choice: "estimated",
          why: timeInWords(file, {
            teachers: input.teachers,
            timeBudgetSeconds: input.wishes.timeBudgetSeconds,
            student: input.given.student,
            images: imagesIn(temporary),
          }),
        },
      ],
      steps: decisions.map(([name, { decision }], index) => `${index + 1} ${name}, ${stateOf(name)}: ${decision}`),
      writes: wanted.flatMap(({ name }) =>
        kept.includes(name)
          ? []
          : WRITES[name as keyof typeof WRITES].map(([path, what]) => ({ path: join(experiment, path), what })),
      ),
    };
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
