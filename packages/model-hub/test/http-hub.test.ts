import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HubClient } from "../src/client/index.js";
import { HubError } from "../src/errors.js";
import { connectSources } from "../src/server/hub-port.js";
import type { Facts, HubPort, LayersPort } from "../src/server/ports.js";
import type { SearchQuery } from "../src/sources/types.js";
import { temporaryDirectory } from "./databases.js";
import { openApp, type TestHub } from "./open-app.js";

const hit = {
  source: "hf" as const,
  id: "hf:org/lora",
  name: "lora",
  kind: "lora" as const,
  kinds: ["lora" as const],
  task: null,
  baseModel: "sam",
  licence: "apache-2.0",
  downloads: 7,
  likes: 1,
  rating: null,
  createdAt: null,
  updatedAt: "2026-01-01T00:00:00Z",
  gated: false,
  owner: "org",
  library: "peft",
  files: [],
  tags: ["lora"],
  safety: { nsfw: false, safeFormat: true, pickleScan: null },
  air: null,
  origins: [],
};

describe("hub and layers over HTTP", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let client: HubClient;
  let asked: SearchQuery[];
  let pushed: { layer: string; bytes: string; metadata: Facts; actor: string }[];
  const port: HubPort = {
    async search(query) {
      asked.push(query);
      if (query.text === "down") throw new HubError({ code: "SOURCE_UNAVAILABLE", message: "hf and civitai failed" });
      return {
        hits: [hit],
        warnings: [{ source: "civitai", code: "SOURCE_UNAVAILABLE", message: "late" }],
        nextCursor: "n",
      };
    },
    catalogue: () => [
      { id: "mobilesam", family: "sam", licence: "Apache-2.0", files: [{ urls: [] }], vramMb: { fp32: 534 } },
    ],
    async status(id) {
      if (id === "none") throw new HubError({ code: "NOT_FOUND", message: "no such model" });
      return [{ id: "mobilesam", state: "absent", fallbacksTried: [], cacheBytes: 0 }];
    },
  };
  const layers: LayersPort = {
    async list() {
      return [{ layer: "layer-1", purpose: "first restoration", tasks: ["denoise"], models: [] }];
    },
    async resolve(layer, { task }) {
      if (task !== "denoise") throw new HubError({ code: "NOT_FOUND", message: `no ${task} in ${layer}` });
      return { path: "/models/x.onnx", sha256: "a".repeat(64), sourceUrl: null };
    },
    async push(layer, { path }, metadata, { actor }) {
      const bytes = readFileSync(path, "utf8");
      const skipped = pushed.some((p) => p.bytes === bytes);
      if (!skipped) pushed.push({ layer, bytes, metadata, actor });
      return { skipped, bytes: bytes.length, fileName: "x" };
    },
  };
  beforeEach(async () => {
    asked = [];
    pushed = [];
    hub = await openApp({ root: directory.path, deps: { hub: port, layers } });
    client = new HubClient({
      baseUrl: "http://hub.test",
      token: hub.admin,
      // Through the harness, so that every answer is checked against the document.
      fetch: async (input, init) => {
        const request = new Request(input as string, init);
        const response = await hub.app.fetch(request);
        await hub.contract.check(request.method, request.url, response);
        return response;
      },
    });
  });
  afterEach(() => hub.close());

  test("search takes every filter and answers in snake_case", async () => {
    const page = await client.searchModels({
      text: "bag",
      sources: ["hf", "civitai"],
      kinds: ["lora", "embedding"],
      base_model: "sam",
      tags: ["a", "b"],
      min_downloads: 5,
      permissive_only: true,
      gated: false,
      sort: "downloads",
      limit: 10,
    });
    expect(asked).toEqual([
      {
        text: "bag",
        sources: ["hf", "civitai"],
        kinds: ["lora", "embedding"],
        baseModel: "sam",
        tags: ["a", "b"],
        minDownloads: 5,
        permissiveOnly: true,
        gated: false,
        nsfw: false,
        sort: "downloads",
        limit: 10,
      },
    ]);
    expect(page).toMatchObject({
      hits: [{ id: "hf:org/lora", base_model: "sam", safety: { safe_format: true } }],
      warnings: [{ source: "civitai" }],
      next_cursor: "n",
    });
    expect((await hub.call("GET", "/hub/search?kinds=lora,nothing")).status).toBe(400);
    expect((await hub.call("GET", "/hub/search?limit=1001")).status).toBe(400);
    await expect(client.searchModels({ text: "down" })).rejects.toMatchObject({
      status: 502,
      code: "SOURCE_UNAVAILABLE",
    });
  });

  test("catalogue and status", async () => {
    expect((await client.getCatalogue()).entries).toMatchObject([{ id: "mobilesam", vram_mb: { fp32: 534 } }]);
    expect((await client.getHubStatus()).models).toMatchObject([{ state: "absent", fallbacks_tried: [] }]);
    await expect(client.getHubStatus({ id: "none" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("an installation is a job, one per model at a time", async () => {
    const first = await client.installModel({ id: "mobilesam", accept_licence: true });
    expect(await client.installModel({ id: "mobilesam" })).toEqual(first);
    expect((await client.getJob(first.job_id)).payload).toEqual({ id: "mobilesam", accept_licence: true });
    expect((await client.installModel({ id: "hf:org/lora" })).job_id).not.toBe(first.job_id);
    const pull = await client.pullLayer("layer-2", { models: ["uvdoc"] });
    expect((await client.getJob(pull.job_id)).payload).toEqual({ layer: "layer-2", models: ["uvdoc"] });
  });

  test("layers list, resolve and take local models", async () => {
    expect((await client.listLayers()).layers).toMatchObject([{ layer: "layer-1", tasks: ["denoise"] }]);
    expect(await client.resolveLayer("layer-1", { task: "denoise" })).toMatchObject({ path: "/models/x.onnx" });
    await expect(client.resolveLayer("layer-1", { task: "fly" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    const push = () =>
      client.pushLayerModel("layer-1", new Blob(["weights"]), {
        fileName: "x.onnx",
        fields: { name: "restormer", task: "denoise", as_new_version: "false" },
      });
    expect(await push()).toMatchObject({ skipped: false, file_name: "x" });
    expect(await push()).toMatchObject({ skipped: true });
    expect(pushed).toEqual([
      {
        layer: "layer-1",
        bytes: "weights",
        metadata: { name: "restormer", task: "denoise", as_new_version: false },
        actor: "ana",
      },
    ]);
    expect((await hub.call("GET", "/layers/..%2f..%2fetc/resolve")).status).toBe(400);
    expect((await hub.call("GET", "/layers/layer-0/resolve")).status).toBe(400);
  });

  test("the real catalogue and manager answer as the document says; without a network a search says which sources failed", async () => {
    const sources = connectSources({
      env: { SEG_HUB_HOME: hub.root, HF_HOME: hub.root },
      fetch: async () => {
        throw new TypeError("fetch failed");
      },
      random: () => 0,
      clock: { now: Date.now, sleep: async () => {} },
    });
    const real = await openApp({ root: directory.path, deps: { hub: sources.hub } });
    const catalogue = (await (await real.call("GET", "/hub/catalogue")).json()) as { entries: { id: string }[] };
    expect(catalogue.entries.map(({ id }) => id)).toContain("mobilesam");
    const status = await real.call("GET", "/hub/status?id=mobilesam");
    expect(await status.json()).toMatchObject({ models: [{ id: "mobilesam", state: "absent" }] });
    expect((await real.call("GET", "/hub/status?id=nothing-like-it")).status).toBe(404);
    const found = await real.call("GET", "/hub/search?sources=catalogue&text=sam");
    expect(found.status).toBe(200);
    const failed = await real.call("GET", "/hub/search?sources=hf&text=sam");
    expect([failed.status, ((await failed.json()) as { code: string }).code]).toEqual([502, "SOURCE_UNAVAILABLE"]);
    await real.close();
  });

  test("a server without sources and layers says so", async () => {
    const bare = await openApp({ root: directory.path });
    for (const path of ["/hub/search", "/hub/catalogue", "/hub/status", "/layers", "/layers/layer-1/resolve"]) {
      const response = await bare.call("GET", path);
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([409, "INVALID_STATE"]);
    }
    await bare.close();
  });
});
