import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JobWorker } from "../src/jobs/job-worker.js";
import { connectSources } from "../src/server/hub-port.js";
import { connectLayers } from "../src/server/layers-port.js";
import { FileObjectStore } from "../src/stores/file-object-store.js";
import { temporaryDirectory } from "./databases.js";
import { openApp, type TestHub } from "./open-app.js";

describe("real layers over HTTP", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let worker: JobWorker;
  beforeEach(async () => {
    const root = join(directory.path, `layers-${Math.round(performance.now())}`);
    const sources = connectSources({
      env: { SEG_HUB_HOME: root, HF_HOME: root },
      fetch: async () => new Response("weights of uvdoc"),
    });
    const store = new FileObjectStore({ root: join(root, "objects") });
    const { layers, handlers } = await connectLayers({ root, store, parts: sources.parts });
    hub = await openApp({ root: directory.path, deps: { hub: sources.hub, layers } });
    worker = new JobWorker({ queue: hub.jobs, handlers, pollMs: 20 });
    worker.start();
  });
  afterEach(async () => {
    await worker.stop();
    await hub.close();
  });
  const push = (content: string, fields: Record<string, string>, layer = "layer-2") => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", new Blob([content]), "model.pth");
    return hub.call("POST", `/layers/${layer}/models`, { body: form });
  };
  const codeOf = async (response: Response) => [response.status, ((await response.json()) as { code: string }).code];

  test("a pushed model is listed, resolved and not stored twice", async () => {
    const fields = { name: "nafnet_sidd-width64", metrics: '{"psnr": 40.3}', training_data: "SIDD" };
    const created = await push("weights", fields);
    expect([created.status, await created.json()]).toMatchObject([
      201,
      { skipped: false, licence: "MIT", version: 1, metrics: { psnr: 40.3 }, uploaded_by: "ana" },
    ]);
    expect(
      (await push("weights", { ...fields, name: "other", architecture: "x", task: "denoise", licence: "MIT" })).status,
    ).toBe(200);
    expect(await codeOf(await push("else", fields))).toEqual([409, "CONFLICT"]);
    expect((await push("else", { ...fields, as_new_version: "true" })).status).toBe(201);
    const { layers } = (await (await hub.call("GET", "/layers", { token: hub.user })).json()) as {
      layers: { layer: string; models: { name: string; is_stored: boolean }[] }[];
    };
    expect(layers.map(({ layer }) => layer)).toEqual(["layer-1", "layer-2"]);
    expect(layers[1]!.models.filter(({ is_stored }) => is_stored).map(({ name }) => name)).toEqual([
      "nafnet_sidd-width64",
    ]);
    const found = await hub.call("GET", "/layers/layer-2/resolve?task=denoise", { token: hub.user });
    const { path, version, when } = (await found.json()) as { path: string; version: number; when: string | null };
    expect([found.status, version, when, readFileSync(path, "utf8")]).toEqual([200, 2, null, "else"]);
  });

  test("says why it refuses, with the status of the document", async () => {
    expect(await codeOf(await push("w", { name: "restormer_deraining" }, "layer-1"))).toEqual([
      422,
      "LICENCE_NOT_ACCEPTED",
    ]);
    expect(await codeOf(await push("<html>", { name: "nafnet_sidd-width32" }))).toEqual([502, "UNEXPECTED_CONTENT"]);
    expect(await codeOf(await push("w", { name: "nafnet_sidd-width32", sha256: "0".repeat(64) }))).toEqual([
      502,
      "INTEGRITY",
    ]);
    expect(await codeOf(await push("w", { name: "nafnet_sidd-width32", metrics: "x" }))).toEqual([
      400,
      "INVALID_REQUEST",
    ]);
    expect(await codeOf(await push("w", { name: "x" }, "layer-9"))).toEqual([404, "NOT_FOUND"]);
    expect(await codeOf(await hub.call("GET", "/layers/layer-2/resolve?task=denoise"))).toEqual([404, "NOT_FOUND"]);
    expect(await codeOf(await hub.call("GET", "/layers/layer-2/resolve"))).toEqual([400, "INVALID_REQUEST"]);
  });

  test("a pull is a job whose result names every model", async () => {
    const response = await hub.call("POST", "/layers/layer-2/pull", {
      json: { models: ["uvdoc", "docunet", "nafnet_nafssr-l"] },
    });
    const { job_id } = (await response.json()) as { job_id: string };
    for await (const _ of hub.jobs.watch(job_id));
    expect(await hub.jobs.get(job_id)).toMatchObject({
      state: "succeeded",
      progress: { percent: 100 },
      result: {
        ok: [{ name: "uvdoc", uploaded_by: "ana" }],
        skipped: [{ name: "docunet" }],
        failed: [{ name: "nafnet_nafssr-l", code: "SOURCE_UNAVAILABLE" }],
      },
    });
    expect((await hub.call("GET", "/layers/layer-2/resolve?task=unwarp")).status).toBe(200);
  });
});
