/** One run of the kill test: `child.ts <directory of the run> <directory of the pictures>`; resumes what is there. Says every event as one line. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { CocoDataset } from "@seg/coco-dataset";
import { trainStudent } from "@seg/distill";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";

const [, , directory = "", imagesDir = ""] = process.argv;
configure({ threads: 1 });
await tf.setBackend("onnxruntime");
const dataset = JSON.parse(readFileSync(join(imagesDir, "annotations.json"), "utf8")) as CocoDataset;
const data = { dataset, imagesDir };
for await (const event of trainStudent({
  student: "yolov8p-seg",
  train: data,
  val: data,
  directory,
  imgsz: 64,
  epochs: 24,
  batch: 8,
  seed: 3,
  bnMomentum: 0.1,
  evaluation: { interval: 4 },
  checkpoint: { save_interval: 3, save_interval_steps: 3, max_keep_checkpoints: 2, early_stopping: { enabled: false } },
  resume: true,
})) {
  process.stdout.write(`${event.type} ${event.epoch}\n`);
}
