import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubState, ModelPool, openHubState } from "@seg/model-hub";
import type { PredictorPort } from "@seg/model-hub/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPredictor } from "../src/hub/predictor.js";
import { trainer } from "../src/hub/student-trainer.js";
import { writeTinyDataset } from "./tiny-dataset.js";
import { runTrainer, trainingContext } from "./train-by-hub.js";

let root: string;
let hub: HubState;
let pool: ModelPool;
let predictor: PredictorPort;
let image: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "seg-student-trainer-"));
  const { images } = await writeTinyDataset(join(root, "datasets", "tiny"), { count: 5 });
  image = join(images, "scene-0.jpg");
  hub = await openHubState({ root: join(root, "hub") });
  pool = new ModelPool({ devices: [{ id: "cpu", totalBytes: 1e9, reserveBytes: 0 }] });
  predictor = createPredictor({ registry: hub.registry, pool });
});
afterAll(async () => {
  await pool.close();
  await hub.close();
  await rm(root, { recursive: true, force: true });
});

test("a version that was trained by the hub runs on pictures, from the pool", async () => {
  const { value, outputDirectory } = trainingContext(root, "run", {
    config: { learning_rate: 2e-3, hidden_size: 16, params: { imgsz: 64, student: "yolov8p-seg", threads: 1 } },
  });
  const { seen, result } = await runTrainer(trainer, value);
  expect(seen.at(-1)).toEqual({ phase: "saving" });
  expect(result.metrics.map50).not.toBeUndefined();
  const files = readdirSync(outputDirectory, { recursive: true, encoding: "utf8" }).filter((path) =>
    statSync(join(outputDirectory, path)).isFile(),
  );
  expect(files).toEqual(expect.arrayContaining(["model_fp32.onnx", "student.json", "weights/student.safetensors"]));
  expect(existsSync(join(outputDirectory, "model_int8.onnx"))).toBe(false);

  await expect(predictor.predict({ model: "default", image })).rejects.toMatchObject({ code: "NO_ACTIVE_VERSION" });
  const { version } = await hub.registry.register({
    metrics: {},
    files: await Promise.all(
      files.map(async (path) => ({ path, content: await readFile(join(outputDirectory, path)) })),
    ),
  });
  await hub.registry.activate(version);
  const all = await Promise.all([0, 1, 2].map(() => predictor.predict({ model: "default", image, confidence: 0 })));
  const [first] = all;
  expect(first).toMatchObject({ version, width: 96, height: 64 });
  expect(first!.instances.length).toBeGreaterThan(0);
  for (const { bbox, score, name, segmentation } of first!.instances) {
    expect(score >= 0 && score <= 1).toBe(true);
    expect(["bar", "square"]).toContain(name);
    expect(bbox.every(Number.isFinite)).toBe(true);
    expect(segmentation?.size).toEqual([64, 96]);
  }
  for (const { instances } of all) expect(instances).toEqual(first!.instances);
  expect(pool.metrics()).toMatchObject({ loads: 1, failures: 0 });
  expect(pool.status().models).toMatchObject([{ key: `default@${version}`, leases: 0 }]);
}, 180_000);

test("what cannot be run is named: a version without a model, a file that is no picture", async () => {
  const bare = await hub.registry.register({
    model: "bare",
    metrics: {},
    files: [{ path: "notes.txt", content: Buffer.from("x") }],
  });
  await expect(predictor.predict({ model: "bare", version: bare.version, image })).rejects.toMatchObject({
    code: "INVALID_STATE",
    message: expect.stringContaining("has no model that runs here"),
  });
  const broken = await hub.registry.register({
    model: "broken",
    metrics: {},
    files: [{ path: "model_fp32.onnx", content: Buffer.from("no model") }],
  });
  await expect(predictor.predict({ model: "broken", version: broken.version, image })).rejects.toMatchObject({
    code: "INVALID_STATE",
    message: expect.stringContaining("cannot be run"),
  });
  const { version } = (await hub.registry.active())!;
  const text = join(root, "datasets", "tiny", "annotations.json");
  await expect(predictor.predict({ model: "default", version, image: text })).rejects.toMatchObject({
    code: "UNSUPPORTED_TYPE",
  });
  expect(pool.status().waiting).toBe(0);
});
