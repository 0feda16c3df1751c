import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mask } from "@seg/coco-dataset";
import { type HubState, ModelPool, openHubState } from "@seg/model-hub";
import { decodeImage } from "@seg/preprocess";
import {
  GroundedSam,
  GroundingDinoTeacher,
  pretrainedGroundingDinoDirectory,
  pretrainedSamDirectory,
  Sam,
} from "@seg/teachers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startEngine } from "../src/engine.js";
import { createPredictor } from "../src/hub/predictor.js";
import { writeTinyDataset } from "./tiny-dataset.js";

const PHRASES = ["bar", "square"];
let root: string;
let hub: HubState;
let image: string;
beforeAll(async () => {
  await startEngine({ threads: 1 });
  root = await mkdtemp(join(tmpdir(), "seg-pooled-teachers-"));
  const { images } = await writeTinyDataset(join(root, "tiny"), { count: 1 });
  image = join(images, "scene-0.jpg");
  hub = await openHubState({ root: join(root, "hub") });
});
afterAll(async () => {
  await hub.close();
  await rm(root, { recursive: true, force: true });
});

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const register = (model: string, files: Readonly<Record<string, unknown>>) =>
  hub.registry.register({
    model,
    metrics: {},
    files: Object.entries(files).map(([path, value]) => ({ path, content: json(value) })),
  });
const dino = { version: 1, base: "grounding-dino-tiny-synthetic", adapter: null, phrases: PHRASES };
const sam = { version: 1, base: "sam-tiny-synthetic", adapter: null };

test("GroundedSAM finds the same from a pool with room for one network as from memory with both", async () => {
  const { version } = await register("taught", { "teachers/grounding_dino.json": dino, "teachers/sam.json": sam });
  const question = { model: "taught", version, image, confidence: 0.05 };
  const roomy = new ModelPool({ devices: [{ id: "cpu", totalBytes: 4e9, reserveBytes: 0 }] });
  const first = await createPredictor({ registry: hub.registry, pool: roomy, threads: 1 }).predict(question);
  const sizes = roomy.status().models;
  expect(sizes.map(({ key, leases }) => [key, leases])).toEqual([
    [`taught@${version}/grounding-dino`, 0],
    [`taught@${version}/sam`, 0],
  ]);
  await roomy.close();

  const budget = Math.ceil(1.1 * Math.max(...sizes.map(({ bytes }) => bytes)));
  expect(budget).toBeLessThan(sizes.reduce((sum, { bytes }) => sum + bytes, 0));
  const narrow = new ModelPool({ devices: [{ id: "cpu", totalBytes: budget, reserveBytes: 0 }] });
  const predictor = createPredictor({ registry: hub.registry, pool: narrow, threads: 1 });
  const found = await Promise.all([0, 1].map(() => predictor.predict(question)));
  for (const { instances } of found) expect(instances).toEqual(first.instances);
  expect(narrow.metrics()).toMatchObject({ loads: 4, evictions: 3, failures: 0 });
  expect(narrow.status().models).toHaveLength(1);
  await narrow.close();

  const detector = GroundingDinoTeacher.fromPretrained(pretrainedGroundingDinoDirectory());
  const network = Sam.fromPretrained(pretrainedSamDirectory());
  const teacher = new GroundedSam({ detector, sam: network, multimask: false });
  const { instances } = await teacher.predict(await decodeImage(image), {
    classMapping: { classes: PHRASES.map((name, index) => ({ index, categoryId: index + 1, name })) },
    boxThreshold: 0.05,
    nmsIou: 0.7,
  });
  detector.dispose();
  network.dispose();
  expect(instances.length).toBeGreaterThan(0);
  expect(first.instances.map(({ class_id, score, segmentation }) => [class_id, score, segmentation?.counts])).toEqual(
    instances.map((instance) => [instance.classId, instance.score, mask.toString(instance.mask)]),
  );
}, 240_000);

test("one teacher alone, and one whose base is gone, are refused by name", async () => {
  const pool = new ModelPool({ devices: [{ id: "cpu", totalBytes: 4e9, reserveBytes: 0 }] });
  const predictor = createPredictor({ registry: hub.registry, pool, threads: 1 });
  const masks = await register("masks", { "teachers/sam.json": sam });
  await expect(predictor.predict({ model: "masks", version: masks.version, image })).rejects.toMatchObject({
    code: "INVALID_STATE",
    message: expect.stringContaining("teachers/grounding_dino.json with teachers/sam.json"),
  });
  const gone = await register("gone", {
    "teachers/grounding_dino.json": { ...dino, base: "/nowhere" },
    "teachers/sam.json": sam,
  });
  await expect(predictor.predict({ model: "gone", version: gone.version, image })).rejects.toMatchObject({
    code: "INVALID_STATE",
    message: expect.stringContaining("/nowhere"),
  });
  await pool.close();
});
