import { createReadStream, createWriteStream } from "node:fs";
import { access, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pipeline } from "node:stream/promises";
import { MIN_RECORDS } from "../datasets/dataset-store.js";
import type { DatasetRecord, DatasetStorePort } from "../datasets/types.js";
import { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { type JobContext, type JobQueue, type JobRecord, TERMINAL_STATES } from "../jobs/types.js";
import type { BlobStore } from "../registry/blob-store.js";
import { canonicalSha256 } from "../registry/canonical-json.js";
import type { ModelRegistry } from "../registry/model-registry.js";
import { parseOrThrow } from "../registry/parse.js";
import type { ActivationPolicy, Json, RegisterFile, VersionDetail } from "../registry/types.js";
import { integer, type SqlDriver } from "../sql/driver.js";
import { loadTrainer } from "./load-trainer.js";
import { ProgressMeter } from "./progress-meter.js";
import { retrainRequest } from "./retrain-request.js";
import { type RunTrainingOptions, runTraining } from "./run-training.js";
import type {
  ResolvedRetrain,
  RetrainPreview,
  RetrainRequest,
  RetrainResult,
  RetrainServicePort,
  SuggestParameters,
  Trainer,
  TrainerDefaults,
  TrainerModule,
} from "./types.js";

/** Runs whose step times make the estimate. */
const ESTIMATE_RUNS = 5;

/** What a retraining service works with. */
export interface RetrainServiceOptions {
  readonly sql: SqlDriver;
  readonly registry: ModelRegistry;
  readonly jobs: JobQueue;
  readonly datasets: DatasetStorePort;
  /** The first one is the default. */
  readonly trainers: readonly TrainerModule[];
  /** Folder of runs at work: checkpoints and output, one folder each, removed when the run has ended. */
  readonly runsRoot: string;
  /**
   * Where checkpoints go as well, so that another machine can take a run over; without it they lie in `runsRoot` alone and such a run
   * starts from zero.
   */
  readonly checkpointStore?: BlobStore;
  readonly policy?: ActivationPolicy;
  /** The advisor; without one the trainer's own defaults fill what a request leaves open. */
  readonly suggest?: SuggestParameters;
  /** Runs with one device wait for each other. @defaultValue "device:0" */
  readonly device?: string;
  readonly clock?: HubClock;
  readonly training?: Pick<RunTrainingOptions, "graceMs" | "termMs" | "execArgv">;
}

/** Retraining from request to registered version: exactly one version per run that succeeds, none per run that does not. */
export class RetrainService implements RetrainServicePort {
  readonly policy: ActivationPolicy;
  readonly #options: RetrainServiceOptions;
  readonly #clock: HubClock;
  readonly #trainers: ReadonlyMap<string, { trainer: Trainer; module: TrainerModule }>;

  private constructor(
    options: RetrainServiceOptions,
    trainers: ReadonlyMap<string, { trainer: Trainer; module: TrainerModule }>,
  ) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#trainers = trainers;
    this.policy = options.policy ?? {};
  }

  /** Imports the trainers. @throws {@link HubError} INVALID_REQUEST when a module exports none, or two have one id */
  static async open(options: RetrainServiceOptions): Promise<RetrainService> {
    const trainers = new Map<string, { trainer: Trainer; module: TrainerModule }>();
    for (const module of options.trainers) {
      const trainer = await loadTrainer(module);
      if (trainers.has(trainer.id)) {
        throw new HubError({
          code: "INVALID_REQUEST",
          message: `Two trainers have the id ${trainer.id}.`,
          details: { trainer: trainer.id },
        });
      }
      trainers.set(trainer.id, { trainer, module });
    }
    return new RetrainService(options, trainers);
  }

  trainers(): readonly Trainer[] {
    return [...this.#trainers.values()].map(({ trainer }) => trainer);
  }

  async preview(request: RetrainRequest): Promise<RetrainPreview> {
    const parsed = parseOrThrow(retrainRequest, request, "The retraining request");
    const { trainer } = this.#trainer(parsed.trainer);
    const params = parseOrThrow(trainer.paramsSchema, parsed.params, `params of trainer ${trainer.id}`);
    const records = await this.#datasets(trainer, parsed.use_database, parsed.dataset_name);
    const total = records.reduce((sum, record) => sum + record.records, 0);
    if (total < MIN_RECORDS) {
      throw new HubError({
        code: "DATASET_TOO_SMALL",
        message: `Trainer ${trainer.id} finds ${total} records in ${records.length === 0 ? "no dataset" : records.map(({ name }) => name).join(", ")}, at least ${MIN_RECORDS} are needed. Upload more data.`,
        details: { records: total, min_records: MIN_RECORDS, datasets: records.map(({ name }) => name) },
      });
    }
    const names = records.map(({ name }) => name);
    const suggested =
      (await this.#options.suggest?.({ model: parsed.model, trainer: trainer.id, records: total, datasets: names })) ??
      {};
    const sources: Record<string, "request" | "advisor" | "trainer"> = {};
    const choose = (field: keyof TrainerDefaults): number => {
      const [value, source] =
        parsed[field] !== undefined
          ? ([parsed[field], "request"] as const)
          : suggested[field] !== undefined
            ? ([suggested[field], "advisor"] as const)
            : ([trainer.defaults[field], "trainer"] as const);
      sources[field] = source;
      return value;
    };
    const config: ResolvedRetrain = {
      model: parsed.model,
      trainer: trainer.id,
      use_database: parsed.use_database,
      datasets: names,
      records: total,
      dataset_fingerprint: canonicalSha256(records.map(({ name, sha256 }) => ({ name, sha256 }))),
      epochs: choose("epochs"),
      batch_size: choose("batch_size"),
      learning_rate: choose("learning_rate"),
      hidden_size: choose("hidden_size"),
      params,
      seed: parsed.seed,
      base_version:
        parsed.base_version === undefined
          ? null
          : (await this.#readyVersion(parsed.base_version, parsed.model)).version,
      description: parsed.description,
      sources,
    };
    const largest = trainer.maxHiddenSize ?? 4096;
    if (config.hidden_size > largest) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `hidden_size is ${config.hidden_size}; trainer ${trainer.id} takes at most ${largest}.`,
        details: { errors: [{ path: "hidden_size", message: `at most ${largest}` }] },
      });
    }
    const steps = Math.ceil(total / config.batch_size) * config.epochs;
    return {
      config,
      estimate: { steps, seconds: await this.#estimateSeconds(trainer.id, steps) },
      warnings: records.flatMap(({ name, warnings }) => warnings.map((warning) => `${name}: ${warning}`)),
    };
  }

  #trainer(id: string | undefined): { trainer: Trainer; module: TrainerModule } {
    const found = id === undefined ? [...this.#trainers.values()][0] : this.#trainers.get(id);
    if (found !== undefined) return found;
    throw new HubError({
      code: "INVALID_REQUEST",
      message:
        this.#trainers.size === 0
          ? "This hub has no trainer. Start it with one, see RetrainServiceOptions.trainers."
          : `There is no trainer ${JSON.stringify(id)}. Known: ${[...this.#trainers.keys()].join(", ")}.`,
      details: { errors: [{ path: "trainer", message: "unknown" }] },
    });
  }

  async #datasets(trainer: Trainer, useDatabase: boolean, name: string | undefined): Promise<readonly DatasetRecord[]> {
    const schema = trainer.datasetSchema === "coco" ? "coco" : trainer.datasetSchema.id;
    if (name !== undefined) {
      const record = await this.#options.datasets.get(name);
      if (record.schema === schema) return [record];
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `Dataset ${name} has schema ${record.schema}; trainer ${trainer.id} reads ${schema}.`,
        details: { errors: [{ path: "dataset_name", message: `schema ${record.schema}, expected ${schema}` }] },
      });
    }
    if (!useDatabase) return [];
    const { datasets } = await this.#options.datasets.list();
    // By name: the order in which they were uploaded must not change the fingerprint.
    return datasets.filter((record) => record.schema === schema).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async #readyVersion(name: string, model: string): Promise<VersionDetail> {
    const version = await this.#options.registry.get(name, { model });
    if (version.state === "ready") return version;
    throw new HubError({
      code: "INVALID_STATE",
      message: `${version.version} is ${version.state}; only a ready version can be trained further.`,
      details: { version: version.version, state: version.state },
    });
  }

  /** Median seconds per step of the trainer's last runs, times the steps. */
  async #estimateSeconds(trainer: string, steps: number): Promise<number | null> {
    const rows = await this.#options.sql.all(
      "SELECT training_ms, steps FROM run WHERE trainer = ? AND state = 'succeeded' AND steps > 0 ORDER BY finished_at DESC LIMIT ?",
      [trainer, ESTIMATE_RUNS],
    );
    if (rows.length === 0) return null;
    const perStep = rows.map((row) => integer(row, "training_ms") / 1000 / integer(row, "steps")).sort((a, b) => a - b);
    return perStep[Math.floor(perStep.length / 2)]! * steps;
  }

  async start(request: RetrainRequest, { actor = null }: { actor?: string | null } = {}): Promise<{ job_id: string }> {
    const { config } = await this.preview(request);
    const { id } = await this.#options.jobs.enqueue({
      kind: "retrain",
      target: this.#options.device ?? "device:0",
      payload: { config: config as unknown as Json },
      created_by: actor,
    });
    return { job_id: id };
  }

  async result(
    jobId: string,
    { maxWaitMs = Number.POSITIVE_INFINITY, signal }: { maxWaitMs?: number; signal?: AbortSignal } = {},
  ): Promise<RetrainResult | null> {
    const over = new AbortController();
    const signals = [over.signal, ...(signal === undefined ? [] : [signal])];
    if (Number.isFinite(maxWaitMs))
      void this.#clock.sleep(maxWaitMs, over.signal).then(
        () => over.abort(),
        () => undefined,
      );
    try {
      let job = await this.#options.jobs.get(jobId);
      if (!TERMINAL_STATES.has(job.state)) {
        // The stream's end is what is waited for, not its content.
        for await (const _ of this.#options.jobs.watch(jobId, { signal: AbortSignal.any(signals) }));
        job = await this.#options.jobs.get(jobId);
      }
      return resultOf(job);
    } finally {
      over.abort();
    }
  }

  /** Runs one job of kind `retrain`; give it to a {@link JobWorker}. */
  readonly handler = async (context: JobContext): Promise<{ readonly [key: string]: Json }> => {
    const { job } = context;
    const { registry } = this.#options;
    const config = job.payload["config"] as unknown as ResolvedRetrain;
    const directory = join(this.#options.runsRoot, job.run_id);
    // The worker before this one may have died between registering and saying so.
    const earlier = await registry.findByRun(job.run_id, { model: config.model });
    const version = earlier ?? (await this.#train(context, config, directory));
    const result = await this.#conclude(job, version);
    const { checkpointStore, jobs } = this.#options;
    const shared = (await jobs.get(job.id)).checkpoint?.["file"];
    if (typeof shared === "string") await checkpointStore?.delete(checkpointKey(job.run_id, shared));
    await rm(directory, { recursive: true, force: true });
    return result as unknown as { readonly [key: string]: Json };
  };

  async #train(context: JobContext, config: ResolvedRetrain, directory: string): Promise<VersionDetail> {
    const { job, signal } = context;
    const { registry, datasets, training, sql } = this.#options;
    const { module } = this.#trainer(config.trainer);
    const opened = await Promise.all(config.datasets.map((name) => datasets.open(name)));
    const found = canonicalSha256(opened.map(({ record }) => ({ name: record.name, sha256: record.sha256 })));
    if (found !== config.dataset_fingerprint) {
      throw new HubError({
        code: "CONFLICT",
        message: `The datasets ${config.datasets.join(", ")} were replaced after the run was started. Start it again.`,
        details: { expected: config.dataset_fingerprint, found },
      });
    }
    const outputDirectory = join(directory, `output-${job.fence}`);
    await rm(outputDirectory, { recursive: true, force: true });
    await mkdir(outputDirectory, { recursive: true });
    const checkpointDirectory = join(directory, "checkpoints");
    await this.#fetchCheckpoint(job, checkpointDirectory);
    const meter = new ProgressMeter({ epochs: config.epochs, now: this.#clock.now });
    const spentMs = Number(job.checkpoint?.["training_ms"] ?? 0);
    const beganMs = this.#clock.now();
    const trainingMs = () => spentMs + this.#clock.now() - beganMs;
    const startedAt = job.started_at ?? new Date(beganMs).toISOString();
    let shared = typeof job.checkpoint?.["file"] === "string" ? job.checkpoint["file"] : null;
    // In order, one after the other; a failure (the lease is lost) aborts the run by itself.
    let writing: Promise<void> = Promise.resolve();
    const write = (work: () => Promise<void>) => {
      writing = writing.then(work).catch(() => undefined);
    };
    const result = await runTraining({
      start: {
        trainer: module,
        config,
        datasets: opened,
        baseDirectory:
          config.base_version === null ? null : await registry.directory(config.base_version, { model: config.model }),
        outputDirectory,
        checkpointDirectory,
        fence: job.fence,
      },
      signal,
      onProgress: (progress) => context.progress(meter.next(progress)),
      onLog: (message) => write(() => context.log({ message })),
      onCheckpoint: ({ epoch, step, file }) =>
        write(async () => {
          const isShared = await this.#shareCheckpoint(job.run_id, checkpointDirectory, file, shared);
          if (isShared) shared = file;
          await context.checkpoint({ epoch, step, training_ms: trainingMs(), ...(isShared ? { file } : {}) });
        }),
      ...training,
    }).finally(() => writing);
    const seconds = trainingMs() / 1000;
    signal.throwIfAborted();
    const version = await registry.register(
      {
        model: config.model,
        files: await filesIn(outputDirectory),
        metrics: { ...result.metrics, training_samples: config.records, training_time: seconds },
        metric_definition_id: result.metric_definition_id,
        dataset: {
          id: config.datasets.join("+").slice(0, 256),
          fingerprint: config.dataset_fingerprint,
          split_hash: result.split_hash,
        },
        parents: { ...result.parents, base: config.base_version },
        params: { ...result.params, retrain: config as unknown as Json },
        env: { node: process.version, platform: `${process.platform}-${process.arch}`, ...result.env },
        run_id: job.run_id,
        created_by: job.created_by,
        description: config.description,
      },
      { signal },
    );
    const steps = Math.ceil(config.records / config.batch_size) * config.epochs;
    await sql.write((tx) =>
      tx.run(
        `INSERT INTO run (run_id, model, trainer, config, records, steps, training_ms, state, metrics, version, started_at, finished_at)
          VALUES (?, ?, ?, ?, ?, ?, ?, 'succeeded', ?, ?, ?, ?) ON CONFLICT (run_id) DO NOTHING`,
        [
          job.run_id,
          config.model,
          config.trainer,
          JSON.stringify(config),
          config.records,
          steps,
          Math.round(seconds * 1000),
          JSON.stringify(version.metrics),
          version.version,
          startedAt,
          new Date(this.#clock.now()).toISOString(),
        ],
      ),
    );
    return version;
  }

  /** Puts a checkpoint into the store and takes the one before it away. @returns false without a store, or when a newer one follows already */
  async #shareCheckpoint(runId: string, directory: string, file: string, before: string | null): Promise<boolean> {
    const { checkpointStore } = this.#options;
    if (checkpointStore === undefined) return false;
    try {
      await checkpointStore.put(checkpointKey(runId, file), createReadStream(join(directory, file)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
    if (before !== null) await checkpointStore.delete(checkpointKey(runId, before));
    return true;
  }

  /** What another machine saved, unless it lies here already. Its own digest is checked by who reads it. */
  async #fetchCheckpoint({ run_id, checkpoint }: JobRecord, directory: string): Promise<void> {
    const { checkpointStore } = this.#options;
    const file = checkpoint?.["file"];
    if (checkpointStore === undefined || typeof file !== "string") return;
    const key = checkpointKey(run_id, file);
    const isHere = await access(join(directory, file)).then(
      () => true,
      () => false,
    );
    if (isHere || (await checkpointStore.head(key)) === null) return;
    await mkdir(directory, { recursive: true });
    const temporary = join(directory, `.${file}.tmp`);
    await pipeline(await checkpointStore.get(key), createWriteStream(temporary));
    await rename(temporary, join(directory, file));
  }

  async #conclude(job: JobRecord, version: VersionDetail): Promise<RetrainResult> {
    const { registry } = this.#options;
    const { model } = version;
    const active = await registry.active({ model });
    const isOther = active !== null && active.version !== version.version;
    const comparison = isOther
      ? await registry.compare(active.version, version.version, {
          model,
          ...(this.policy.primary === undefined ? {} : { primary: this.policy.primary }),
        })
      : null;
    const decision = await registry.suggest(version.version, this.policy, { model });
    const suggests = decision.suggest_activation && active?.version !== version.version;
    if (suggests && this.policy.autoActivate === true) {
      await registry.activate(version.version, {
        model,
        actor: job.created_by,
        reason: `activation policy after run ${job.run_id}`,
        policyDecision: decision,
      });
    }
    return {
      success: true,
      message: `${version.version} is registered${comparison === null ? "" : `; by ${comparison.primary} ${described(comparison.overall, active!.version)}`}`,
      job_id: job.id,
      version: version.version,
      metrics: version.metrics,
      training_time: version.training_time ?? 0,
      comparison,
      suggest_activation: suggests,
    };
  }
}

const checkpointKey = (runId: string, file: string): string => `runs/${runId}/${file}`;

function described(overall: "a" | "b" | "tie" | "unknown", active: string): string {
  if (overall === "b") return `it is better than the active ${active}`;
  if (overall === "a") return `the active ${active} is better`;
  return overall === "tie" ? `it equals the active ${active}` : `it cannot be compared with the active ${active}`;
}

function resultOf(job: JobRecord): RetrainResult | null {
  if (!TERMINAL_STATES.has(job.state)) return null;
  if (job.state === "succeeded") return job.result as unknown as RetrainResult;
  const code = job.error?.code ?? "INVALID_STATE";
  throw new HubError({
    code: Object.hasOwn(HUB_ERROR_STATUS, code) ? (code as HubErrorCode) : "INTERNAL",
    message: job.error?.message ?? `Job ${job.id} is ${job.state} and has no result. Resume it to go on.`,
    details: { ...job.error?.details, job_id: job.id, state: job.state },
  });
}

async function filesIn(directory: string): Promise<RegisterFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((source) => ({ source, path: source.slice(directory.length + 1).replaceAll("\\", "/") }));
}
