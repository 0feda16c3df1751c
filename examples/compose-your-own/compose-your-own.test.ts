import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDetector } from "@seg/export/runtime";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { afterAll, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { type Config, composeYourOwn } from "./main.js";
import { cocoOf, drawPhotos } from "./photos.js";

vi.setConfig({ testTimeout: 300_000 });
configure({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), "seg-compose-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the pictures follow from their seed and say where everything is", () => {
  const [photo, again] = [drawPhotos({ count: 3, seed: 1 }), drawPhotos({ count: 3, seed: 1 })];
  expect(again).toEqual(photo);
  expect(drawPhotos({ count: 1, seed: 2 })[0]!.image.data).not.toEqual(photo[0]!.image.data);
  const { images, annotations } = cocoOf(photo);
  expect(images).toHaveLength(3);
  for (const { bbox, area } of annotations) expect(area!).toBeLessThanOrEqual(bbox![2]! * bbox![3]!);
});

test("pictures in memory become a quantised model that runs from its file alone", async () => {
  const config = parse(readFileSync(join(import.meta.dirname, "config.smoke.yaml"), "utf8")) as Config;
  const lines: string[] = [];
  await tf.setBackend("onnxruntime");
  const before = tf.memory().numTensors;
  const { paths, scores, unseen } = await composeYourOwn(config, { output: folder, log: (line) => lines.push(line) });
  expect(tf.memory().numTensors).toBe(before);
  expect(lines[0]).toMatch(/^epoch 1\/1 {2}loss \d+\.\d{3}$/);
  expect(Object.values(paths).every(existsSync)).toBe(true);
  for (const score of Object.values(scores)) expect(score).toBeGreaterThanOrEqual(0);
  const detector = await createDetector({ model: paths["model_int8.onnx"]! });
  expect(detector.metadata.names).toEqual(["coin", "nut"]);
  const { boxes, masks } = await detector.predict(unseen[0]!.image, { confidence: 1e-4 });
  expect(masks).toHaveLength(boxes.length / 4);
  expect(boxes.length).toBeGreaterThan(0);
  await detector.dispose();
});
