import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHub, type ModelHub } from "../hub.js";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.js";
import { ManualClock } from "../testing/manual-clock.js";
import type { SearchQueryInput } from "./types.js";

const file = (id: number, name: string, content: string) => ({ id, name, bytes: Buffer.from(content), primary: true });
const version = (id: number, name: string, content: string, baseModel = "SD 1.5") => ({
  id,
  name: `v${id}`,
  baseModel,
  files: [file(id * 10, name, content)],
});

let fake: FakeHub;
let hub: ModelHub;
let clock: ManualClock;
beforeEach(async () => {
  fake = await startFakeHub({
    repos: [
      {
        id: "acme/sam",
        files: { "model.safetensors": "w" },
        licence: "apache-2.0",
        task: "mask-generation",
        library: "transformers",
        downloads: 50,
        likes: 5,
        lastModified: "2025-03-01T00:00:00.000Z",
        createdAt: "2025-02-01T00:00:00.000Z",
      },
      {
        id: "acme/sam-lora",
        files: { "adapter_model.safetensors": "w" },
        licence: "mit",
        library: "peft",
        tags: ["base_model:acme/sam", "base_model:adapter:acme/sam", "safetensors"],
        downloads: 7,
        likes: 9,
      },
      { id: "other/style", files: { "a.pt": "w" }, tags: ["textual-inversion"], downloads: 1 },
      { id: "other/vectors", files: { "a.onnx": "w" }, tags: ["embedding", "onnx"], licence: "cc-by-nc-4.0" },
      { id: "other/gated", files: { "a.safetensors": "w" }, gated: true, licence: "llama2", downloads: 900 },
      { id: "other/adult", files: { "a.safetensors": "w" }, tags: ["not-for-all-audiences"] },
    ],
    civitai: [
      { id: 1, name: "sam checkpoint", type: "Checkpoint", versions: [version(11, "a.safetensors", "one")], likes: 3 },
      {
        id: 2,
        name: "sam lora",
        type: "LORA",
        versions: [version(21, "b.safetensors", "two", "SDXL 1.0")],
        downloads: 100,
        creator: "ana",
        tags: ["edge"],
      },
      { id: 3, name: "sam words", type: "TextualInversion", versions: [version(31, "c.pt", "three")] },
      { id: 4, name: "sam adult", type: "LORA", versions: [version(41, "d.safetensors", "four")], nsfw: true },
      { id: 5, name: "sam control", type: "Controlnet", versions: [version(51, "e.safetensors", "five")] },
      { id: 6, name: "sam boxes", type: "Detection", versions: [version(61, "f.pt", "six")] },
    ],
  });
  clock = new ManualClock({ autoAdvance: true });
  hub = createHub({
    env: {},
    environment: {
      hfEndpoint: fake.url,
      civitaiEndpoint: fake.url,
      hfToken: "hf-token",
      civitaiToken: "civitai-token",
    },
    clock,
    random: () => 0.5,
  });
});
afterEach(() => fake.close());

const search = async (query: SearchQueryInput) => (await hub.search(query)).hits;
const ids = async (query: SearchQueryInput) => (await search(query)).map(({ id }) => id);
const asked = (path: string) => fake.requests.filter((request) => request.path.startsWith(path));

