import { availableParallelism } from "node:os";
import { type BufferPool, createBufferPool } from "./buffer-pool.js";
import { collate, type ModelBatch } from "./collate.js";
import { checkModelKeys, type PreprocessConfig, type PreprocessConfigInput, parseConfig } from "./config.js";
import { configHash } from "./config-hash.js";
import type { DecodeOptions, DecodeWarning } from "./decode-image.js";
import { PreprocessError } from "./errors.js";
import type { ModelKey } from "./models.js";
import { type ModelPlan, planModel } from "./plan.js";
import type { Prepared } from "./prepare-models.js";
import { runJob } from "./run-job.js";
import { fromSpecJson, type PreprocessSpec } from "./spec-json.js";
import { createWorkerPool, type WorkerPool } from "./worker-pool.js";
import type { Job, JobResult } from "./worker-protocol.js";

/** What a failure does: end the call, or be listed beside the other results. */
export type OnError = "throw" | "collect";

/** Options of {@link createPreprocessor}. */
export interface PreprocessorOptions<E extends OnError = "throw"> {
  /** Strictly checked; defaults for what it leaves out. `loadConfig` reads one from YAML. @defaultValue the defaults of the models */
  readonly config?: PreprocessConfig | PreprocessConfigInput;
  /** Worker threads; before the configuration's own. @defaultValue config.runtime.workers */
  readonly workers?: "auto" | number;
  /** `collect` keeps the order and lists every failure; nothing is dropped silently. @defaultValue "throw" */
  readonly onError?: E;
  /** Models with equal settings get one buffer instead of copies. @defaultValue false */
  readonly shareBuffers?: boolean;
  /** Decides pictures whose annotated size fits stored and upright pixels; usually the majority of the unambiguous ones. */
  readonly datasetOrientation?: "ignore" | "apply";
}

/** Options of one picture. */
export interface RunOptions<K extends ModelKey = ModelKey> {
  /** Size according to the annotations, pixels; checked, and decides the orientation. */
  readonly expectedSize?: { readonly width: number; readonly height: number };
  /** Buffers to fill, where type and length fit; only without worker threads. */
  readonly out?: Readonly<Partial<Record<K, Float32Array | Uint8Array>>>;
  readonly signal?: AbortSignal;
}

type Entry<E extends OnError> = E extends "collect" ? Prepared | null : Prepared;

/** One picture prepared for every model, in the requested order; null is a failed model (`collect` only), whose error is in `failures`. */
export type PreparedSet<K extends ModelKey, E extends OnError> = { readonly [M in K]: Entry<E> } & {
  readonly failures: readonly PreprocessError[];
  readonly warnings: readonly DecodeWarning[];
};

/** A picture of a batch. */
export interface BatchItem {
  /** A path, or the bytes of a file. */
  readonly source: string | Uint8Array;
  readonly expectedSize?: { readonly width: number; readonly height: number };
}

/** Options of {@link Preprocessor.batches}. */
export interface BatchOptions {
  /** Pictures per batch; the last one may be smaller. */
  readonly batchSize: number;
  readonly signal?: AbortSignal;
}

/** The next pictures of a list, in its order. */
export interface PreparedBatch<K extends ModelKey> {
  /** Every source of this batch, failed ones included. */
  readonly items: readonly BatchItem[];
  /** Per model the stacked inputs; `rows[i]` is the index in `items` of picture i. null when every picture failed. */
  readonly models: { readonly [M in K]: (ModelBatch & { readonly rows: readonly number[] }) | null };
  /** `item` is the index in `items`; the error's `model` is null when the picture failed for every model. */
  readonly failures: readonly { readonly item: number; readonly error: PreprocessError }[];
  readonly warnings: readonly { readonly item: number; readonly warnings: readonly DecodeWarning[] }[];
}

/** Prepares pictures for the models that it was made for. */
export interface Preprocessor<K extends ModelKey, E extends OnError> {
  readonly models: readonly K[];
  /** Every default filled in. */
  readonly config: PreprocessConfig;
  /** Of the whole configuration, without `runtime.workers`. */
  readonly configHash: string;
  /**
   * One picture, decoded once. It is prepared in the calling thread unless a number of workers above 0 was given.
   *
   * @throws PreprocessError; with `collect` it is returned in `failures` instead
   */
  run(source: string | Uint8Array, options?: RunOptions<K>): Promise<PreparedSet<K, E>>;
  /**
   * Ordered batches of any number of pictures; the bytes are the same for any number of workers. At most one batch and one picture per
   * worker are in memory beside what the caller keeps.
   *
   * @throws PreprocessError of the first picture in order that fails; with `collect` it is listed in `failures` instead
   */
  batches(
    items: Iterable<string | BatchItem> | AsyncIterable<string | BatchItem>,
    options: BatchOptions,
  ): AsyncGenerator<PreparedBatch<K>, void, undefined>;
  /**
   * Gives the buffers of results back, so that later pictures need no new memory (a third of the time of a small picture). Their tensors
   * must not be used afterwards.
   */
  release(...results: readonly (Prepared | ModelBatch | null)[]): void;
  /** Ends the worker threads. */
  close(): Promise<void>;
}

