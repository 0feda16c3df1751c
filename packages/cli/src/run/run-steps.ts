import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { canonicalSha256 } from "@seg/model-hub";
import { CommandError } from "../errors.js";
import { duration, type Output } from "../output.js";
import {
  brokenOutput,
  describeFiles,
  type RunRecord,
  readRunRecord,
  type StepRecord,
  writeRunRecord,
} from "./run-record.js";

/** What a step is about to do, known once the steps before it are done. */
export interface PreparedStep {
  /** One line: what is done, and why. */
  readonly decision: string;
  /** Everything that the result follows from, by name: settings, and digests of what is read. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Folders and files that a run of other inputs left, relative to the experiment: they are moved aside, never overwritten. */
  readonly owns: readonly string[];
  /** @param resume - an earlier run of the same inputs was interrupted: go on from what it saved */
  run(options: { resume: boolean }): Promise<void>;
  /** Files that are there afterwards, relative to the experiment; asked after the step has run. */
  outputs(): readonly string[];
}

/** One step of `seg run`. */
export interface RunStep {
  readonly name: string;
  prepare(): Promise<PreparedStep>;
}

/** What became of a step. */
export interface StepOutcome {
  readonly name: string;
  readonly state: "done" | "kept";
  readonly seconds: number;
}

/**
 * Carries out steps in order. A step whose files are whole and made from the same inputs is kept; one that was interrupted goes on; what other
 * inputs left is moved aside (`student` to `student.1`), so nothing is lost and nothing is mixed. The record is written before and after every
 * step: a kill at any moment costs at most the step's own unsaved work.
 *
 * @param from - do this step and the ones after it again
 * @param until - the last step to do
 * @throws `signal.reason` when it was aborted, also between steps; what a step throws
 */
export async function runSteps({
  experiment,
  steps,
  from = null,
  until = null,
  output,
  signal,
  now = () => performance.now(),
}: {
  experiment: string;
  steps: readonly RunStep[];
  from?: string | null;
  until?: string | null;
  output: Output;
  signal: AbortSignal;
  now?: () => number;
}): Promise<StepOutcome[]> {
  const record = readRunRecord(experiment);
  const first = from === null ? steps.length : steps.findIndex(({ name }) => name === from);
  const last = until === null ? steps.length - 1 : steps.findIndex(({ name }) => name === until);
  const outcomes: StepOutcome[] = [];
  for (const [index, { name, prepare }] of steps.slice(0, last + 1).entries()) {
    signal.throwIfAborted();
    const step = await prepare();
    const key = canonicalSha256(step.inputs);
    const known = record.steps[name];
    const title = `\n== ${index + 1}/${steps.length} ${name}: ${step.decision}`;
    const reason = index >= first ? `--from ${from}` : await whyAgain(experiment, known, { ...step, key });
    if (reason === null) {
      output.line(`${title}\nkept        it is there, whole and made from the same inputs`);
      output.event({ type: "run-step", name, state: "kept", decision: step.decision });
      outcomes.push({ name, state: "kept", seconds: known!.seconds });
      continue;
    }
    output.line(title);
    const resume = index < first && known?.state === "started" && known.key === key;
    if (known !== undefined && !resume) {
      const moved = moveAside(experiment, step.owns);
      output.line(`again       ${reason}${moved.length === 0 ? "" : `; the former one is kept: ${moved.join(", ")}`}`);
    } else if (resume) output.line("resume      this step was interrupted: going on from what it saved");
    output.event({ type: "run-step", name, state: resume ? "resumed" : "started", decision: step.decision });
    const begun: StepRecord = { state: "started", key, inputs: step.inputs, outputs: {}, seconds: 0 };
    save(experiment, record, name, begun);
    const start = now();
    await step.run({ resume });
    // A training that was told to stop returns with what it saved.
    signal.throwIfAborted();
    const seconds = (now() - start) / 1000;
    save(experiment, record, name, {
      ...begun,
      state: "done",
      outputs: await describeFiles(experiment, step.outputs()),
      seconds,
    });
    output.line(`done        ${name} in ${duration(seconds)}`);
    output.event({ type: "run-step", name, state: "done", seconds });
    outcomes.push({ name, state: "done", seconds });
  }
  return outcomes;
}

/**
 * What {@link runSteps} would find: the state of the steps up to the first that has to be done. What comes after it depends on what it makes.
 */
export async function inspectSteps({
  experiment,
  steps,
  from = null,
}: {
  experiment: string;
  steps: readonly RunStep[];
  from?: string | null;
}): Promise<{ readonly kept: readonly string[]; readonly next: string | null; readonly reason: string | null }> {
  const { steps: known } = readRunRecord(experiment);
  const kept: string[] = [];
  for (const { name, prepare } of steps) {
    const step = await prepare();
    const reason =
      name === from
        ? `--from ${from}`
        : await whyAgain(experiment, known[name], { ...step, key: canonicalSha256(step.inputs) });
    if (reason !== null) return { kept, next: name, reason };
    kept.push(name);
  }
  return { kept, next: null, reason: null };
}

/** Why a step has to be done; null: it need not. */
async function whyAgain(
  experiment: string,
  known: StepRecord | undefined,
  { key, inputs }: { key: string; inputs: Readonly<Record<string, unknown>> },
): Promise<string | null> {
  if (known === undefined) return "not done yet";
  if (known.key !== key) return `made from other inputs: ${differences(known.inputs, inputs).join(", ")}`;
  if (known.state === "started") return "interrupted";
  const broken = await brokenOutput(experiment, known);
  return broken === null ? null : `${broken} is missing or was changed`;
}

/** "epochs 36 -> 40", the first five. */
function differences(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): string[] {
  const short = (value: unknown) => {
    const text = value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value);
    return text.length > 24 ? `${text.slice(0, 12)}...` : text;
  };
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const digest = (value: unknown) => canonicalSha256(value ?? null);
  const changed = names.filter((name) => digest(before[name]) !== digest(after[name]));
  return changed.slice(0, 5).map((name) => `${name} ${short(before[name])} -> ${short(after[name])}`);
}

function save(experiment: string, record: RunRecord, name: string, step: StepRecord): void {
  record.steps[name] = step;
  writeRunRecord(experiment, { ...readRunRecord(experiment), steps: record.steps });
}

/** Renames what is there to the first free `name.N`; returns the new names. */
function moveAside(experiment: string, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const path = join(experiment, name);
    if (!existsSync(path)) return [];
    for (let n = 1; n <= 1000; n++) {
      const target = `${name}.${n}`;
      if (existsSync(join(experiment, target))) continue;
      mkdirSync(experiment, { recursive: true });
      renameSync(path, join(experiment, target));
      return [target];
    }
    throw new CommandError({
      code: "cli/too-many-former-runs",
      message: `${experiment} keeps more than 1,000 former runs of ${name}. Remove some, or give another --output.`,
    });
  });
}
