import { HubError } from "../../errors.js";
import { JOB_KINDS, type JobEvent, type JobKind, type JobState } from "../../jobs/types.js";
import { type CliCall, type CliCommand, CliUsageError } from "../command.js";
import { STATE_OPTIONS, withState } from "../open-state.js";
import { table } from "../table.js";
import { trainerModules } from "../trainer-modules.js";

function oneId(call: CliCall): string {
  if (call.positional.length === 1) return call.positional[0]!;
  throw new CliUsageError("Expected one job id; see seg-hub jobs.");
}

/** One line for people per event. */
export function eventLine({ type, data, at }: JobEvent): string {
  if (type === "progress") {
    const { phase, epoch, epochs, percent, eta_s } = data as Record<string, number | string | null>;
    const remaining = eta_s === null ? "" : `, ${Math.ceil(Number(eta_s))} s left`;
    return `${at}  ${Number(percent).toFixed(0).padStart(3)} %  ${phase}${epoch === null ? "" : ` epoch ${epoch}/${epochs}`}${remaining}`;
  }
  if (type === "log") return `${at}  ${data["message"]}`;
  const error = data["error"] as { code?: string; message?: string } | undefined;
  return `${at}  ${data["state"]}${error === undefined ? "" : `: ${error.code} ${error.message}`}`;
}

/** `seg-hub jobs ...`: long work. */
export const jobCommands: readonly CliCommand[] = [
  {
    name: "jobs",
    help: "jobs, newest first",
    options: {
      ...STATE_OPTIONS,
      state: { type: "string", help: "only jobs in this state" },
      kind: { type: "string", help: `one of ${JOB_KINDS.join(", ")}` },
      limit: { type: "string", help: "at most so many [50]" },
    },
    run: (call) =>
      withState(call, async ({ jobs }) => {
        const kind = call.text("kind");
        if (kind !== undefined && !(JOB_KINDS as readonly string[]).includes(kind)) {
          throw new CliUsageError(`--kind must be one of ${JOB_KINDS.join(", ")}; got "${kind}".`);
        }
        const state = call.text("state");
        const limit = call.integer("limit", { min: 1, max: 1000 });
        const page = await jobs.list({
          ...(kind === undefined ? {} : { kind: kind as JobKind }),
          ...(state === undefined ? {} : { state: state as JobState }),
          ...(limit === undefined ? {} : { limit }),
        });
        call.result(
          page,
          table(
            ["id", "kind", "state", "%", "created", "by"],
            page.jobs.map((job) => [
              job.id,
              job.kind,
              job.state,
              Math.round(job.progress?.percent ?? 0),
              job.created_at,
              job.created_by,
            ]),
          ),
        );
        return 0;
      }),
  },
  {
    name: "jobs watch",
    operands: "<id>",
    help: "a job's events until it ends; exit 1 when it failed",
    options: { ...STATE_OPTIONS, after: { type: "string", help: "number of the last event seen [0]" } },
    run: (call) =>
      withState(call, async ({ jobs }) => {
        const id = oneId(call);
        const after = call.integer("after", { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0;
        for await (const event of jobs.watch(id, { after, signal: call.io.signal })) {
          call.io.out(`${call.json ? JSON.stringify(event) : eventLine(event)}\n`);
        }
        call.io.signal.throwIfAborted();
        return (await jobs.get(id)).state === "succeeded" ? 0 : 1;
      }),
  },
  ...(["cancel", "resume"] as const).map(
    (action): CliCommand => ({
      name: `jobs ${action}`,
      operands: "<id>",
      help:
        action === "cancel"
          ? "end a job; a running one saves a checkpoint first"
          : "go on with a cancelled, failed or interrupted job",
      options: STATE_OPTIONS,
      run: (call) =>
        withState(call, async ({ jobs }) => {
          const job = await jobs[action](oneId(call), { actor: call.io.env["USER"] ?? null });
          call.result(job, [`${job.id} is ${job.state}`]);
          return 0;
        }),
    }),
  ),
];

/** `seg-hub retrain`: queue a training, and run it here unless a server does. */
export const retrainCommands: readonly CliCommand[] = [
  {
    name: "retrain",
    help: "train from stored data; registers a version when it succeeds",
    options: {
      ...STATE_OPTIONS,
      trainer: {
        type: "string",
        multiple: true,
        help: "module[#export] of a trainer; the first one is used unless --trainer-id says otherwise",
      },
      "trainer-id": { type: "string", help: "id of the trainer to use" },
      model: { type: "string", help: "model's name [default]" },
      dataset: { type: "string", help: "name of a dataset [all of the trainer's kind]" },
      epochs: { type: "string", help: "1-10000" },
      "batch-size": { type: "string", help: "1-1024" },
      "learning-rate": { type: "string", help: "above 0, at most 1" },
      "hidden-size": { type: "string", help: "capacity; the rank of adapters" },
      seed: { type: "string", help: "[0]" },
      base: { type: "string", help: "version to train further" },
      description: { type: "string", help: "kept with the version" },
      "dry-run": { type: "boolean", help: "show the resolved configuration and the estimate" },
      detach: { type: "boolean", help: "queue only: a server runs it" },
    },
    async run(call) {
      const trainers = trainerModules(call.list("trainer"));
      return withState(
        call,
        async (state) => {
          const request = requestOf(call);
          if (call.flag("dry-run")) {
            const preview = await state.retrain.preview(request);
            call.result(preview, [
              JSON.stringify(preview.config, null, 2),
              `${preview.estimate.steps} steps, ${preview.estimate.seconds === null ? "time unknown" : `about ${Math.round(preview.estimate.seconds)} s`}`,
            ]);
            return 0;
          }
          const { job_id } = await state.retrain.start(request, { actor: call.io.env["USER"] ?? null });
          if (call.flag("detach")) {
            call.result({ job_id }, [job_id]);
            return 0;
          }
          state.startWorking();
          const cancel = () => void state.jobs.cancel(job_id).catch(() => undefined);
          call.io.signal.addEventListener("abort", cancel, { once: true });
          for await (const event of state.jobs.watch(job_id)) call.io.err(`${eventLine(event)}\n`);
          call.io.signal.throwIfAborted();
          const result = await state.retrain.result(job_id);
          if (result === null)
            throw new HubError({ code: "INTERNAL", message: `Job ${job_id} has ended without a result.` });
          call.result(result, [
            result.message,
            ...(result.suggest_activation ? [`suggested: seg-hub registry activate ${result.version}`] : []),
          ]);
          return 0;
        },
        { trainers },
      );
    },
  },
];

function requestOf(call: CliCall) {
  const number = (name: string) => {
    const given = call.text(name);
    if (given === undefined) return undefined;
    const value = Number(given);
    if (!Number.isFinite(value)) throw new CliUsageError(`--${name} must be a number; got "${given}".`);
    return value;
  };
  const fields = {
    model: call.text("model"),
    trainer: call.text("trainer-id"),
    dataset_name: call.text("dataset"),
    epochs: number("epochs"),
    batch_size: number("batch-size"),
    learning_rate: number("learning-rate"),
    hidden_size: number("hidden-size"),
    seed: number("seed"),
    base_version: call.text("base"),
    description: call.text("description"),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