describe("filters", () => {
  test.each<[string, SearchQueryInput, string[]]>([
    ["text", { text: "lora", sources: ["hf", "civitai"] }, ["hf:acme/sam-lora", "civitai:2@21"]],
    [
      "checkpoints",
      { kinds: ["checkpoint"], text: "sam", sources: ["hf", "civitai"] },
      ["hf:acme/sam", "civitai:1@11"],
    ],
    ["LoRA", { kinds: ["lora"], sources: ["hf", "civitai"] }, ["hf:acme/sam-lora", "civitai:2@21"]],
    ["embeddings", { kinds: ["embedding"], sources: ["hf", "civitai"] }, ["hf:other/vectors", "civitai:3@31"]],
    [
      "textual inversions",
      { kinds: ["textual_inversion"], sources: ["hf", "civitai"] },
      ["hf:other/style", "civitai:3@31"],
    ],
    ["control", { kinds: ["control"], sources: ["civitai"] }, ["civitai:5@51"]],
    ["other", { kinds: ["other"], sources: ["civitai"] }, ["civitai:6@61"]],
    ["the task", { task: "mask-generation", sources: ["hf"] }, ["hf:acme/sam"]],
    ["the base model", { baseModel: "acme/sam", sources: ["hf"] }, ["hf:acme/sam-lora"]],
    ["CivitAI's base model", { baseModel: "SDXL 1.0", sources: ["civitai"] }, ["civitai:2@21"]],
    ["the licence", { licence: "MIT", sources: ["hf"] }, ["hf:acme/sam-lora"]],
    ["the owner", { owner: "ana", sources: ["civitai"] }, ["civitai:2@21"]],
    ["a tag", { tags: ["edge"], sources: ["civitai"] }, ["civitai:2@21"]],
    ["the library", { library: "peft", sources: ["hf"] }, ["hf:acme/sam-lora"]],
    ["the format", { format: "onnx", sources: ["hf"] }, ["hf:other/vectors"]],
    [
      "downloads",
      { minDownloads: 50, sources: ["hf", "civitai"], sort: "downloads" },
      ["hf:other/gated", "civitai:2@21", "hf:acme/sam"],
    ],
    ["gated ones", { gated: true, sources: ["hf"] }, ["hf:other/gated"]],
    [
      "permissive licences",
      { permissiveOnly: true, sources: ["hf"], sort: "likes" },
      ["hf:acme/sam-lora", "hf:acme/sam"],
    ],
  ])("finds by %s", async (_, query, expected) => {
    expect(await ids(query)).toEqual(expected);
  });

  test("shows adult models only when asked to", async () => {
    expect(await ids({ text: "adult", sources: ["hf", "civitai"] })).toEqual([]);
    expect(await ids({ text: "adult", nsfw: true, sources: ["hf", "civitai"] })).toEqual([
      "hf:other/adult",
      "civitai:4@41",
    ]);
  });

  test("asks CivitAI nothing when none of its types is meant", async () => {
    expect(await ids({ kinds: ["text_encoder"], sources: ["civitai"] })).toEqual([]);
    expect(asked("/api/v1/")).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["an unknown filter", { colour: "red" }],
    ["a limit of 0", { limit: 0 }],
    ["a limit of 1001", { limit: 1001 }],
    ["an unknown kind", { kinds: ["painting"] }],
    ["no source", { sources: [] }],
    ["a foreign cursor", { cursor: "abc" }],
  ])("refuses %s before anything is asked", async (_, query) => {
    await expect(hub.search(query as SearchQueryInput)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    expect(fake.requests).toEqual([]);
  });
});

describe("hits", () => {
  test("one shape for all hubs", async () => {
    const [lora] = await search({ text: "sam-lora", sources: ["hf"] });
    expect(lora).toMatchObject({
      source: "hf",
      id: "hf:acme/sam-lora",
      kind: "lora",
      baseModel: "acme/sam",
      licence: "mit",
      downloads: 7,
      likes: 9,
      gated: false,
      owner: "acme",
      safety: { nsfw: false, safeFormat: true, pickleScan: null },
      air: null,
    });
    const [words] = await search({ text: "words", sources: ["civitai"] });
    expect(words).toMatchObject({
      source: "civitai",
      id: "civitai:3@31",
      kind: "textual_inversion",
      kinds: ["textual_inversion", "embedding"],
      licence: null,
      safety: { safeFormat: false, pickleScan: "Success" },
      air: "urn:air:sd15:textualinversion:civitai:3@31",
    });
  });

  test("the same bytes in two places are one hit that names both", async () => {
    await fake.close();
    fake = await startFakeHub({
      civitai: [
        { id: 1, name: "first", type: "LORA", versions: [version(11, "a.safetensors", "same")] },
        { id: 2, name: "second", type: "LORA", versions: [version(21, "b.safetensors", "same")] },
      ],
    });
    hub = createHub({ env: {}, environment: { civitaiEndpoint: fake.url, hfToken: null } });
    const hits = await search({ sources: ["civitai"] });
    expect(hits.map(({ id, origins }) => [id, origins])).toEqual([["civitai:1@11", ["civitai:1@11", "civitai:2@21"]]]);
  });

  test("sorts over all sources by downloads, likes and time", async () => {
    const query: SearchQueryInput = { text: "sam", sources: ["hf", "civitai"] };
    expect((await ids({ ...query, sort: "downloads" })).slice(0, 2)).toEqual(["civitai:2@21", "hf:acme/sam"]);
    expect((await ids({ ...query, sort: "likes" })).slice(0, 2)).toEqual(["hf:acme/sam-lora", "hf:acme/sam"]);
    expect((await ids({ ...query, sort: "updated" }))[0]).toBe("hf:acme/sam");
  });

  test("pages do not repeat or lose a hit", async () => {
    const all = await ids({ sources: ["hf", "civitai"], nsfw: true });
    const paged: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await hub.search({
        sources: ["hf", "civitai"],
        nsfw: true,
        limit: 4,
        ...(cursor ? { cursor } : {}),
      });
      paged.push(...page.hits.map(({ id }) => id));
      if (page.cursor === null) break;
      cursor = page.cursor;
    }
    expect(all.length).toBe(12);
    expect(paged).toEqual(all);
  });

  test("follows the hubs' own pages", async () => {
    await fake.close();
    const models = Array.from({ length: 250 }, (_, i) => i + 1);
    fake = await startFakeHub({
      pageSize: 100,
      repos: models.map((i) => ({ id: `acme/m${i}`, files: { "a.safetensors": `${i}` } })),
      civitai: models.map((i) => ({
        id: i,
        name: `m${i}`,
        type: "LORA",
        versions: [version(1000 + i, "a.safetensors", `${i}`)],
      })),
    });
    hub = createHub({ env: {}, environment: { hfEndpoint: fake.url, civitaiEndpoint: fake.url, hfToken: null } });
    expect((await ids({ sources: ["civitai"], limit: 250 })).length).toBe(250);
    expect((await ids({ sources: ["hf"], limit: 250 })).length).toBe(250);
    // Never by number: CivitAI refuses page x limit above 1000.
    expect(asked("/api/v1/models").every(({ path }) => !path.includes("page="))).toBe(true);
  });
});

