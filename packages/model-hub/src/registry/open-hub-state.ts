import { join } from "node:path";
import { DatasetStore } from "../datasets/dataset-store.js";
import type { CsvSchema } from "../datasets/types.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { BullJobQueue } from "../jobs/bull/bull-job-queue.js";
import { JobWorker } from "../jobs/job-worker.js";
import { SqlJobQueue } from "../jobs/sql-job-queue.js";
import type { JobHandler, JobKind, JobQueue } from "../jobs/types.js";
import type { SqlDriver } from "../sql/driver.js";
import { openDatabase } from "../sql/open-database.js";
import { TokenStore } from "../tokens/token-store.js";
import { loadTrainer } from "../training/load-trainer.js";
import { RetrainService, type RetrainServiceOptions } from "../training/retrain-service.js";
import type { TrainerModule } from "../training/types.js";
import { HubEvents } from "../webhooks/hub-events.js";
import { WebhookDispatcher } from "../webhooks/webhook-dispatcher.js";
import { WebhookStore } from "../webhooks/webhook-store.js";
import type { BlobStore } from "./blob-store.js";
import type { CollectableStore } from "./collect-garbage.js";
import { LicenceLedger } from "./licence-ledger.js";
import { ModelRegistry } from "./model-registry.js";
import { folderBlobs } from "./object-blobs.js";
import type { ActivationPolicy, VersionDetail } from "./types.js";

/** How often leases and old events are looked after. */
const MAINTAIN_MS = 10_000;

/** Where a hub keeps its folder, database, store and queue. */
export interface HubStateOptions {
  /** Folder of everything that the hub keeps. */
  readonly root: string;
  /** Where blobs lie. @defaultValue the folder `<root>/objects` */
  readonly store?: BlobStore & CollectableStore;
  /** `postgres://...`, or the path of a SQLite file. @defaultValue `<root>/registry.sqlite` */
  readonly databaseUrl?: string;
  /** `redis://...` or a socket: jobs go there instead of into the database. */
  readonly redisUrl?: string;
  readonly trainers?: readonly TrainerModule[];
  readonly policy?: ActivationPolicy;
  readonly suggest?: RetrainServiceOptions["suggest"];
  readonly training?: RetrainServiceOptions["training"];
  readonly device?: string;
  readonly allowPrivateWebhooks?: boolean;
  readonly renderCard?: (version: VersionDetail, previous: string) => string;
  readonly onDerivedError?: (error: unknown, what: string) => void;
  readonly clock?: HubClock;
}

/** Everything behind the HTTP application and the command line. */
export interface HubState {
  readonly store: BlobStore & CollectableStore;
  readonly sql: SqlDriver;
  readonly events: HubEvents;
  readonly registry: ModelRegistry;
  readonly jobs: JobQueue;
  readonly datasets: DatasetStore;
  readonly retrain: RetrainService;
  readonly tokens: TokenStore;
  readonly webhooks: WebhookStore;
  readonly licences: LicenceLedger;
  /** Runs jobs, calls webhooks and looks after leases in this process, until {@link HubState.close}. */
  startWorking(handlers?: Partial<Record<JobKind, JobHandler>>): void;
  close(): Promise<void>;
}

/**
 * Opens registry, queue, datasets, tokens and retraining over one folder and one database.
 * @throws {@link HubError} SCHEMA_TOO_NEW, INVALID_REQUEST for an address or trainer that is none
 */
