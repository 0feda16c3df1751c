import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import packageJson from "../../package.json" with { type: "json" };
import { VerificationRecords } from "../cache/verification-records.js";
import { SamModelManager } from "../catalogue/sam-model-manager.js";
import { createHub } from "../hub.js";
import { blobKey } from "../registry/blob-store.js";
import { collectGarbage } from "../registry/collect-garbage.js";
import { objectBlobs } from "../registry/object-blobs.js";
import { openDatabase } from "../sql/open-database.js";
import { FileObjectStore } from "../stores/file-object-store.js";
import type { ObjectStore } from "../stores/object-store.js";
import { S3ObjectStore } from "../stores/s3-object-store.js";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.js";
import { ManualClock } from "../testing/manual-clock.js";
import { startS3Double } from "../testing/s3-double.js";
import { TOOL_VERSION } from "../tool-version.js";
import { BUILT_IN_LAYERS } from "./built-in-layers.js";
import { parseLayers } from "./layer-config.js";
import { filesAt, LayerStore } from "./layer-store.js";
import { pullLayer } from "./pull-layer.js";
import type { LayerProgress } from "./types.js";

const digest = (name: string, text: string) => createHash(name).update(text).digest("hex");

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "layers-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function file(name: string, content: string) {
  const path = join(root, "in", name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return filesAt(path);
}
const open = (store: ObjectStore, layers = BUILT_IN_LAYERS) =>
  new LayerStore({
    layers,
    store,
    directory: join(root, "copies"),
    records: new VerificationRecords({ directory: join(root, "verified") }),
    clock: new ManualClock({ autoAdvance: true }),
  });
const consent = { acceptLicence: true, actor: "ana" };

interface World {
  store: ObjectStore;
  /** Changes the stored bytes of a blob behind the store's back. */
  damage(key: string): Promise<void>;
  close(): Promise<void>;
}
const kinds: Record<string, () => Promise<World>> = {
  folder: async () => ({
    store: new FileObjectStore({ root: join(root, "store") }),
    damage: (key) => writeFile(join(root, "store", key), "rotten!"),
    close: async () => {},
  }),
  S3: async () => {
    const double = await startS3Double();
    const store = new S3ObjectStore({ endpoint: double.endpoint, bucket: double.bucket, ...double.credentials });
    return {
      store,
      damage: async (key) => double.damage(key),
      close: async () => {
        store.close();
        await double.close();
      },
    };
  },
};

