import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { DatasetStore } from "../src/datasets/dataset-store.js";
import { JobWorker } from "../src/jobs/job-worker.js";
import { SqlJobQueue } from "../src/jobs/sql-job-queue.js";
import type { AuditEntry } from "../src/server/audit.js";
import { createApp } from "../src/server/create-app.js";
import type { AppDeps, ServerFault } from "../src/server/deps.js";
import { openDatabase } from "../src/sql/open-database.js";
import { Authenticator } from "../src/tokens/authenticator.js";
import type { JwtVerifier } from "../src/tokens/jwt-verifier.js";
import { TokenStore } from "../src/tokens/token-store.js";
import { RetrainService } from "../src/training/retrain-service.js";
import type { TrainerModule } from "../src/training/types.js";
import { Contract } from "./contract.js";
import { diabetesSchema } from "./datasets.js";
import { openRegistry } from "./open-registry.js";
import { CHILD_EXEC_ARGV, fakeTrainerModule } from "./open-retrain.js";

/** A hub with its HTTP application: SQLite and folders below `root`, one worker, tokens of both roles. */
export async function openApp({
  root: parent,
  jwt = null,
  deps = {},
  now,
  trainers = [fakeTrainerModule],
}: {
  root: string;
  jwt?: JwtVerifier | null;
  deps?: Partial<AppDeps>;
  now?: () => number;
  trainers?: readonly TrainerModule[];
}) {
  mkdirSync(parent, { recursive: true });
  const root = mkdtempSync(join(parent, "hub-"));
  const sql = await openDatabase(join(root, "registry.sqlite"));
  const { registry, events, store } = openRegistry({ sql, root });
  const jobs = new SqlJobQueue({ sql, events, pollMs: 20 });
  const tokens = new TokenStore({ sql, ...(now === undefined ? {} : { now }) });
  const datasets = new DatasetStore({ sql, root: join(root, "datasets"), schemas: [diabetesSchema] });
  const retrain = await RetrainService.open({
    sql,
    registry,
    jobs,
    datasets,
    trainers,
    runsRoot: join(root, "runs"),
    training: { execArgv: CHILD_EXEC_ARGV, graceMs: 10_000, termMs: 300 },
  });
  const worker = new JobWorker({
    queue: jobs,
    handlers: { retrain: retrain.handler },
    pollMs: 20,
    cancelCheckMs: 20,
    heartbeatMs: 200,
  });
  worker.start();
  const audit: AuditEntry[] = [];
  const faults: ServerFault[] = [];
  const app = createApp({
    registry,
    jobs,
    retrain,
    datasets,
    tokens,
    authenticator: new Authenticator({ tokens, jwt }),
    audit: {
      async append(entry) {
        audit.push(entry);
      },
    },
    uploadDirectory: join(root, "uploads"),
    onFault: (fault) => faults.push(fault),
    limits: { requestsPerMinute: 1_000_000, failedAuthsPerMinute: 1_000_000, ...deps.limits },
    ...(now === undefined ? {} : { now }),
    ...Object.fromEntries(Object.entries(deps).filter(([key]) => key !== "limits")),
  });
  const contract = new Contract(app.openapi);
  const admin = (await tokens.create({ name: "ana", role: "admin" })).token;
  const user = (await tokens.create({ name: "ulla", role: "user" })).token;
  return {
    root,
    app,
    sql,
    registry,
    store,
    jobs,
    tokens,
    datasets,
    retrain,
    audit,
    faults,
    admin,
    user,
    contract,
    /** One request to the application, without a socket; its answer is checked against the OpenAPI document. */
    async call(
      method: string,
      path: string,
      {
        token = admin,
        json,
        body,
        headers = {},
      }: {
        token?: string | null;
        json?: unknown;
        body?: string | Uint8Array | FormData | ReadableStream<Uint8Array>;
        headers?: Record<string, string>;
      } = {},
    ): Promise<Response> {
      const response = await app.fetch(
        new Request(`http://hub.test${path}`, {
          method,
          headers: {
            ...(token === null ? {} : { authorization: `Bearer ${token}` }),
            ...(json === undefined ? {} : { "content-type": "application/json" }),
            ...headers,
          },
          ...(json === undefined ? {} : { body: JSON.stringify(json) }),
          ...(body === undefined ? {} : { body }),
          // A stream as a body goes one way at a time.
          ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
        } as RequestInit),
      );
      await contract.check(method, path, response);
      return response;
    },
    async close() {
      await worker.stop();
      await jobs.close();
      await sql.close();
    },
  };
}

export type TestHub = Awaited<ReturnType<typeof openApp>>;