export async function openHubState({
  root,
  store = folderBlobs(root),
  databaseUrl = join(root, "registry.sqlite"),
  redisUrl,
  trainers = [],
  policy,
  suggest,
  training,
  device,
  allowPrivateWebhooks = false,
  renderCard,
  onDerivedError,
  clock = systemClock,
}: HubStateOptions): Promise<HubState> {
  const sql = await openDatabase(databaseUrl);
  const events = new HubEvents({ now: clock.now });
  let jobs: JobQueue | null = null;
  try {
    jobs =
      redisUrl === undefined
        ? new SqlJobQueue({ sql, events, clock })
        : await BullJobQueue.open({ url: redisUrl, events, sql, clock });
    const registry = new ModelRegistry({
      sql,
      store,
      root,
      events,
      clock,
      ...(renderCard === undefined ? {} : { renderCard }),
      ...(onDerivedError === undefined ? {} : { onDerivedError }),
    });
    const schemas = (await Promise.all(trainers.map(loadTrainer)))
      .map(({ datasetSchema }) => datasetSchema)
      .filter((schema): schema is CsvSchema => schema !== "coco");
    const datasets = new DatasetStore({ sql, root: join(root, "datasets"), now: clock.now, schemas });
    const retrain = await RetrainService.open({
      sql,
      registry,
      jobs,
      datasets,
      trainers,
      runsRoot: join(root, "runs"),
      clock,
      // A database or queue that others reach means other machines.
      ...(redisUrl !== undefined || /^postgres(ql)?:/i.test(databaseUrl) ? { checkpointStore: store } : {}),
      ...(policy === undefined ? {} : { policy }),
      ...(suggest === undefined ? {} : { suggest }),
      ...(training === undefined ? {} : { training }),
      ...(device === undefined ? {} : { device }),
    });
    const dispatcher = new WebhookDispatcher({ sql, clock, allowPrivateWebhooks });
    return new OpenHubState(
      {
        store,
        sql,
        events,
        registry,
        jobs,
        datasets,
        retrain,
        tokens: new TokenStore({ sql, now: clock.now }),
        webhooks: new WebhookStore({ sql, now: clock.now, allowPrivateWebhooks }),
        licences: new LicenceLedger({ sql, now: clock.now }),
      },
      dispatcher,
      clock,
    );
  } catch (error) {
    await jobs?.close();
    await sql.close();
    throw error;
  }
}

class OpenHubState implements HubState {
  readonly store: BlobStore & CollectableStore;
  readonly sql: SqlDriver;
  readonly events: HubEvents;
  readonly registry: ModelRegistry;
  readonly jobs: JobQueue;
  readonly datasets: DatasetStore;
  readonly retrain: RetrainService;
  readonly tokens: TokenStore;
  readonly webhooks: WebhookStore;
  readonly licences: LicenceLedger;
  readonly #dispatcher: WebhookDispatcher;
  readonly #clock: HubClock;
  readonly #workers: JobWorker[] = [];
  readonly #over = new AbortController();
  #maintaining: Promise<void> = Promise.resolve();

  constructor(parts: Omit<HubState, "startWorking" | "close">, dispatcher: WebhookDispatcher, clock: HubClock) {
    this.store = parts.store;
    this.sql = parts.sql;
    this.events = parts.events;
    this.registry = parts.registry;
    this.jobs = parts.jobs;
    this.datasets = parts.datasets;
    this.retrain = parts.retrain;
    this.tokens = parts.tokens;
    this.webhooks = parts.webhooks;
    this.licences = parts.licences;
    this.#dispatcher = dispatcher;
    this.#clock = clock;
  }

  startWorking(handlers: Partial<Record<JobKind, JobHandler>> = {}): void {
    if (this.#workers.length > 0) return;
    // Trainings and the rest by workers of their own: a download must not wait for a training.
    for (const group of [{ retrain: this.retrain.handler }, handlers]) {
      if (Object.keys(group).length === 0) continue;
      const worker = new JobWorker({ queue: this.jobs, handlers: group, clock: this.#clock });
      worker.start();
      this.#workers.push(worker);
    }
    this.#dispatcher.start();
    this.#maintaining = this.#maintain();
  }

  async #maintain(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      // The database is away for the moment: what is due stays due.
      await this.jobs.maintain().catch(() => undefined);
      await this.#clock.sleep(MAINTAIN_MS, signal).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await this.#dispatcher.stop();
    await this.#maintaining;
    await this.jobs.close();
    await this.sql.close();
  }
}
