import type { z } from "zod";
import type { JobEventType } from "../jobs/types.js";
import type {
  FeedbackBody,
  Feedback as FeedbackSchema,
  FeedbackStatistics as FeedbackStatisticsSchema,
  Fingerprint as FingerprintSchema,
  Insights as InsightsSchema,
  OwnFeedback as OwnFeedbackSchema,
  Plan as PlanSchema,
  PoolStatus as PoolStatusSchema,
  RecommendBody,
} from "../server/schemas/advisor.js";
import type {
  Dataset as DatasetSchema,
  Datasets,
  UploadReport as UploadReportSchema,
} from "../server/schemas/datasets.js";
import type {
  Catalogue as CatalogueSchema,
  HubStatus as HubStatusSchema,
  InstallBody,
  Layers as LayersSchema,
  PushFields as PushFieldsSchema,
  PushReport as PushReportSchema,
  ResolvedModel as ResolvedModelSchema,
  SearchPage as SearchPageSchema,
} from "../server/schemas/hub.js";
import type {
  Accepted as AcceptedSchema,
  JobKind,
  JobPage as JobPageSchema,
  Job as JobSchema,
  JobState,
  Progress as ProgressSchema,
} from "../server/schemas/jobs.js";
import type { Prediction as PredictionSchema } from "../server/schemas/predict.js";
import type {
  RetrainBody,
  RetrainPreview as RetrainPreviewSchema,
  RetrainResult as RetrainResultSchema,
  SweepBody,
  Trainers as TrainersSchema,
} from "../server/schemas/retrain.js";
import type { CreatedToken as CreatedTokenSchema, Token as TokenSchema } from "../server/schemas/tokens.js";
import type {
  ActivationRecord as ActivationRecordSchema,
  ActiveVersion as ActiveVersionSchema,
  Comparison as ComparisonSchema,
  HistoryPage as HistoryPageSchema,
  VersionDetail as VersionDetailSchema,
  VersionPage as VersionPageSchema,
  VersionSummary as VersionSummarySchema,
} from "../server/schemas/versions.js";
import type { ModelKind, SortKey } from "../sources/model-kinds.js";
import { HubHttpError, httpErrorOf } from "./http-error.js";
import { parseServerEvents } from "./server-events.js";

/** One version as a list shows it. */
export type VersionSummary = z.output<typeof VersionSummarySchema>;
/** One version with files, metrics and origin. */
export type VersionDetail = z.output<typeof VersionDetailSchema>;
/** Versions, newest first, with their number. */
export type VersionPage = z.output<typeof VersionPageSchema>;
/** The version in use. */
export type ActiveVersion = z.output<typeof ActiveVersionSchema>;
/** One change of the active version, with who and why. */
export type ActivationRecord = z.output<typeof ActivationRecordSchema>;
/** Changes of the active version, newest first. */
export type HistoryPage = z.output<typeof HistoryPageSchema>;
/** Two versions side by side: differences of metrics, and whether the candidate is suggested. */
export type Comparison = z.output<typeof ComparisonSchema>;
/** One job with state, progress, result or error. */
export type Job = z.output<typeof JobSchema>;
/** Jobs, newest first, with their number. */
export type JobPage = z.output<typeof JobPageSchema>;
/** How far a job is. */
export type Progress = z.output<typeof ProgressSchema>;
/** Answer to a request that became a job: its id and where to look. */
export type Accepted = z.output<typeof AcceptedSchema>;
/** What to train: data sets, base version, epochs, batch, rate. */
export type RetrainRequest = z.input<typeof RetrainBody>;
/** What a retraining would do: data, split, configuration, warnings. Nothing is started. */
export type RetrainPreview = z.output<typeof RetrainPreviewSchema>;
/** What a retraining led to: the new version, its metrics, a suggestion. */
export type RetrainResult = z.output<typeof RetrainResultSchema>;
/** Trainers that this server has, with their defaults. */
export type Trainers = z.output<typeof TrainersSchema>;
/** One uploaded data set. */
export type Dataset = z.output<typeof DatasetSchema>;
/** Answer of `GET /model/datasets`. */
export type AvailableDatasets = z.output<typeof Datasets>;
/** What an upload holds: records, classes, findings. */
export type UploadReport = z.output<typeof UploadReportSchema>;
/** Facts of a data set from which plans follow. */
export type Fingerprint = z.output<typeof FingerprintSchema>;
/** What a plan is wanted for: data, limits, fixed choices. */
export type PlanRequest = z.input<typeof RecommendBody>;
/** A plan of the advisor: a value and a reason for every choice. */
export type Plan = z.output<typeof PlanSchema>;
/** A judgement of a plan as it is sent. */
export type FeedbackInput = z.input<typeof FeedbackBody>;
/** A stored judgement of a plan. */
export type Feedback = z.output<typeof FeedbackSchema>;
/** How often plans were followed, changed and found good. */
export type FeedbackStatistics = z.output<typeof FeedbackStatisticsSchema>;
/** What is kept of one person: runs and feedback. */
export type OwnFeedback = z.output<typeof OwnFeedbackSchema>;
/** What feedback has taught the advisor. */
export type Insights = z.output<typeof InsightsSchema>;
/** Objects found in a picture: boxes (xyxy pixels), classes, scores, masks. */
export type Prediction = z.output<typeof PredictionSchema>;
/** Which models are loaded, and how much memory they use, in bytes. */
export type PoolStatus = z.output<typeof PoolStatusSchema>;
/** A token without its secret: name, role, times. */
export type Token = z.output<typeof TokenSchema>;
/** A new token. The only answer that holds its secret. */
export type CreatedToken = z.output<typeof CreatedTokenSchema>;

