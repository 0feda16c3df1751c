import { join } from "node:path";
import { z } from "zod";
import type { Fact } from "../advisor/facts.js";
import { planTrials, type SweepVariation, type Trial } from "../advisor/plan-trials.js";
import { runSweep, type TrialResult } from "../advisor/run-sweep.js";
import { HubError } from "../errors.js";
import { type JobContext, type JobProgress, type JobQueue, TERMINAL_STATES } from "../jobs/types.js";
import { parseOrThrow } from "../registry/parse.js";
import type { Json } from "../registry/types.js";
import type { RetrainRequest, RetrainServicePort } from "./types.js";

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const range = z.strictObject({
  min: z.number(),
  max: z.number(),
  scale: z.enum(["linear", "log"]).optional(),
  integer: z.boolean().optional(),
});
const single = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("seed"), count: z.number().int().min(1).max(64) }),
  z.strictObject({
    kind: z.literal("param"),
    count: z.number().int().min(1).max(64),
    space: z.record(z.string(), range).optional(),
  }),
  z.strictObject({ kind: z.literal("grid"), values: z.record(z.string(), z.array(scalar).min(1)) }),
  z.strictObject({ kind: z.literal("adapter"), adapters: z.array(z.string().min(1)).min(1) }),
]);
/** What a sweep may vary. */
export const SweepVariationInput = z.union([
  single,
  z.strictObject({ kind: z.literal("mixed"), of: z.array(single).min(1).max(4) }),
]);

/** When a trial is ended early: after so many epochs, below the median of so many others at that epoch. */
export const SweepPruning = z.strictObject({
  min_epochs: z.number().int().min(1).max(10_000).default(5),
  min_trials: z.number().int().min(1).max(256).default(3),
});

const METRICS = ["accuracy", "precision", "recall", "f1_score", "map50", "map50_95", "mask_iou", "loss"] as const;
/** Fields of a retraining; every other parameter of a trial is one of its trainer. */
const FIELDS: ReadonlySet<string> = new Set([
  "epochs",
  "batch_size",
  "learning_rate",
  "hidden_size",
  "seed",
  "trainer",
]);

const request = z.strictObject({
  variation: SweepVariationInput,
  metric: z.enum(METRICS).default("map50_95"),
  seed: z.number().int().min(0).default(0),
  max_trials: z.number().int().min(1).max(256).default(32),
  prune: SweepPruning.nullable().default(null),
});

/** What {@link SweepService.start} is asked, beside the retraining that every trial starts from. */
export type SweepRequest = Readonly<z.input<typeof request>>;

/** A sweep that has ended, as it is drawn. */
export interface EndedSweep {
  readonly metric: string;
  /** Best first; metrics as they are measured, so a loss is best where it is lowest. */
  readonly ranking: readonly Pick<TrialResult, "index" | "params" | "state" | "metric">[];
  /** Where `results.csv` lies, and pictures belong. */
  readonly directory: string;
}

/** Draws a sweep and writes the picture beside its table. @returns the picture as SVG; null where nothing was measured */
export type DrawSweep = (sweep: EndedSweep) => Promise<string | null>;

/** Starts sweeps and runs them as jobs: every trial is a retraining of its own, so it waits for its device like any other. */
export class SweepService {
  readonly #retrain: RetrainServicePort;
  readonly #jobs: JobQueue;
  readonly #root: string;
  readonly #draw: DrawSweep | null;

  /**
   * @param root - folder of every sweep's trials, table and pictures
   * @param draw - null: sweeps end with their table alone. @defaultValue null
   */
  constructor({
    retrain,
    jobs,
    root,
    draw = null,
  }: {
    retrain: RetrainServicePort;
    jobs: JobQueue;
    root: string;
    draw?: DrawSweep | null;
  }) {
    this.#retrain = retrain;
    this.#jobs = jobs;
    this.#root = root;
    this.#draw = draw;
  }

