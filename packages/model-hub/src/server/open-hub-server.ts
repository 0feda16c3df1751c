import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatasetStore } from "../datasets/dataset-store.js";
import type { CsvSchema } from "../datasets/types.js";
import { JobWorker } from "../jobs/job-worker.js";
import { SqlJobQueue } from "../jobs/sql-job-queue.js";
import type { JobHandler, JobKind, JobQueue } from "../jobs/types.js";
import type { BlobStore } from "../registry/blob-store.js";
import { ModelRegistry, type ModelRegistryOptions } from "../registry/model-registry.js";
import type { ActivationPolicy } from "../registry/types.js";
import { openDatabase } from "../sql/open-database.js";
import { Authenticator } from "../tokens/authenticator.js";
import { type JwtOptions, JwtVerifier } from "../tokens/jwt-verifier.js";
import { TokenStore } from "../tokens/token-store.js";
import { RetrainService, type RetrainServiceOptions } from "../training/retrain-service.js";
import type { TrainerModule } from "../training/types.js";
import { HubEvents } from "../webhooks/hub-events.js";
import { WebhookDispatcher } from "../webhooks/webhook-dispatcher.js";
import { FileAuditLog } from "./audit.js";
import { createApp, type HubApp } from "./create-app.js";
import type { AppDeps } from "./deps.js";
import { serve } from "./serve.js";

/** How a hub is put together and served; everything but `root` and `store` has a default. */
export interface HubServerOptions {
  /** Folder of database, versions, data sets, runs and audit log; made when missing. */
  readonly root: string;
  /** Where blobs lie. */
  readonly store: BlobStore;
  /** Path of a SQLite file or `postgres://...`. @defaultValue `<root>/registry.sqlite` */
  readonly database?: string;
  /** Where jobs wait, made over the hub's events. @defaultValue in the database */
  readonly openQueue?: (events: HubEvents) => Promise<JobQueue>;
  /** The first is the default. @defaultValue none: retraining is refused */
  readonly trainers?: readonly TrainerModule[];
  /** CSV schemas of the trainers. */
  readonly csvSchemas?: readonly CsvSchema[];
  /** Handlers of other jobs than retraining. */
  readonly handlers?: Partial<Record<JobKind, JobHandler>>;
  readonly policy?: ActivationPolicy;
  /** `SEG_HUB_ADMIN_TOKEN`: an administrator beside those of the store, at least 32 characters. */
  readonly adminToken?: string | null;
  readonly jwt?: JwtOptions;
  /** @defaultValue 8000 */
  readonly port?: number;
  /** @defaultValue "127.0.0.1" */
  readonly host?: string;
  readonly allowPrivateWebhooks?: boolean;
  readonly renderCard?: ModelRegistryOptions["renderCard"];
  /** Of training processes. */
  readonly training?: RetrainServiceOptions["training"];
  /** The rest of the application: limits, proxies, CORS, rate limiter, faults, hub and layers. */
  readonly app?: Partial<AppDeps>;
}

/** A hub at work. */
export interface HubServer {
  readonly url: string;
  readonly app: HubApp;
  readonly registry: ModelRegistry;
  readonly tokens: TokenStore;
  readonly datasets: DatasetStore;
  readonly jobs: JobQueue;
  /** The token of the first start, shown once: no administrator existed. Null later. */
  readonly firstToken: string | null;
  /** Hands running jobs back, answers what is in progress, closes the database. */
  close(): Promise<void>;
}

/**
 * Opens database, registry, queue, data sets and tokens below `root`, starts a worker and serves the HTTP API.
 * When no administrator can sign in, one is made and its token returned.
 */
export async function openHubServer({
  root: folder,
  store,
  database,
  openQueue,
  trainers = [],
  csvSchemas = [],
  handlers = {},
  policy = {},
  adminToken = null,
  jwt,
  port = 8000,
  host = "127.0.0.1",
  allowPrivateWebhooks = false,
  renderCard,
  training,
  app: more = {},
}: HubServerOptions): Promise<HubServer> {
  const root = resolve(folder);
  await mkdir(root, { recursive: true });
  const sql = await openDatabase(database ?? join(root, "registry.sqlite"));
  const opened: (() => Promise<unknown>)[] = [() => sql.close()];
  const close = async () => {
    for (const stop of opened.splice(0).reverse()) await stop();
  };
  try {
    const events = new HubEvents();
    const registry = new ModelRegistry({
      sql,
      store,
      root,
      events,
      ...(renderCard === undefined ? {} : { renderCard }),
    });
    const jobs = openQueue === undefined ? new SqlJobQueue({ sql, events }) : await openQueue(events);
    opened.push(() => jobs.close());
    const datasets = new DatasetStore({ sql, root: join(root, "datasets"), schemas: csvSchemas });
    const retrain = await RetrainService.open({
      sql,
      registry,
      jobs,
      datasets,
      trainers,
      runsRoot: join(root, "runs"),
      policy,
      ...(training === undefined ? {} : { training }),
    });
    const tokens = new TokenStore({ sql });
    const authenticator = new Authenticator({
      tokens,
      adminToken,
      jwt: jwt === undefined ? null : new JwtVerifier(jwt),
    });
    const needsAdmin = adminToken === null && jwt === undefined && (await tokens.countUsableAdmins()) === 0;
    const app = createApp({
      registry,
      jobs,
      retrain,
      datasets,
      tokens,
      authenticator,
      audit: new FileAuditLog(join(root, "audit.jsonl")),
      uploadDirectory: join(root, "uploads"),
      ...more,
    });
    const server = await serve(app, { port, host });
    opened.push(() => server.close());
    const worker = new JobWorker({ queue: jobs, handlers: { retrain: retrain.handler, ...handlers } });
    worker.start();
    opened.push(() => worker.stop());
    const webhooks = new WebhookDispatcher({ sql, allowPrivateWebhooks });
    webhooks.start();
    opened.push(() => webhooks.stop());
    // After the port is bound: a second start that fails must not leave a token that nobody saw.
    const firstToken = needsAdmin ? (await tokens.create({ name: "first start", role: "admin" })).token : null;
    return { url: server.url, app, registry, tokens, datasets, jobs, firstToken, close };
  } catch (error) {
    await close();
    throw error;
  }
}
