import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "@seg/tfjs-onnxruntime";
import type { CocoDataset } from "@seg/coco-dataset";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { autoStudentBatch } from "./auto-batch.js";

const directory = mkdtempSync(join(tmpdir(), "seg-batch-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
});

const dataset: CocoDataset = {
  images: Array.from({ length: 40 }, (_, i) => ({ id: i + 1, width: 64, height: 64, file_name: `${i}.png` })),
  annotations: [],
  categories: [{ id: 1, name: "a" }],
};
const asked = { student: "yolov8p-seg", imgsz: 64, directory, dataset } as const;

test("takes what a step may hold, and leaves no tensor", async () => {
  const before = tf.memory().numTensors;
  const batch = await autoStudentBatch({ ...asked, budgetBytes: 40e6 });
  expect(batch).toBeGreaterThan(1);
  expect(batch).toBeLessThan(40);
  expect(tf.memory().numTensors).toBe(before);
}, 120_000);

test("a resumed run keeps its batch", async () => {
  writeFileSync(join(directory, "args.yaml"), "imgsz: 64\nbatch: 12\nepochs: 3\n");
  expect(await autoStudentBatch({ ...asked, resume: true, budgetBytes: 1 })).toBe(12);
});