  /**
   * Checks a sweep and queues it.
   * @throws HubError `INVALID_REQUEST`, and what a preview of the base retraining throws
   */
  async start(
    base: RetrainRequest,
    input: SweepRequest,
    { actor = null }: { actor?: string | null } = {},
  ): Promise<{ job_id: string; trials: number }> {
    const asked = parseOrThrow(request, input, "The sweep");
    const trials = trialsOf(asked);
    for (const trial of trials) await this.#retrain.preview(retrainOf(base, trial));
    const { id } = await this.#jobs.enqueue({
      kind: "sweep",
      payload: { base: base as unknown as Json, sweep: asked as unknown as Json },
      created_by: actor,
    });
    return { job_id: id, trials: trials.length };
  }

  /**
   * Runs a sweep; the result ranks its trials with the versions that they registered, and holds the picture of them as SVG. A trial that was running when the worker stopped goes on
   * as the job that it is.
   */
  readonly handler = async (context: JobContext): Promise<{ readonly [key: string]: Json }> => {
    const { job, signal } = context;
    const base = job.payload["base"] as unknown as RetrainRequest;
    const asked = request.parse(job.payload["sweep"]);
    const trials = trialsOf(asked);
    // Rankings put the largest first.
    const sign = asked.metric === "loss" ? -1 : 1;
    const started = { ...(job.checkpoint?.["jobs"] as Record<string, string> | undefined) };
    const versions = { ...(job.checkpoint?.["versions"] as Record<string, string> | undefined) };
    const total = trials.length;
    const progress = (done: number, metrics: JobProgress["metrics"]) =>
      context.progress({
        phase: done < total ? `trial ${done + 1} of ${total}` : "saving",
        epoch: null,
        epochs: null,
        step: done,
        steps: total,
        percent: (100 * done) / total,
        metrics,
        eta_s: null,
      });
    progress(0, {});
    const directory = join(this.#root, `sweep-${job.run_id}`);
    const { ranking, best } = await runSweep({
      trials,
      directory,
      signal,
      prune: asked.prune === null ? null : { minSteps: asked.prune.min_epochs, minTrials: asked.prune.min_trials },
      onEvent: (event) => {
        if (event.type === "trial") progress(event.done, { [asked.metric]: event.result.metric });
      },
      run: async (trial, { report }) => {
        const known = started[trial.id];
        const job_id = known ?? (await this.#retrain.start(retrainOf(base, trial), { actor: job.created_by })).job_id;
        started[trial.id] = job_id;
        await context.checkpoint({ jobs: started, versions });
        let hopeless: unknown = null;
        const following =
          asked.prune === null
            ? Promise.resolve()
            : this.#follow(job_id, asked.metric, (metric) => report(sign * metric), signal).catch(async (error) => {
                hopeless = error;
                await this.#cancel(job_id);
              });
        const result = await this.#result(job_id, signal).catch(async (error: unknown) => {
          await following;
          throw hopeless ?? error;
        });
        versions[trial.id] = result.version;
        await context.checkpoint({ jobs: started, versions });
        await following;
        if (hopeless !== null) throw hopeless;
        const value = result.metrics[asked.metric];
        if (value === null || value === undefined) {
          throw new HubError({ code: "INVALID_METRIC", message: `The trainer measured no ${asked.metric}.` });
        }
        return sign * value;
      },
    });
    const view = (result: (typeof ranking)[number]) => ({
      trial: result.index,
      params: result.params,
      state: result.state,
      metric: result.metric === null ? null : sign * result.metric,
      version: versions[result.id] ?? null,
      error: result.error,
    });
    const plot = await this.#draw?.({
      metric: asked.metric,
      ranking: ranking.map(({ index, params, state, metric }) => ({
        ...{ index, params, state },
        metric: metric === null ? null : sign * metric,
      })),
      directory,
    });
    return {
      metric: asked.metric,
      ranking: ranking.map(view) as unknown as Json,
      best: best === null ? null : (view(best) as unknown as Json),
      plot: plot ?? null,
    };
  };

  /** Waits for a trial. Whoever cancels the sweep cancels it; a worker that stops leaves it running. */
  async #result(jobId: string, signal: AbortSignal) {
    const result = await this.#retrain.result(jobId, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    });
    if (signal.aborted && signal.reason === "cancel") await this.#cancel(jobId);
    signal.throwIfAborted();
    return result!;
  }

  async #cancel(jobId: string): Promise<void> {
    const { state } = await this.#jobs.get(jobId);
    if (!TERMINAL_STATES.has(state)) await this.#jobs.cancel(jobId);
  }

  /** Tells what a trial measures after each epoch, until it ends. @throws what `report` throws */
  async #follow(jobId: string, metric: string, report: (metric: number) => void, signal: AbortSignal): Promise<void> {
    let last = 0;
    for await (const { type, data } of this.#jobs.watch(jobId, { signal })) {
      const { epoch, metrics } = data as unknown as Partial<JobProgress>;
      const value = metrics?.[metric];
      if (type !== "progress" || typeof value !== "number" || epoch === null || epoch === undefined) continue;
      // Messages are thinned out: an epoch without one has the value of the next.
      for (; last < epoch; last++) report(value);
    }
  }
}

const trialsOf = ({ variation, seed, max_trials }: z.output<typeof request>): Trial[] =>
  planTrials({ variation: variation as SweepVariation, seed, maxTrials: max_trials });

function retrainOf(base: RetrainRequest, { params, index }: Trial): RetrainRequest {
  const fields: Record<string, Fact> = {};
  const own: Record<string, Json> = { ...base.params };
  for (const [name, value] of Object.entries(params)) {
    if (FIELDS.has(name)) fields[name] = value;
    else own[name] = value;
  }
  const description = `${base.description ?? "sweep"}, trial ${index}`;
  return { ...base, ...(fields as Partial<RetrainRequest>), params: own, description };
}
