import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Advisor } from "../src/advisor/advisor.js";
import { hashedEmbedder } from "../src/advisor/embedder.js";
import { LearningStore } from "../src/advisor/learning-store.js";
import { ModelPool } from "../src/pool/model-pool.js";
import type { PredictorPort } from "../src/server/ports.js";
import type { SqlDriver } from "../src/sql/driver.js";
import { openDatabase } from "../src/sql/open-database.js";
import { SweepService } from "../src/training/sweep-service.js";
import { temporaryDirectory } from "./databases.js";
import { openApp, type TestHub } from "./open-app.js";

/** 40 images of 640 x 480 with three boxes each. */
const coco = {
  images: Array.from({ length: 40 }, (_, i) => ({ id: i + 1, file_name: `${i}.jpg`, width: 640, height: 480 })),
  categories: [
    { id: 1, name: "RBC" },
    { id: 2, name: "WBC" },
  ],
  annotations: Array.from({ length: 120 }, (_, i) => ({
    id: i + 1,
    image_id: Math.floor(i / 3) + 1,
    category_id: (i % 2) + 1,
    bbox: [20 + 150 * (i % 3), 40, 100, 100],
    area: 10_000,
    iscrowd: 0,
  })),
};

describe("advisor, feedback and pool over HTTP", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let sql: SqlDriver;
  let advisor: Advisor;
  let learning: LearningStore;
  let files = 0;
  const pool = new ModelPool({ devices: [{ id: "cpu", totalBytes: 100, reserveBytes: 0 }] });
  beforeEach(async () => {
    sql = await openDatabase(join(directory.path, `learning-${files++}.sqlite`));
    learning = new LearningStore({ sql });
    advisor = new Advisor({ learning });
    hub = await openApp({ root: directory.path, deps: { advisor, learning, pool } });
    const stream = (async function* () {
      yield new TextEncoder().encode(JSON.stringify(coco));
    })();
    await hub.datasets.upload({ stream, file_name: "cells.json", name: "cells" });
  });
  afterEach(async () => {
    await hub.close();
    await sql.close();
  });
  const call = async (method: string, path: string, json?: unknown, token: string | null = hub.user) => {
    const response = await hub.call(method, path, { token, ...(json === undefined ? {} : { json }) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test("a plan from fingerprint to explanation to confirmation", async () => {
    const print = await call("POST", "/advisor/fingerprint", { dataset_name: "cells" });
    expect(print).toMatchObject({ status: 200, body: { images: 40, classes: 2, has_bbox: true, appearance: null } });
    const asked = { dataset_name: "cells", task: "count blood cells", constraints: { free_bytes: 4e9 } };
    const { status, body } = await call("POST", "/advisor/recommend", asked);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        state: "proposed",
        created_by: "ulla",
        choices: { student: "yolov8n" },
        analysis: { intent: { domain: "medical" } },
      },
    });
    const plan_id = body["id"] as string;
    const explained = await call("POST", "/advisor/explain", { plan_id, level: "detailed" });
    expect(explained.body["text"]).toContain("What would change a choice");
    const confirmed = await call("POST", "/advisor/confirm", { plan_id, changes: { student: "yolov8s" } });
    expect(confirmed.body).toMatchObject({ state: "confirmed", choices: { student: "yolov8s" } });
    expect((await call("POST", "/advisor/confirm", { plan_id })).status).toBe(404);
  });

  test("adapters, as a search lists them, are chosen by the task; the plan says by which measure", async () => {
    const hit = (id: string, description: string) => ({
      ...{ id, name: id, kind: "lora", base_model: null, licence: null, downloads: 10_000, tags: [], files: null },
      ...{ description, safety: { nsfw: false, safe_format: true, pickle_scan: null } },
    });
    const adapters = [hit("cars", "cars on a motorway"), hit("cells", "blood cells, RBC and WBC")];
    const asked = { dataset_name: "cells", task: "count blood cells", adapters };
    const { status, body } = await call("POST", "/advisor/recommend", asked);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        adapters: { recommended: [{ id: "cells" }], rejected: [{ id: "cars" }], measure: hashedEmbedder.measure },
      },
    });
    const explained = await call("POST", "/advisor/explain", { plan_id: body["id"] });
    expect(explained.body["text"]).toContain("was measured by words and character grams");
    const nameless = await call("POST", "/advisor/recommend", { ...asked, adapters: [{ id: "x" }] });
    expect(nameless.status).toBe(400);
  });

  test("feedback, its statistics and what they say", async () => {
    expect((await call("GET", "/insights")).body).toEqual({
      insights: ["No run was recorded yet: plans follow the rules alone."],
    });
    const { body } = await call("POST", "/advisor/recommend", { dataset_name: "cells", mode: "auto" });
    const fingerprint = (await call("POST", "/advisor/fingerprint", { dataset_name: "cells" })).body as never;
    await advisor.carryOut(body as never, { run_id: "run-1", fingerprint, run: async () => ({ metric: 0.8 }) });
    const given = await call("POST", "/feedback", {
      run_id: "run-1",
      rating: 4,
      quality: 2,
      tags: ["soft"],
      actions: ["deployed"],
    });
    expect(given).toMatchObject({ status: 201, body: { run_id: "run-1", created_by: "ulla", rating: 4 } });
    expect((await call("GET", "/feedback/stats")).body).toMatchObject({
      runs: 1,
      succeeded: 1,
      feedback: 1,
      ratings: { rating: 4, quality: 2, accuracy: null, aesthetic: null },
      actions: { deployed: 1 },
    });
    expect((await call("GET", "/insights")).body["insights"]).toEqual([
      "1 of 1 finished runs succeeded (100 %).",
      "People rate results 4.0 of 5 on average (1 answer).",
      "What they like least are the masks (2.0 of 5).",
    ]);
  });

  test("a person gets their data, and is forgotten", async () => {
    const { body } = await call("POST", "/advisor/recommend", { dataset_name: "cells", mode: "auto" });
    const fingerprint = (await call("POST", "/advisor/fingerprint", { dataset_name: "cells" })).body as never;
    await advisor.carryOut(body as never, { run_id: "run-2", fingerprint, run: async () => ({ metric: 0.7 }) });
    await call("POST", "/feedback", { run_id: "run-2", comment: "soft edges" });
    await call("POST", "/feedback", { run_id: "run-2", rating: 5 }, hub.admin);
    expect((await call("GET", "/feedback/mine")).body).toMatchObject({
      runs: [{ run_id: "run-2", created_by: "ulla" }],
      feedback: [{ run_id: "run-2", comment: "soft edges", created_by: "ulla" }],
    });
    expect(await call("DELETE", "/feedback/mine")).toMatchObject({ status: 200, body: { runs: 1, feedback: 2 } });
    expect((await call("GET", "/feedback/mine")).body).toEqual({ runs: [], feedback: [] });
    expect((await call("GET", "/feedback/stats")).body).toMatchObject({ runs: 0, feedback: 0 });
  });

  test("the pool: anybody sees it, administrators clean it", async () => {
    const load = async () => ({ model: 1, bytes: 40, dispose: () => undefined });
    (await pool.acquire("sam-b", { weightBytes: 30, load })).release();
    expect((await call("GET", "/pool/status")).body).toMatchObject({
      devices: [{ id: "cpu", budget_bytes: 100, used_bytes: 40 }],
      models: [{ key: "sam-b", state: "resident", leases: 0 }],
      metrics: { loads: 1 },
    });
    expect((await call("POST", "/pool/cleanup", {})).status).toBe(403);
    expect((await call("POST", "/pool/cleanup", undefined, hub.admin)).body).toEqual({ dropped: ["sam-b"] });
  });

  test.each([
    ["POST", "/advisor/recommend", { dataset_name: "nothing" }, 404, "NOT_FOUND"],
    ["POST", "/advisor/recommend", { dataset_name: "cells", constraints: { free_bytes: 10 } }, 422, "NO_FEASIBLE_PLAN"],
    ["POST", "/advisor/recommend", { dataset_name: "cells", overrides: { colour: "red" } }, 400, "INVALID_REQUEST"],
    ["POST", "/advisor/recommend", { dataset_name: "cells", mode: "bossy" }, 400, "INVALID_REQUEST"],
    ["POST", "/advisor/explain", { plan_id: "none" }, 404, "NOT_FOUND"],
    ["POST", "/feedback", { run_id: "none", rating: 3 }, 404, "NOT_FOUND"],
    ["POST", "/feedback", { run_id: "none", rating: 9 }, 400, "INVALID_REQUEST"],
  ])("%s %s %o: %i", async (method, path, json, status, code) => {
    expect(await call(method, path, json)).toMatchObject({ status, body: { code } });
  });

  test("a sweep is a job of administrators", async () => {
    const sweeps = new SweepService({ retrain: hub.retrain, jobs: hub.jobs, root: join(hub.root, "sweeps") });
    const app = await openApp({ root: directory.path, deps: { sweeps } });
    const json = { retrain: { use_database: true }, variation: { kind: "seed", count: 2 } };
    expect((await app.call("POST", "/sweeps", { json, token: app.user })).status).toBe(403);
    expect((await app.call("POST", "/sweeps", { json: { ...json, variation: { kind: "mood" } } })).status).toBe(400);
    const response = await app.call("POST", "/sweeps", { json });
    expect(response.status).toBe(202);
    const { job_id } = (await response.json()) as { job_id: string };
    expect(await hub.jobs.get(job_id)).toMatchObject({ kind: "sweep", created_by: "ana", state: "queued" });
    await app.close();
  });

  test("prediction hands the picture over and removes it afterwards", async () => {
    let seen = "";
    const predictor: PredictorPort = {
      async predict({ model, version = "v1", image, confidence }) {
        seen = image;
        expect({ model, confidence, bytes: readFileSync(image, "utf8") }).toEqual({
          model: "bags",
          confidence: 0.5,
          bytes: "pixels",
        });
        const instance = { class_id: 0, name: "bag", score: 0.9, bbox: [1, 2, 3, 4] as const };
        return { version, width: 8, height: 8, milliseconds: 1, instances: [instance] };
      },
    };
    const app = await openApp({ root: directory.path, deps: { predictor } });
    const form = (fields: Record<string, string>) => {
      const body = new FormData();
      for (const [name, value] of Object.entries(fields)) body.append(name, value);
      body.append("file", new Blob(["pixels"]), "bag.jpg");
      return body;
    };
    const send = (fields: Record<string, string>) =>
      app.call("POST", "/model/predict", { token: app.user, body: form(fields) });
    const response = await send({ model: "bags", confidence: "0.5" });
    expect({ status: response.status, body: await response.json() }).toMatchObject({
      status: 200,
      body: { version: "v1", instances: [{ name: "bag", bbox: [1, 2, 3, 4] }] },
    });
    expect(existsSync(seen)).toBe(false);
    expect((await send({ confidence: "1.5" })).status).toBe(400);
    await app.close();
  });

  test("nobody without a token; a server without these parts says so", async () => {
    expect((await call("GET", "/insights", undefined, null)).status).toBe(401);
    const bare = await openApp({ root: directory.path });
    for (const [method, path, json] of [
      ["GET", "/pool/status", undefined],
      ["GET", "/insights", undefined],
      ["POST", "/advisor/explain", { plan_id: "x" }],
    ] as const) {
      const response = await bare.call(method, path, json === undefined ? {} : { json });
      expect(await response.json()).toMatchObject({ status: 409, code: "INVALID_STATE" });
    }
    await bare.close();
  });
});