/**
 * Prepares pictures for one or many models: decoded once, oriented once, equal resizes shared.
 *
 * @param models - keys, each once; or `{ spec }`, a `preprocess.json` that came with an exported model
 * @throws PreprocessConfigError for an empty list, unknown or repeated keys, and faults of the configuration
 * @example
 * const pre = createPreprocessor(["grounding_dino", "sam"]);
 * const out = await pre.run("a.jpg");
 * out.sam.tensors["pixel_values"].dims // [1, 3, 1024, 1024]
 * await pre.close();
 */
export function createPreprocessor<K extends ModelKey, E extends OnError = "throw">(
  models: readonly K[],
  options?: PreprocessorOptions<E>,
): Preprocessor<K, E>;
export function createPreprocessor<E extends OnError = "throw">(
  models: { readonly spec: PreprocessSpec },
  options?: Omit<PreprocessorOptions<E>, "config">,
): Preprocessor<ModelKey, E>;
export function createPreprocessor<K extends ModelKey, E extends OnError = "throw">(
  wanted: readonly K[] | { readonly spec: PreprocessSpec },
  options: PreprocessorOptions<E> = {},
): Preprocessor<K, E> {
  const { workers, shareBuffers = false, datasetOrientation } = options;
  const onError: OnError = options.onError ?? "throw";
  let models: readonly K[];
  let config: PreprocessConfig;
  if ("spec" in wanted) {
    const rebuilt = fromSpecJson(wanted.spec);
    models = [rebuilt.model as K];
    config = rebuilt.config;
  } else {
    checkModelKeys(wanted);
    models = [...wanted];
    config = withModels(options.config ?? {}, models);
  }
  const plans = models.map((model) => planModel(config, model));
  const threads = workers ?? config.runtime.workers;
  const decode: DecodeOptions = {
    ...config.decode,
    ...(datasetOrientation === undefined ? {} : { datasetOrientation }),
  };
  const buffers = createBufferPool();
  let pool: WorkerPool | null = null;
  const poolOf = (size: number): WorkerPool => {
    pool ??= createWorkerPool({ config, models, shareBuffers }, size, buffers);
    return pool;
  };
  const jobOf = ({ source, expectedSize }: BatchItem): Job => ({
    source,
    decode: expectedSize === undefined ? decode : { ...decode, expectedSize },
  });
  const here = (job: Job, out: RunOptions["out"] = {}): Promise<JobResult> =>
    runJob(job, plans, { shareBuffers, out, pool: buffers });

  return {
    models,
    config,
    configHash: configHash({ ...config, runtime: { ...config.runtime, workers: null } }),
    async run(source, { expectedSize, out, signal } = {}) {
      signal?.throwIfAborted();
      const job = jobOf(expectedSize === undefined ? { source } : { source, expectedSize });
      const running = typeof threads === "number" && threads > 0 ? poolOf(threads).run(job) : here(job, out);
      const outcome = await settle(untilAborted(running, signal));
      return assemble<K, E>(models, outcome, onError);
    },
    async *batches(items, { batchSize, signal }) {
      if (!Number.isInteger(batchSize) || batchSize < 1) {
        throw new PreprocessError({
          code: "config_invalid",
          message: `batchSize must be a positive integer, got ${batchSize}.`,
        });
      }
      const size = threads === "auto" ? availableParallelism() : threads;
      const start = size > 0 ? (job: Job) => poolOf(size).run(job) : (job: Job) => here(job);
      const pending: { item: BatchItem; outcome: Promise<Outcome> }[] = [];
      let ready: { item: BatchItem; outcome: Outcome }[] = [];
      const takeOne = async () => {
        const { item, outcome } = pending.shift()!;
        const settled = await untilAborted(outcome, signal);
        if (settled.error !== null && onError === "throw") throw settled.error;
        ready.push({ item, outcome: settled });
      };
      for await (const given of items) {
        signal?.throwIfAborted();
        const item = typeof given === "string" ? { source: given } : given;
        pending.push({ item, outcome: settle(start(jobOf(item))) });
        // Without threads nothing runs ahead: the pictures are prepared one after the other in this thread.
        while (pending.length > 0 && (size === 0 || pending.length + ready.length >= batchSize + size)) {
          await takeOne();
          if (ready.length === batchSize) {
            const full = ready;
            ready = [];
            yield stack(plans, full, onError, buffers);
          }
        }
      }
      while (pending.length > 0) {
        await takeOne();
        if (ready.length === batchSize || pending.length === 0) {
          const full = ready;
          ready = [];
          yield stack(plans, full, onError, buffers);
        }
      }
      if (ready.length > 0) yield stack(plans, ready, onError, buffers);
    },
    release(...results) {
      for (const result of results) {
        for (const { data, layout } of Object.values(result?.tensors ?? {})) {
          // Masks are small; pixels are what is worth keeping.
          if (layout === "NCHW") buffers.give(data.buffer as ArrayBuffer);
        }
      }
    },
    async close() {
      await pool?.close();
      pool = null;
    },
  };
}