/** Hits of a search, and the cursor of the next page. */
export type SearchPage = z.output<typeof SearchPageSchema>;
/** The catalogued models, with licence, size and state on this machine. */
export type Catalogue = z.output<typeof CatalogueSchema>;
/** State of the server: versions, jobs, disk. */
export type HubStatus = z.output<typeof HubStatusSchema>;
/** Which model to fetch, under which accepted licence. */
export type InstallRequest = z.input<typeof InstallBody>;
/** Layers of restoration models and what is in each. */
export type Layers = z.output<typeof LayersSchema>;
/** What a reference to a model means now: source, revision, files, licence. */
export type ResolvedModel = z.output<typeof ResolvedModelSchema>;
/** Name and terms of a file that is pushed to a layer. */
export type PushFields = z.input<typeof PushFieldsSchema>;
/** What became of a pushed file. */
export type PushReport = z.output<typeof PushReportSchema>;

/** Filters of a search; absent ones do not filter. */
export interface SearchOptions {
  readonly text?: string;
  readonly sources?: readonly ("hf" | "civitai" | "url" | "local" | "catalogue")[];
  readonly kinds?: readonly ModelKind[];
  readonly task?: string;
  readonly base_model?: string;
  readonly licence?: string;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly library?: string;
  readonly format?: string;
  readonly min_downloads?: number;
  readonly gated?: boolean;
  readonly nsfw?: boolean;
  readonly permissive_only?: boolean;
  readonly sort?: SortKey;
  readonly limit?: number;
  readonly cursor?: string;
}

/** An event of a job. `done` and `error` are the last. */
export interface WatchedEvent {
  readonly seq: number;
  readonly type: JobEventType;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Common to every call. */
export interface CallOptions {
  /** Ends the call; a job that it started goes on. */
  readonly signal?: AbortSignal;
}

interface ModelOption extends CallOptions {
  /** @defaultValue "default" */
  readonly model?: string;
}

interface PageOption {
  readonly limit?: number;
  readonly cursor?: string;
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** Pauses before connecting again, and how often in a row without an event. */
const RECONNECT_MS = [500, 1_000, 2_000, 5_000, 10_000] as const;

/** After these a job does nothing by itself. */
const TERMINAL: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "interrupted"]);

/**
 * The hub's HTTP API, one method per endpoint; for browsers and Node.
 *
 * @example
 * const hub = new HubClient({ baseUrl: "http://localhost:8000", token });
 * const { job_id } = await hub.startRetrain({ use_database: true, epochs: 40 });
 * for await (const { type, data } of hub.watchJob(job_id)) console.log(type, data);
 */
export class HubClient {
  readonly #baseUrl: string;
  readonly #token: () => string | null;
  readonly #fetch: typeof fetch;
  readonly #sleep: (ms: number) => Promise<void>;