describe("failures", () => {
  test("one source that fails is a warning, not the end", async () => {
    fake.fault({ match: "/api/models", kind: "status", status: 500, times: 99 });
    const { hits, warnings } = await hub.search({ text: "sam", sources: ["hf", "civitai"] });
    expect(warnings).toMatchObject([{ source: "hf", code: "SOURCE_UNAVAILABLE" }]);
    expect(hits.every(({ source }) => source === "civitai")).toBe(true);
  });

  test("all sources failing is an error that names each", async () => {
    fake.fault({ match: "/api/", kind: "status", status: 503, times: 99 });
    await expect(hub.search({ sources: ["hf", "civitai"] })).rejects.toMatchObject({
      code: "SOURCE_UNAVAILABLE",
      details: { warnings: [{ source: "hf" }, { source: "civitai" }] },
    });
  });

  test("is tried again when a hub is busy: 1, 2, 4, 8 s, then its own word", async () => {
    fake.fault({ match: "/api/models", kind: "status", status: 429, times: 99 });
    await expect(hub.search({ sources: ["hf"] })).rejects.toMatchObject({
      details: { warnings: [{ code: "RATE_LIMITED" }] },
    });
    expect(clock.slept).toEqual([1000, 2000, 4000, 8000]);
  });

  test("waits as long as the hub asks for", async () => {
    fake.fault({ match: "/api/v1/models", kind: "status", status: 429, headers: { "retry-after": "9" } });
    expect((await ids({ sources: ["civitai"], kinds: ["control"] })).length).toBe(1);
    expect(clock.slept).toEqual([9000]);
  });

  test.each([
    [401, "AUTH_REQUIRED"],
    [403, "FORBIDDEN"],
  ])("does not try again after %d", async (status, code) => {
    fake.fault({ match: "/api/models", kind: "status", status, times: 99 });
    await expect(hub.search({ sources: ["hf"] })).rejects.toMatchObject({ details: { warnings: [{ code }] } });
    expect(clock.slept).toEqual([]);
  });

  test("an answer that is no list is refused", async () => {
    fake.fault({ match: "/api/models", kind: "html" });
    await expect(hub.search({ sources: ["hf"] })).rejects.toMatchObject({
      details: { warnings: [{ code: "UNEXPECTED_CONTENT" }] },
    });
  });

  test("stops when told to", async () => {
    const reason = new Error("enough");
    await expect(hub.search({ sources: ["hf"] }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test("no token appears in errors, whatever a hub says", async () => {
    // As a careless server would say it.
    fake.fault({ match: "/api/models", kind: "status", status: 403, body: '{"error":"hf-token is wrong"}' });
    fake.fault({ match: "/api/v1/", kind: "status", status: 403, body: '{"error":"civitai-token is wrong"}' });
    const error = await hub.search({ sources: ["hf", "civitai"] }).catch((failure) => failure);
    expect(JSON.stringify([error.message, error.details])).not.toMatch(/hf-token|civitai-token/);
    expect(fake.requests.map(({ authorization }) => authorization).sort()).toEqual([
      "Bearer civitai-token",
      "Bearer hf-token",
    ]);
  });
});
