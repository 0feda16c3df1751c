import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadDataset } from "@seg/coco-dataset";
import { Advisor, type AdvisorMode } from "../../advisor/advisor.js";
import type { ExplainLevel } from "../../advisor/explain.js";
import type { Priority } from "../../advisor/facts.js";
import { fingerprintDataset } from "../../advisor/fingerprint.js";
import { insightsOf } from "../../advisor/insights.js";
import { type FeedbackInput, LearningStore } from "../../advisor/learning-store.js";
import { readMemory } from "../../pool/memory.js";
import { type CliCall, type CliCommand, CliUsageError } from "../command.js";
import { hubRoot, STATE_OPTIONS, withState } from "../open-state.js";

const LEVELS = ["minimal", "standard", "detailed", "technical"] as const satisfies readonly ExplainLevel[];
const PRIORITIES = ["quality", "balanced", "speed", "memory"] as const satisfies readonly Priority[];
const MODES = ["auto", "assisted", "manual"] as const satisfies readonly AdvisorMode[];

function oneOf<Value extends string>(call: CliCall, name: string, known: readonly Value[], fallback: Value): Value {
  const given = call.text(name) ?? fallback;
  const found = known.find((value) => value === given);
  if (found !== undefined) return found;
  throw new CliUsageError(`--${name} must be one of ${known.join(", ")}; got "${given}".`);
}

const stars = (call: CliCall, name: string) => call.integer(name, { min: 1, max: 5 }) ?? null;

/** `seg-hub advise`: plans by rules and experience. */
export const adviseCommands: readonly CliCommand[] = [
  {
    name: "advise",
    operands: "<annotations.json>",
    help: "what to train on a COCO file, by rules and by what earlier runs taught",
    options: {
      ...STATE_OPTIONS,
      images: { type: "string", help: "folder of the images [images beside the file, if there is one]" },
      task: { type: "string", help: "what shall be found, in words" },
      priority: { type: "string", help: `one of ${PRIORITIES.join(", ")} [balanced]` },
      mode: { type: "string", help: `one of ${MODES.join(", ")} [auto]` },
      explain: { type: "string", help: `one of ${LEVELS.join(", ")} [standard]` },
    },
    run: (call) => {
      const [file, ...more] = call.positional;
      if (file === undefined || more.length > 0)
        throw new CliUsageError("Expected one COCO file: seg-hub advise annotations.json.");
      const priority = oneOf(call, "priority", PRIORITIES, "balanced");
      const mode = oneOf(call, "mode", MODES, "auto");
      const level = oneOf(call, "explain", LEVELS, "standard");
      const beside = join(dirname(file), "images");
      const imagesDir = call.text("images") ?? (existsSync(beside) ? beside : null);
      return withState(call, async ({ sql }) => {
        const advisor = new Advisor({ learning: new LearningStore({ sql }) });
        const fingerprint = await fingerprintDataset(await loadDataset(file), { imagesDir, signal: call.io.signal });
        const task = call.text("task");
        const plan = await advisor.recommend({
          fingerprint,
          mode,
          priority,
          constraints: { freeBytes: (await readMemory()).availableBytes },
          ...(task === undefined ? {} : { task }),
        });
        call.result(plan, advisor.explain(plan, level).trimEnd().split("\n"));
        return 0;
      });
    },
  },
];

const userOf = (call: CliCall): string => {
  const user = call.text("user") ?? call.io.env["USER"];
  if (user === undefined || call.positional.length > 0) throw new CliUsageError("Name the user: --user ana.");
  return user;
};
const USER: typeof STATE_OPTIONS = {
  ...STATE_OPTIONS,
  user: { type: "string", help: "as the runs and the feedback name them [the user's name]" },
};

/** `seg-hub feedback export` and `forget`: a person's data. */
const ownDataCommands: readonly CliCommand[] = [
  {
    name: "feedback export",
    help: "everything that is kept of a person, as JSON",
    options: USER,
    run: (call) => {
      const user = userOf(call);
      return withState(call, async ({ sql }) => {
        const own = await new LearningStore({ sql }).exportUser(user);
        call.result(own, JSON.stringify(own, null, 2).split("\n"));
        return 0;
      });
    },
  },
  {
    name: "feedback forget",
    help: "remove a person's runs with all feedback on them, and what they said of others",
    options: USER,
    run: (call) => {
      const user = userOf(call);
      return withState(call, async ({ sql }) => {
        const log = join(hubRoot(call), "feedback.jsonl");
        const removed = await new LearningStore({ sql, log }).deleteUser(user);
        call.result(removed, [
          `${removed.runs} runs and ${removed.feedback} pieces of feedback of ${user} are removed; ${log} still holds what was said, marked as deleted.`,
        ]);
        return 0;
      });
    },
  },
];

/** `seg-hub feedback`: what people say of runs. */
export const feedbackCommands: readonly CliCommand[] = [
  ...ownDataCommands,
  {
    name: "feedback",
    operands: "<run id>",
    help: "rate a run, comment on it, say what was done with its result",
    options: {
      ...STATE_OPTIONS,
      rating: { type: "string", help: "1 to 5, overall" },
      quality: { type: "string", help: "1 to 5, of the masks" },
      accuracy: { type: "string", help: "1 to 5, of the class names" },
      aesthetic: { type: "string", help: "1 to 5, how neat the outlines are" },
      comment: { type: "string", help: "in words" },
      tag: { type: "string", multiple: true, help: "a word to find it by; several times if need be" },
      action: {
        type: "string",
        multiple: true,
        help: "saved, shared, regenerated, exported or deployed; several times if need be",
      },
    },
    run: (call) => {
      const [run_id, ...more] = call.positional;
      if (run_id === undefined || more.length > 0)
        throw new CliUsageError("Expected one run id: seg-hub feedback RUN --rating 4.");
      const input: FeedbackInput = {
        run_id,
        rating: stars(call, "rating"),
        quality: stars(call, "quality"),
        accuracy: stars(call, "accuracy"),
        aesthetic: stars(call, "aesthetic"),
        comment: call.text("comment") ?? null,
        tags: [...call.list("tag")],
        actions: [...call.list("action")] as NonNullable<FeedbackInput["actions"]>,
      };
      return withState(call, async ({ sql }) => {
        const record = await new LearningStore({ sql, log: join(hubRoot(call), "feedback.jsonl") }).give(input);
        call.result(record, [`Kept as ${record.id}: what was said of run ${run_id} counts in the next plan.`]);
        return 0;
      });
    },
  },
];

/** `seg-hub stats`: what follows from it. */
export const statsCommands: readonly CliCommand[] = [
  {
    name: "stats",
    help: "what runs and feedback say",
    options: STATE_OPTIONS,
    run: (call) =>
      withState(call, async ({ sql }) => {
        const statistics = await new LearningStore({ sql }).statistics();
        call.result(statistics, insightsOf(statistics));
        return 0;
      }),
  },
];