/** The configuration with an entry for each requested model and for no other. */
function withModels(config: PreprocessConfig | PreprocessConfigInput, models: readonly ModelKey[]): PreprocessConfig {
  const parsed = parseConfig(config);
  const entries = models.map((key) => [key, parsed.models[key] ?? {}]);
  return parseConfig({ ...parsed, models: Object.fromEntries(entries) });
}

/** A job's end; `error` is a PreprocessError of the whole picture. Other errors pass through. */
type Outcome =
  | { readonly result: JobResult; readonly error: null }
  | { readonly result: null; readonly error: PreprocessError };

function settle(job: Promise<JobResult>): Promise<Outcome> {
  const settled = job.then(
    (result): Outcome => ({ result, error: null }),
    (error: unknown): Outcome => {
      if (PreprocessError.isInstance(error)) return { result: null, error };
      throw error;
    },
  );
  // A batch that ends early leaves jobs behind; their faults have been reported by the one that ended it.
  settled.catch(() => {});
  return settled;
}

/** Rejects with the signal's reason as soon as it aborts; the work itself is left to end. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function assemble<K extends ModelKey, E extends OnError>(
  models: readonly K[],
  { result, error }: Outcome,
  onError: OnError,
): PreparedSet<K, E> {
  const failures: PreprocessError[] = [];
  const entries: Partial<Record<ModelKey, Prepared | null>> = {};
  if (error !== null) {
    if (onError === "throw") throw error;
    failures.push(error);
    for (const model of models) entries[model] = null;
  }
  for (const [model, entry] of result?.entries ?? []) {
    if (!PreprocessError.isInstance(entry)) entries[model] = entry;
    else if (onError === "throw") throw entry;
    else {
      failures.push(entry);
      entries[model] = null;
    }
  }
  return { ...entries, failures, warnings: result?.warnings ?? [] } as PreparedSet<K, E>;
}

function stack<K extends ModelKey>(
  plans: readonly ModelPlan[],
  ready: readonly { item: BatchItem; outcome: Outcome }[],
  onError: OnError,
  buffers: BufferPool,
): PreparedBatch<K> {
  const failures: { item: number; error: PreprocessError }[] = [];
  const warnings: { item: number; warnings: readonly DecodeWarning[] }[] = [];
  const good = new Map<ModelKey, { row: number; prepared: Prepared }[]>(plans.map(({ model }) => [model, []]));
  ready.forEach(({ outcome }, item) => {
    if (outcome.error !== null) {
      failures.push({ item, error: outcome.error });
      return;
    }
    if (outcome.result.warnings.length > 0) warnings.push({ item, warnings: outcome.result.warnings });
    for (const [model, entry] of outcome.result.entries) {
      if (!PreprocessError.isInstance(entry)) good.get(model)!.push({ row: item, prepared: entry });
      else if (onError === "throw") throw entry;
      else failures.push({ item, error: entry });
    }
  });
  const models = Object.fromEntries(
    plans.map((plan) => {
      const rows = good.get(plan.model)!;
      if (rows.length === 0) return [plan.model, null];
      const batch = collate(
        plan,
        rows.map(({ prepared }) => prepared),
        buffers,
      );
      return [plan.model, { ...batch, rows: rows.map(({ row }) => row) }];
    }),
  );
  // Only now: models that share buffers have all been read.
  for (const { model, inputName } of plans) {
    const batch = (models as PreparedBatch<ModelKey>["models"])[model];
    for (const { prepared } of good.get(model)!) {
      if (prepared.tensors !== batch?.tensors) buffers.give(prepared.tensors[inputName]!.data.buffer as ArrayBuffer);
    }
  }
  return {
    items: ready.map(({ item }) => item),
    models: models as PreparedBatch<K>["models"],
    failures,
    warnings,
  };
}