  /**
   * @param baseUrl - where the hub listens; "" in a page that it served
   * @param token - or a function, where it can change
   * @param fetch - @defaultValue the global one
   * @param sleep - waits between connections of {@link HubClient.watchJob}; replaced in tests
   */
  constructor({
    baseUrl = "",
    token,
    fetch: doFetch = fetch,
    sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }: {
    baseUrl?: string;
    token: string | null | (() => string | null);
    fetch?: typeof fetch;
    sleep?: (ms: number) => Promise<void>;
  }) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#token = typeof token === "function" ? token : () => token;
    // Called as a plain function: a browser's fetch refuses another `this`.
    this.#fetch = (...args) => doFetch(...args);
    this.#sleep = sleep;
  }

  /** `GET /model/versions`, newest first. */
  listVersions(
    options: ModelOption & PageOption & { state?: VersionSummary["state"]; tag?: string } = {},
  ): Promise<VersionPage> {
    const { signal, ...query } = options;
    return this.#get("/model/versions", query, signal);
  }

  /** `GET /model/active`; null when none is. */
  async getActive({ signal, ...query }: ModelOption = {}): Promise<ActiveVersion | null> {
    try {
      return await this.#get<ActiveVersion>("/model/active", query, signal);
    } catch (error) {
      if (HubHttpError.isInstance(error) && error.code === "NO_ACTIVE_VERSION") return null;
      throw error;
    }
  }

  /** `POST /model/activate` */
  activate(version: string, { reason, ...options }: ModelOption & { reason?: string } = {}): Promise<ActiveVersion> {
    return this.#post("/model/activate", { version, reason }, options);
  }

  /** `POST /model/deactivate` */
  deactivate({ reason, ...options }: ModelOption & { reason?: string } = {}): Promise<ActivationRecord> {
    return this.#post("/model/deactivate", { reason }, options);
  }

  /** `POST /model/rollback`, to the entry before or to `to`. */
  rollback({ to, reason, ...options }: ModelOption & { to?: string; reason?: string } = {}): Promise<ActiveVersion> {
    return this.#post("/model/rollback", { to, reason }, options);
  }

  /** `GET /model/version/{version}` */
  getVersion(version: string, { signal, ...query }: ModelOption = {}): Promise<VersionDetail> {
    return this.#get(`/model/version/${encodeURIComponent(version)}`, query, signal);
  }

  /** `PATCH /model/version/{version}`; refused with `STALE` when somebody else changed it since `rowVersion`. */
  async updateVersion(
    version: string,
    patch: { description?: string; tags?: string[]; aliases?: string[] },
    { rowVersion, signal, ...query }: ModelOption & { rowVersion: number },
  ): Promise<VersionDetail> {
    const path = `/model/version/${encodeURIComponent(version)}`;
    return this.#json(
      await this.#send("PATCH", path, { query, json: patch, headers: { "if-match": `"${rowVersion}"` }, signal }),
    );
  }

  /** `DELETE /model/version/{version}`; never the active one. */
  async deleteVersion(version: string, { signal, ...query }: ModelOption & { force?: boolean } = {}): Promise<void> {
    await this.#send("DELETE", `/model/version/${encodeURIComponent(version)}`, { query, signal });
  }

  /** `GET /model/compare` */
  compareVersions(a: string, b: string, options: ModelOption & { primary?: string } = {}): Promise<Comparison> {
    const { signal, ...query } = options;
    return this.#get("/model/compare", { a, b, ...query }, signal);
  }

  /** `GET /model/history`, newest first. */
  getHistory({ signal, ...query }: ModelOption & PageOption = {}): Promise<HistoryPage> {
    return this.#get("/model/history", query, signal);
  }

  /** `GET /models` */
  listModels({ signal }: CallOptions = {}): Promise<{
    models: { model: string; versions: number; active: string | null }[];
  }> {
    return this.#get("/models", {}, signal);
  }

  /** `GET /model/trainers`; the first is the default. */
  listTrainers({ signal }: CallOptions = {}): Promise<Trainers> {
    return this.#get("/model/trainers", {}, signal);
  }

  /** `POST /model/retrain?dry_run=true`: what would run. */
  previewRetrain(request: RetrainRequest = {}, { signal }: CallOptions = {}): Promise<RetrainPreview> {
    return this.#send("POST", "/model/retrain", { query: { dry_run: true }, json: request, signal }).then((r) =>
      this.#json(r),
    );
  }

  /** `POST /model/retrain`, answered at once with the job. */
  async startRetrain(request: RetrainRequest = {}, { signal }: CallOptions = {}): Promise<Accepted> {
    return this.#json(
      await this.#send("POST", "/model/retrain", { json: request, headers: { prefer: "respond-async" }, signal }),
    );
  }

  /**
   * Starts a run and waits for its end over its events, however long it takes.
   * @throws HubHttpError with the job's code when it failed or was cancelled
   */
  async retrain(
    request: RetrainRequest = {},
    { signal, onEvent }: CallOptions & { onEvent?: (event: WatchedEvent) => void } = {},
  ): Promise<RetrainResult> {
    const { job_id } = await this.startRetrain(request, { ...(signal === undefined ? {} : { signal }) });
    for await (const event of this.watchJob(job_id, { ...(signal === undefined ? {} : { signal }) })) onEvent?.(event);
    signal?.throwIfAborted();
    const job = await this.getJob(job_id);
    if (job.state === "succeeded") return job.result as unknown as RetrainResult;
    throw new HubHttpError({
      status: 409,
      code: (job.error?.code ?? "INVALID_STATE") as HubHttpError["code"],
      message: job.error?.message ?? `Job ${job_id} ended as ${job.state}.`,
      requestId: null,
      retryAfterS: null,
      errors: [],
      details: { job_id, state: job.state },
    });
  }

  /** `GET /model/datasets` */
  listDatasets({ signal }: CallOptions = {}): Promise<AvailableDatasets> {
    return this.#get("/model/datasets", {}, signal);
  }

  /** `GET /model/dataset/{name}` */
  getDataset(name: string, { signal }: CallOptions = {}): Promise<Dataset> {
    return this.#get(`/model/dataset/${encodeURIComponent(name)}`, {}, signal);
  }

  /** `DELETE /model/dataset/{name}` */
  async deleteDataset(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#send("DELETE", `/model/dataset/${encodeURIComponent(name)}`, { signal });
  }

  /**
   * `POST /model/upload-dataset`
   * @param file - a `File` of a form, or bytes with `fileName`
   */
  async uploadDataset(
    file: Blob,
    {
      fileName,
      name,
      schema,
      validateOnly,
      signal,
    }: CallOptions & { fileName?: string; name?: string; schema?: string; validateOnly?: boolean } = {},
  ): Promise<UploadReport> {
    const form = new FormData();
    if (name !== undefined) form.append("dataset_name", name);
    if (schema !== undefined) form.append("schema", schema);
    form.append("file", file, fileName ?? (file as { name?: string }).name ?? "data.csv");
    return this.#json(
      await this.#send("POST", "/model/upload-dataset", { query: { validate_only: validateOnly }, form, signal }),
    );
  }

  /** `GET /jobs`, newest first. */
  listJobs(
    options: CallOptions & PageOption & { state?: z.output<typeof JobState>; kind?: z.output<typeof JobKind> } = {},
  ): Promise<JobPage> {
    const { signal, ...query } = options;
    return this.#get("/jobs", query, signal);
  }

  /** `GET /jobs/{id}` */
  getJob(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#get(`/jobs/${encodeURIComponent(id)}`, {}, signal);
  }

  /** `POST /jobs/{id}/cancel` */
  cancelJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#post(`/jobs/${encodeURIComponent(id)}/cancel`, undefined, options);
  }

  /** `POST /jobs/{id}/resume` */
  resumeJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#post(`/jobs/${encodeURIComponent(id)}/resume`, undefined, options);
  }

  /**
   * `GET /jobs/{id}/events` until the job ends. A broken connection is opened again with the last event's number, so nothing is missed
   * and nothing comes twice. Aborting ends the watching, not the job.
   *
   * @param after - events up to this number are known already
   * @throws HubHttpError NOT_FOUND, UNAUTHENTICATED, FORBIDDEN; the network's error after {@link RECONNECT_MS} failures in a row
   */
  async *watchJob(
    id: string,
    { after = 0, signal }: CallOptions & { after?: number } = {},
  ): AsyncGenerator<WatchedEvent, void> {
    let last = after;
    let failures = 0;
    while (signal?.aborted !== true) {
      let isNew = false;
      let isEnd = false;
      try {
        const response = await this.#send("GET", `/jobs/${encodeURIComponent(id)}/events`, {
          headers: { accept: "text/event-stream", ...(last > 0 ? { "last-event-id": String(last) } : {}) },
          signal,
        });
        for await (const { id: number, event, data } of parseServerEvents(response.body!)) {
          const seq = Number(number);
          if (!(seq > last)) continue;
          last = seq;
          failures = 0;
          isNew = true;
          isEnd = event === "done" || event === "error";
          yield { seq, type: event as JobEventType, data: JSON.parse(data) as Record<string, unknown> };
        }
        // A stream ends after the terminal event, or because a proxy or the server went away: the job's state tells which.
        const { state } = await this.getJob(id, signal === undefined ? {} : { signal });
        if (TERMINAL.has(state) && (isEnd || !isNew)) return;
      } catch (error) {
        if (signal?.aborted) return;
        const isFinal = HubHttpError.isInstance(error) && error.status < 500 && error.status !== 429;
        if (isFinal || failures >= RECONNECT_MS.length) throw error;
      }
      await this.#sleep(RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)]!);
      failures++;
    }
  }

  /** `GET /hub/search`; lists are arrays here. */
  searchModels(options: CallOptions & SearchOptions = {}): Promise<SearchPage> {
    const { signal, sources, kinds, tags, ...query } = options;
    const lists = { sources: sources?.join(","), kinds: kinds?.join(","), tags: tags?.join(",") };
    return this.#get("/hub/search", { ...query, ...lists }, signal);
  }

  /** `GET /hub/catalogue` */
  getCatalogue({ signal }: CallOptions = {}): Promise<Catalogue> {
    return this.#get("/hub/catalogue", {}, signal);
  }

  /** `GET /hub/status`, of one model or of all. */
  getHubStatus({ signal, id }: CallOptions & { id?: string } = {}): Promise<HubStatus> {
    return this.#get("/hub/status", { id }, signal);
  }

  /** `POST /hub/install`: a job. */
  installModel(request: InstallRequest, options: CallOptions = {}): Promise<Accepted> {
    return this.#post("/hub/install", request, options);
  }

  /** `GET /layers` */
  listLayers({ signal }: CallOptions = {}): Promise<Layers> {
    return this.#get("/layers", {}, signal);
  }

  /** `GET /layers/{layer}/resolve`: a verified path on the server. */
  resolveLayer(layer: string, options: CallOptions & { task?: string; model?: string } = {}): Promise<ResolvedModel> {
    const { signal, ...query } = options;
    return this.#get(`/layers/${encodeURIComponent(layer)}/resolve`, query, signal);
  }

  /** `POST /layers/{layer}/models` */
  async pushLayerModel(
    layer: string,
    file: Blob,
    { fileName, fields, signal }: CallOptions & { fileName?: string; fields: PushFields },
  ): Promise<PushReport> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
    form.append("file", file, fileName ?? (file as { name?: string }).name ?? "model.bin");
    return this.#json(await this.#send("POST", `/layers/${encodeURIComponent(layer)}/models`, { form, signal }));
  }

  /** `POST /layers/{layer}/pull`: a job. */
  pullLayer(
    layer: string,
    request: { models?: string[]; accept_licence?: boolean } = {},
    options: CallOptions = {},
  ): Promise<Accepted> {
    return this.#post(`/layers/${encodeURIComponent(layer)}/pull`, request, options);
  }

  /**
   * `POST /model/predict`
   * @param image - a `File` of a form, or bytes of a JPEG, PNG or WebP picture
   */
  async predict(
    image: Blob,
    { signal, ...fields }: CallOptions & { model?: string; version?: string; confidence?: number; iou?: number } = {},
  ): Promise<Prediction> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, String(value));
    form.append("file", image, (image as { name?: string }).name ?? "image");
    return this.#json(await this.#send("POST", "/model/predict", { form, signal }));
  }

  /** `POST /sweeps`: a job. */
  startSweep(request: z.input<typeof SweepBody>, options: CallOptions = {}): Promise<Accepted> {
    return this.#post("/sweeps", request, options);
  }

  /** `POST /advisor/fingerprint` */
  fingerprint(dataset_name: string, options: CallOptions = {}): Promise<Fingerprint> {
    return this.#post("/advisor/fingerprint", { dataset_name }, options);
  }

  /** `POST /advisor/recommend` */
  recommendPlan(request: PlanRequest, options: CallOptions = {}): Promise<Plan> {
    return this.#post("/advisor/recommend", request, options);
  }

  /** `POST /advisor/confirm` */
  confirmPlan(
    plan_id: string,
    {
      changes,
      ...options
    }: CallOptions & { changes?: Readonly<Record<string, string | number | boolean | null>> } = {},
  ): Promise<Plan> {
    return this.#post("/advisor/confirm", { plan_id, changes }, options);
  }

  /** `POST /advisor/explain` */
  explainPlan(
    plan_id: string,
    { level, ...options }: CallOptions & { level?: "minimal" | "standard" | "detailed" | "technical" } = {},
  ): Promise<{ plan_id: string; level: string; text: string }> {
    return this.#post("/advisor/explain", { plan_id, level }, options);
  }

  /** `POST /feedback` */
  giveFeedback(feedback: FeedbackInput, options: CallOptions = {}): Promise<Feedback> {
    return this.#post("/feedback", feedback, options);
  }

  /** `GET /feedback/stats` */
  feedbackStatistics({ signal }: CallOptions = {}): Promise<FeedbackStatistics> {
    return this.#get("/feedback/stats", {}, signal);
  }

  /** `GET /feedback/mine`: everything that is kept of the caller. */
  exportFeedback({ signal }: CallOptions = {}): Promise<OwnFeedback> {
    return this.#get("/feedback/mine", {}, signal);
  }

  /** `DELETE /feedback/mine`: forgets the caller. */
  async deleteFeedback({ signal }: CallOptions = {}): Promise<{ runs: number; feedback: number }> {
    return this.#json(await this.#send("DELETE", "/feedback/mine", { signal }));
  }

  /** `GET /insights` */
  insights({ signal }: CallOptions = {}): Promise<Insights> {
    return this.#get("/insights", {}, signal);
  }

  /** `GET /pool/status` */
  poolStatus({ signal }: CallOptions = {}): Promise<PoolStatus> {
    return this.#get("/pool/status", {}, signal);
  }

  /** `POST /pool/cleanup` */
  cleanPool(target: number, options: CallOptions = {}): Promise<{ dropped: string[] }> {
    return this.#post("/pool/cleanup", { target }, options);
  }

  /** `GET /me` */
  whoAmI({ signal }: CallOptions = {}): Promise<{ name: string; role: "user" | "admin" }> {
    return this.#get("/me", {}, signal);
  }

  /** `GET /tokens` */
  listTokens({ signal }: CallOptions = {}): Promise<{ tokens: Token[] }> {
    return this.#get("/tokens", {}, signal);
  }

  /** `POST /tokens`; the secret is in this answer only. */
  createToken(
    input: { name: string; role: "user" | "admin"; expires_at?: string },
    options: CallOptions = {},
  ): Promise<CreatedToken> {
    return this.#post("/tokens", input, options);
  }

  /** `DELETE /tokens/{id}` */
  async revokeToken(id: string, { signal }: CallOptions = {}): Promise<Token> {
    return this.#json(await this.#send("DELETE", `/tokens/${encodeURIComponent(id)}`, { signal }));
  }

  async #get<T>(path: string, query: Query, signal: AbortSignal | undefined): Promise<T> {
    return this.#json(await this.#send("GET", path, { query, signal }));
  }

  async #post<T>(path: string, json: unknown, { signal, model }: ModelOption): Promise<T> {
    return this.#json(await this.#send("POST", path, { query: { model }, json, signal }));
  }

  async #json<T>(response: Response): Promise<T> {
    return (await response.json()) as T;
  }

  async #send(
    method: string,
    path: string,
    {
      query = {},
      json,
      form,
      headers = {},
      signal,
    }: {
      query?: Query;
      json?: unknown;
      form?: FormData;
      headers?: Readonly<Record<string, string>>;
      signal?: AbortSignal | undefined;
    } = {},
  ): Promise<Response> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const search = parameters.size > 0 ? `?${parameters}` : "";
    const token = this.#token();
    const response = await this.#fetch(`${this.#baseUrl}${path}${search}`, {
      method,
      headers: {
        ...headers,
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(form === undefined ? {} : { body: form }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (!response.ok) throw await httpErrorOf(response);
    return response;
  }
}