describe.each(Object.entries(kinds))("LayerStore in %s", (_, start) => {
  let world: World;
  let layers: LayerStore;
  beforeEach(async () => {
    world = await start();
    layers = open(world.store);
  });
  afterEach(() => world.close());
  const keys = async () => {
    const found: string[] = [];
    for await (const { key } of world.store.list("")) found.push(key);
    return found;
  };

  test("init makes every layer's folder once", async () => {
    expect(await layers.init()).toEqual(["layers/layer-1/README.md", "layers/layer-2/README.md"]);
    expect(await layers.init()).toEqual([]);
    const third = parseLayers("layers: { layer-3: { purpose: tone, tasks: [tone] } }");
    expect(await open(world.store, third).init()).toEqual(["layers/layer-3/README.md"]);
  });

  test("push keeps content by digest and complete metadata, with a README", async () => {
    const seen: LayerProgress[] = [];
    const { skipped, record } = await layers.push(
      "layer-2",
      await file("NAFNet-SIDD-width64.pth", "hello\n"),
      {
        name: "nafnet_sidd-width64",
        sourceUrl: "https://example.org/nafnet",
        trainingData: "SIDD",
        metrics: { psnr: 40.3, ssim: Number.NaN },
        inputSpec: "NCHW fp32 RGB 0-1",
      },
      { actor: "ana", onProgress: (progress) => seen.push(progress) },
    );
    expect(skipped).toBe(false);
    expect(record).toEqual({
      schema: 1,
      layer: "layer-2",
      name: "nafnet_sidd-width64",
      version: 1,
      architecture: "nafnet",
      tasks: ["denoise"],
      files: [
        {
          name: "NAFNet-SIDD-width64.pth",
          bytes: 6,
          sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
          md5: "b1946ac92492d2347c6235b4d2611184",
        },
      ],
      bytes: 6,
      sha256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
      md5: "b1946ac92492d2347c6235b4d2611184",
      source_url: "https://example.org/nafnet",
      licence: "MIT",
      training_data: "SIDD",
      metrics: { psnr: 40.3 },
      input_spec: "NCHW fp32 RGB 0-1",
      uploaded_by: "ana",
      uploaded_at: expect.stringMatching(/^\d{4}-/),
      tool_version: TOOL_VERSION,
    });
    expect(await keys()).toEqual([
      blobKey(record.sha256),
      "layers/layer-2/nafnet_sidd-width64/README.md",
      "layers/layer-2/nafnet_sidd-width64/versions/000001.json",
    ]);
    const card = await layers.card("layer-2", "nafnet_sidd-width64");
    expect(parse(card.split("---\n")[1]!)).toMatchObject({
      license: "mit",
      pipeline_tag: "image-to-image",
      tags: ["layer-2", "nafnet", "denoise"],
    });
    expect(card).toContain(record.md5!);
    expect(seen.map(({ phase }) => phase)).toEqual(["hashing", "storing", "done"]);
  });

  test("the same content is not stored twice, other content under the same name only as a new version", async () => {
    const [first, second] = [await file("a.pth", "one"), await file("b.pth", "two")];
    const metadata = { name: "ours", architecture: "net", tasks: ["denoise"], licence: "MIT" };
    await layers.push("layer-2", first, metadata);
    expect(await layers.push("layer-2", first, { ...metadata, name: "other" })).toMatchObject({
      skipped: true,
      record: { name: "ours", version: 1 },
    });
    await expect(layers.push("layer-2", second, metadata)).rejects.toMatchObject({
      code: "CONFLICT",
      details: { existing: digest("sha256", "one"), given: digest("sha256", "two") },
    });
    expect(await layers.stored("layer-2")).toHaveLength(1);
    const { record } = await layers.push("layer-2", second, metadata, { asNewVersion: true });
    expect(record.version).toBe(2);
    expect(await layers.resolve("layer-2", { model: "ours" })).toMatchObject({
      version: 2,
      sha256: digest("sha256", "two"),
    });
    // Another layer may hold the same bytes; they are stored once.
    await layers.push("layer-1", first, { ...metadata, tasks: ["derain"] });
    expect((await keys()).filter((key) => key.startsWith("blobs/"))).toHaveLength(2);
  });

  test("pushes at once end with one version per content, none lost", async () => {
    const contents = ["a", "b", "c", "a", "b", "c"];
    const reports = await Promise.all(
      contents.map(async (text, i) =>
        layers.push(
          "layer-2",
          await file(`${i}/net.pth`, text),
          { name: "ours", architecture: "net", tasks: ["denoise"], licence: "MIT" },
          { asNewVersion: true },
        ),
      ),
    );
    expect(reports.filter(({ skipped }) => !skipped)).toHaveLength(3);
    const stored = await layers.stored("layer-2", "ours");
    expect(stored.map(({ version }) => version)).toEqual([1, 2, 3]);
    expect(new Set(stored.map(({ sha256 }) => sha256)).size).toBe(3);
  });

  test("refuses what is not the model, and stores nothing", async () => {
    const page = await file("real_denoising.pth", "<!DOCTYPE html><title>Virus scan warning</title>");
    const model = await file("model.pth", "weights");
    const name = "restormer_real_denoising";
    await expect(layers.push("layer-1", page, { name }, consent)).rejects.toMatchObject({ code: "UNEXPECTED_CONTENT" });
    await expect(layers.push("layer-1", await file("x.pth", ""), { name }, consent)).rejects.toMatchObject({
      code: "UNEXPECTED_CONTENT",
    });
    await expect(layers.push("layer-1", model, { name }, { actor: "ana" })).rejects.toMatchObject({
      code: "LICENCE_NOT_ACCEPTED",
    });
    await expect(layers.push("layer-1", model, { name, sha256: "0".repeat(64) }, consent)).rejects.toMatchObject({
      code: "INTEGRITY",
    });
    await expect(layers.push("layer-7", model, { name }, consent)).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("Known: layer-1, layer-2"),
    });
    await expect(layers.push("layer-1", model, { name: "ours" }, consent)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    await expect(
      layers.push("layer-1", model, { name: "ours", architecture: "x", tasks: ["fly"] }, consent),
    ).rejects.toMatchObject({ code: "INVALID_REQUEST", message: expect.stringContaining("its tasks are denoise") });
    await expect(layers.push("layer-1", model, { name: "../x" }, consent)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
    const aborted = AbortSignal.abort(new Error("stop"));
    await expect(layers.push("layer-1", model, { name }, { ...consent, signal: aborted })).rejects.toThrow("stop");
    expect(await keys()).toEqual([]);
  });

  test("resolve gives a verified file with settings, by task in the order of the configuration", async () => {
    await layers.push("layer-1", await file("d.pth", "drain"), { name: "restormer_deraining" }, consent);
    await layers.push("layer-1", await file("n.pth", "noise"), { name: "restormer_real_denoising" }, consent);
    const metadata = { architecture: "net", tasks: ["denoise"], licence: "MIT" };
    await layers.push("layer-1", await file("o.pth", "ours"), { name: "a_better_one", ...metadata });
    const found = await layers.resolve("layer-1", { task: "denoise" });
    expect(found).toMatchObject({
      name: "restormer_real_denoising",
      licence: "Restormer academic, non-commercial",
      settings: { dim: 48, num_blocks: [4, 6, 6, 8], layer_norm: "BiasFree" },
      warnings: [],
    });
    expect(await readFile(found.path, "utf8")).toBe("noise");
    expect(found.path.endsWith("n.pth")).toBe(true);
    // A copy that was changed is fetched again.
    await writeFile(found.path, "NOISE");
    expect(await readFile((await layers.resolve("layer-1", { task: "denoise" })).path, "utf8")).toBe("noise");
    await expect(layers.resolve("layer-1", { task: "motion_deblur" })).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("layers push layer-1 FILE --name restormer_motion_deblurring"),
    });
    await expect(layers.resolve("layer-2", { task: "unwarp" })).rejects.toMatchObject({
      message: expect.stringContaining("layers pull layer-2 --model uvdoc"),
    });
    await expect(layers.resolve("layer-1", {})).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("damage in the store is found on reading", async () => {
    const { record } = await layers.push(
      "layer-1",
      await file("n.pth", "noise"),
      { name: "restormer_deraining" },
      consent,
    );
    await world.damage(blobKey(record.sha256));
    await expect(layers.resolve("layer-1", { task: "derain" })).rejects.toMatchObject({ code: "INTEGRITY" });
  });

  test("collecting garbage leaves what a layer holds, and takes what no record names", async () => {
    const { record } = await layers.push(
      "layer-1",
      await file("n.pth", "noise"),
      { name: "restormer_deraining" },
      consent,
    );
    const orphan = blobKey(digest("sha256", "left over"));
    await world.store.put(orphan, Buffer.from("left over"));
    const sql = await openDatabase(join(root, "registry.sqlite"));
    const report = await collectGarbage({ sql, store: objectBlobs(world.store), minAgeMs: -1 });
    await sql.close();
    expect(report.removed).toEqual([orphan]);
    expect(await world.store.head(blobKey(record.sha256))).not.toBeNull();
  });

  test("several files are one model, resolved as their folder", async () => {
    await file("big/model.onnx", "graph");
    await file("big/model.onnx_data", "weights");
    const metadata = { name: "big", architecture: "net", tasks: ["denoise"], licence: "MIT" };
    const { record } = await layers.push("layer-2", await filesAt(join(root, "in", "big")), metadata);
    const lines = [
      `${digest("sha256", "graph")}  model.onnx\n`,
      `${digest("sha256", "weights")}  model.onnx_data\n`,
    ].sort();
    expect(record).toMatchObject({ md5: null, bytes: 12, sha256: digest("sha256", lines.join("")) });
    const { path } = await layers.resolve("layer-2", { model: "big" });
    expect(await readFile(join(path, "model.onnx_data"), "utf8")).toBe("weights");
  });

  test("what a person wrote into a README survives the next version", async () => {
    const metadata = { name: "ours", architecture: "net", tasks: ["denoise"], licence: "MIT" };
    await layers.push("layer-2", await file("a.pth", "one"), metadata);
    const key = "layers/layer-2/ours/README.md";
    const edited = (await layers.card("layer-2", "ours"))
      .replace("<!-- user:begin -->\n", "<!-- user:begin -->\nBest at dusk.\n")
      .replace("---\n", "---\nlanguage: de\n");
    await world.store.put(key, Buffer.from(edited));
    await layers.push("layer-2", await file("b.pth", "two"), metadata, { asNewVersion: true });
    const card = await layers.card("layer-2", "ours");
    expect(card).toContain("Best at dusk.");
    expect(card).toContain("version 2");
    expect(parse(card.split("---\n")[1]!)).toMatchObject({ language: "de", license: "mit" });
  });
});

