import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Advisor } from "../advisor/advisor.js";
import type { Embedder } from "../advisor/embedder.js";
import { LearningStore } from "../advisor/learning-store.js";
import type { JobHandler, JobKind } from "../jobs/types.js";
import { readMemory } from "../pool/memory.js";
import { ModelPool } from "../pool/model-pool.js";
import type { ModelRegistry } from "../registry/model-registry.js";
import { type HubState, type HubStateOptions, openHubState } from "../registry/open-hub-state.js";
import { Authenticator } from "../tokens/authenticator.js";
import { type JwtOptions, JwtVerifier } from "../tokens/jwt-verifier.js";
import { type DrawSweep, SweepService } from "../training/sweep-service.js";
import { FileAuditLog } from "./audit.js";
import { createApp, type HubApp } from "./create-app.js";
import type { AppDeps } from "./deps.js";
import type { PredictorPort } from "./ports.js";
import { serve } from "./serve.js";

/** How a hub is put together and served; everything but `root` has a default. */
export interface HubServerOptions extends HubStateOptions {
  /** Handlers of other jobs than retraining. */
  readonly handlers?: Partial<Record<JobKind, JobHandler>>;
  /** `SEG_HUB_ADMIN_TOKEN`: an administrator beside those of the store, at least 32 characters. */
  readonly adminToken?: string | null;
  readonly jwt?: JwtOptions;
  /** @defaultValue 8000 */
  readonly port?: number;
  /** @defaultValue "127.0.0.1" */
  readonly host?: string;
  /** Makes what runs registered models; it loads them through the pool. @defaultValue none: `/model/predict` is refused */
  readonly predictor?: (hub: { readonly registry: ModelRegistry; readonly pool: ModelPool }) => PredictorPort;
  /** Bytes of models in memory. @defaultValue half of the machine's memory */
  readonly poolBytes?: number;
  /** Compares a task with descriptions of adapters. @defaultValue words and character grams */
  readonly embedder?: Embedder;
  /** Draws sweeps that have ended. @defaultValue none: they end with a table */
  readonly drawSweep?: DrawSweep;
  /** The rest of the application: limits, proxies, CORS, rate limiter, faults, sources and layers. */
  readonly app?: Partial<AppDeps>;
}

/** A hub at work. */
export interface HubServer {
  readonly url: string;
  readonly app: HubApp;
  readonly state: HubState;
  /** The token of the first start, to be shown once: no administrator existed. Null later. */
  readonly firstToken: string | null;
  /** Answers what is in progress, hands running jobs back, closes the database. */
  close(): Promise<void>;
}

/**
 * Opens database, registry, queue, data sets and tokens below `root`, works on jobs in this process and serves the HTTP API.
 * When no administrator can sign in, one is made and its token returned.
 *
 * @throws HubError SCHEMA_TOO_NEW, INVALID_REQUEST; the system's error when the port is taken
 */
export async function openHubServer({
  root: folder,
  handlers = {},
  adminToken = null,
  jwt,
  port = 8000,
  host = "127.0.0.1",
  predictor,
  poolBytes,
  drawSweep,
  embedder,
  app: more = {},
  ...options
}: HubServerOptions): Promise<HubServer> {
  const root = resolve(folder);
  await mkdir(root, { recursive: true });
  const state = await openHubState({ ...options, root });
  try {
    const { registry, jobs, retrain, datasets, tokens, sql } = state;
    const learning = new LearningStore({ sql, log: join(root, "feedback.jsonl") });
    const totalBytes = poolBytes ?? (await readMemory()).totalBytes / 2;
    const pool = new ModelPool({ devices: [{ id: "cpu", totalBytes, reserveBytes: 0 }] });
    const sweeps = new SweepService({ retrain, jobs, root: join(root, "sweeps"), draw: drawSweep ?? null });
    const app = createApp({
      registry,
      jobs,
      retrain,
      datasets,
      tokens,
      authenticator: new Authenticator({ tokens, adminToken, jwt: jwt === undefined ? null : new JwtVerifier(jwt) }),
      audit: new FileAuditLog(join(root, "audit.jsonl")),
      uploadDirectory: join(root, "uploads"),
      learning,
      advisor: new Advisor({ learning, ...(embedder === undefined ? {} : { embedder }) }),
      sweeps,
      pool,
      ...(predictor === undefined ? {} : { predictor: predictor({ registry, pool }) }),
      ...more,
    });
    const server = await serve(app, { port, host });
    state.startWorking({ sweep: sweeps.handler, ...handlers });
    // After the port is bound: a start that fails must not leave a token that nobody saw.
    const needsAdmin = adminToken === null && jwt === undefined && (await tokens.countUsableAdmins()) === 0;
    const firstToken = needsAdmin ? (await tokens.create({ name: "first start", role: "admin" })).token : null;
    return {
      url: server.url,
      app,
      state,
      firstToken,
      async close() {
        await server.close();
        await pool.close();
        await state.close();
      },
    };
  } catch (error) {
    await state.close();
    throw error;
  }
}