describe("pullLayer", () => {
  let fake: FakeHub;
  beforeEach(async () => {
    fake = await startFakeHub({
      repos: [{ id: "owner/sr", licence: "mit", files: { "sr.onnx": "graph", "README.md": "about" } }],
      files: { "/best_model.pkl": Buffer.from("uvdoc weights") },
    });
  });
  afterEach(() => fake.close());
  const parts = (configuration: string | null = null) => {
    const hub = createHub({
      env: {},
      environment: { hfCache: join(root, "hf"), segHome: join(root, "seg"), hfEndpoint: fake.url, hfToken: null },
      clock: new ManualClock({ autoAdvance: true }),
      random: () => 0.5,
    });
    const manager = new SamModelManager({ hub, rewriteUrl: (url) => `${fake.cdnUrl}/${url.split("/").at(-1)}` });
    const layers = open(
      new FileObjectStore({ root: join(root, "store") }),
      configuration === null ? BUILT_IN_LAYERS : parseLayers(configuration),
    );
    return { hub, manager, layers };
  };

  test("one that fails leaves the others alone; what is there is not fetched again", async () => {
    const world = parts();
    const outcomes: string[] = [];
    const summary = await pullLayer(world, "layer-2", {
      actor: "ana",
      onModel: (name, outcome) => outcomes.push(`${name} ${outcome}`),
    });
    expect(summary.ok).toMatchObject([
      { name: "uvdoc", licence: "MIT", uploaded_by: "ana", source_url: expect.stringContaining("UVDoc") },
    ]);
    expect(summary.skipped).toMatchObject([{ name: "docunet", reason: expect.stringContaining("uvdoc") }]);
    expect(summary.failed).toHaveLength(6);
    expect(summary.failed[0]).toMatchObject({
      name: "nafnet_sidd-width64",
      code: "SOURCE_UNAVAILABLE",
      message: expect.stringContaining("layers push layer-2 FILE --name nafnet_sidd-width64"),
    });
    expect(outcomes).toHaveLength(8);
    const before = fake.requests.length;
    expect(await pullLayer(world, "layer-2", { models: ["uvdoc"] })).toMatchObject({
      ok: [],
      skipped: [{ name: "uvdoc" }],
    });
    expect(fake.requests.length).toBe(before);
    expect(await world.layers.resolve("layer-2", { model: "docunet" })).toMatchObject({
      name: "uvdoc",
      when: "the page is warped",
      warnings: [expect.stringContaining("no official weights")],
    });
  });

  test("an own layer pulls from its own source", async () => {
    const world = parts(`
layers:
  layer-3:
    purpose: Super-resolution
    tasks: [super_resolution]
    models:
      - { name: sr_x2, architecture: sr, tasks: [super_resolution], source: "hf:owner/sr", allow: ["*.onnx"] }
      - { name: gone, architecture: sr, tasks: [super_resolution], source: "hf:owner/gone" }
    architectures:
      sr: { scale: 2 }
`);
    const summary = await pullLayer(world, "layer-3", { actor: "ana" });
    expect(summary).toMatchObject({
      ok: [{ name: "sr_x2", licence: "mit", source_url: "hf:owner/sr", files: [{ name: "sr.onnx" }] }],
      failed: [{ name: "gone", code: "NOT_FOUND" }],
    });
    expect(await world.layers.resolve("layer-3", { task: "super_resolution" })).toMatchObject({
      settings: { scale: 2 },
    });
    await expect(pullLayer(world, "layer-3", { models: ["nobody"] })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

test("records name the version of this package", () => {
  expect(TOOL_VERSION).toBe(`${packageJson.name} ${packageJson.version}`);
});
