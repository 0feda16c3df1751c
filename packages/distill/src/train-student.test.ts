import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "@seg/tfjs-onnxruntime";
import type { CocoDataset } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import type { FitResult, TrainEvent } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boxTeacher, colourFeatures, fingerprint, type Known, oracle } from "../test/fake-teachers.js";
import { writeSyntheticSet } from "../test/synthetic.js";
import { annotationBox } from "./annotation-box.js";
import { type PrepareDistillationOptions, prepareDistillation } from "./teacher/prepare-distillation.js";
import type { TrainStudentConfig } from "./train-config.js";
import { trainStudent } from "./train-student.js";

let dir: string;
let dataset: CocoDataset;
beforeAll(async () => {
  await tf.setBackend("onnxruntime");
  dir = mkdtempSync(join(tmpdir(), "seg-train-"));
  dataset = await writeSyntheticSet({ dir, count: 4, side: 64, seed: 5 });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const base = (name: string, over: Partial<TrainStudentConfig> = {}): TrainStudentConfig => ({
  student: "yolov8p-seg",
  train: { dataset, imagesDir: dir },
  directory: join(dir, name),
  imgsz: 64,
  epochs: 4,
  batch: 4,
  augment: { mosaic: 0, mixup: 0, copyPaste: 0, scale: 0.1 },
  optimizer: { kind: "adamw", lr: 2e-3 },
  bnMomentum: 0.1,
  ema: { tau: 20 },
  warmupEpochs: 1,
  plots: false,
  ...over,
});

/** For runs of many epochs that nobody resumes. */
const unsaved = { save_last: false, save_interval: null };

async function run(cfg: TrainStudentConfig, options: Parameters<typeof trainStudent>[1] = {}) {
  const events: TrainEvent[] = [];
  for await (const event of trainStudent(cfg, options)) events.push(event);
  const end = events.at(-1) as TrainEvent & { type: "end"; result: FitResult };
  const epochs = events.filter((event) => event.type === "epoch").map((event) => event.losses);
  return { events, result: end.result, epochs };
}

let caches = 0;
/** Answers about a training set, cached in a folder of their own. */
const prepare = (
  options: Omit<PrepareDistillationOptions, "dir" | "train"> & { train?: TrainStudentConfig["train"] },
) => prepareDistillation({ train: { dataset, imagesDir: dir }, dir: join(dir, `cache-${caches++}`), ...options });

/** A detector that knows the annotations of these sets, whose images lie in `dir`. */
async function annotationOracle(...sets: CocoDataset[]) {
  const known = new Map<number, Known[]>();
  for (const { images, annotations } of sets) {
    for (const image of images) {
      const list = annotations
        .filter(({ image_id }) => image_id === image.id)
        .map((a) => ({ box: annotationBox(a, image)!, classId: a.category_id === 4 ? 0 : 1 }));
      known.set(fingerprint(await decodeImage(join(dir, image.file_name))), list);
    }
  }
  return oracle({ known, classes: 2 });
}

describe("trainStudent", () => {
  test("learns four images: the mask loss falls by 40 %, files are written, no tensor stays", async () => {
    const before = tf.memory().numTensors;
    const cfg = base("overfit", {
      epochs: 24,
      val: { dataset, imagesDir: dir },
      evaluation: { interval: 12, batch: 4 },
      plots: true,
      tensorboard: true,
    });
    const { epochs, result, events } = await run({
      ...cfg,
      checkpoint: { ...unsaved, early_stopping: { enabled: false } },
    });
    expect(epochs.at(-1)!["seg"]).toBeLessThan(0.6 * epochs[0]!["seg"]!);
    expect(Object.values(epochs.at(-1)!).every(Number.isFinite)).toBe(true);
    expect(result.reason).toBe("completed");
    expect(events.filter((event) => event.type === "eval").length).toBe(2);
    expect(Object.keys(result.metrics!)).toContain("mask_IoU");
    const header = readFileSync(join(cfg.directory, "results.csv"), "utf8").split("\n")[0]!;
    expect(header).toContain("train/seg_loss");
    expect(header).toContain("metrics/mAP50(M)");
    const rows = readFileSync(join(cfg.directory, "results.csv"), "utf8").trim().split("\n");
    const cell = (row: string, column: string) => row.split(",")[header.split(",").indexOf(column)];
    for (const part of ["box", "seg", "cls", "dfl"]) {
      expect([part, cell(rows[1]!, `val/${part}_loss`)]).toEqual([part, ""]);
      const [middle, last] = [rows[12]!, rows[24]!].map((row) => Number(cell(row, `val/${part}_loss`)));
      expect(last).toBeGreaterThan(0);
      // Validated on the training images: what falls there falls here.
      expect(last).toBeLessThan(middle!);
    }
    const shownLosses = ["box", "seg", "cls", "dfl"].map((part) => result.metrics![`val_${part}_loss`]!);
    expect(result.metrics!["val_loss"]).toBeCloseTo(
      shownLosses.reduce((a, b) => a + b),
      9,
    );
    expect(existsSync(join(cfg.directory, "weights", "student.safetensors"))).toBe(true);
    const pictures = ["results.png", "BoxPR_curve.svg", "MaskF1_curve.png", "confusion_matrix.png", "labels.jpg"];
    const mosaics = ["train_batch0.jpg", "train_batch3.jpg", "val_batch0_labels.jpg", "val_batch0_pred.jpg"];
    for (const name of [...pictures, ...mosaics])
      expect([name, existsSync(join(cfg.directory, name))]).toEqual([name, true]);
    expect(readFileSync(join(cfg.directory, "events.out.tfevents.seg")).includes("pad: 114")).toBe(true);
    const mapping = JSON.parse(readFileSync(join(cfg.directory, "class_mapping.json"), "utf8"));
    expect([mapping.class_mapping, mapping.category_ids]).toEqual([{ 0: "square", 1: "triangle" }, [4, 9]]);
    expect(tf.memory().numTensors).toBe(before);
  }, 600_000);

  test("two shards train at once, and resume to the same bytes", async () => {
    const bytes = (name: string) => readFileSync(join(dir, name, "weights", "student.safetensors"));
    const shards = { epochs: 2, shards: 2 };
    const { epochs } = await run(base("sharded", shards));
    expect(Object.values(epochs.at(-1)!).every(Number.isFinite)).toBe(true);
    const parts = base("sharded-parts", shards);
    const controller = new AbortController();
    for await (const event of trainStudent(parts, { signal: controller.signal })) {
      if (event.type === "checkpoint" && event.epoch === 1) controller.abort();
    }
    await expect(run({ ...parts, shards: 1, resume: true })).rejects.toThrow(/shards/);
    await run({ ...parts, resume: true });
    expect(bytes("sharded-parts").equals(bytes("sharded"))).toBe(true);
  }, 600_000);

  test("distils from a mask teacher, also when masks were never annotated; weight 0 equals no teacher", async () => {
    const boxesOnly = await writeSyntheticSet({ dir, count: 4, side: 64, seed: 5, masks: false });
    const train = { dataset: boxesOnly, imagesDir: dir };
    const distillation = await prepare({ teachers: { masks: boxTeacher() }, train });
    const { epochs } = await run(base("kd", { train, distillation, epochs: 30, checkpoint: unsaved }));
    expect(epochs[0]!["seg"]).toBe(0);
    expect(epochs[0]!["kd_mask"]).toBeGreaterThan(0);
    expect(epochs[20]!["kd_mask"]).toBeLessThan(0.8 * epochs[2]!["kd_mask"]!);
    expect(epochs[20]!["kd_grad_ratio"]).toBeGreaterThan(0);
    expect(readFileSync(join(dir, "kd", "results.csv"), "utf8").split("\n")[0]).toContain("kd/grad_ratio");

    const full = await prepare({ teachers: { masks: boxTeacher() } });
    const bytes = (name: string) => readFileSync(join(dir, name, "weights", "student.safetensors"));
    await run(base("none", { epochs: 1 }));
    await run(base("zero", { epochs: 1, distillation: full, gains: { kdMask: 0 } }));
    await run(base("some", { epochs: 1, distillation: full }));
    expect(bytes("zero").equals(bytes("none"))).toBe(true);
    expect(bytes("some").equals(bytes("none"))).toBe(false);
  }, 600_000);

  test("all terms: unlabelled images, classes, boxes, masks and features; aborted and resumed it ends with the same bytes", async () => {
    const more = await writeSyntheticSet({ dir, count: 4, side: 64, seed: 9 });
    const detector = await annotationOracle(dataset, more);
    const teachers = { detector, masks: boxTeacher(), features: colourFeatures(16) };
    const distillation = await prepare({ teachers, unlabelled: { dataset: more, imagesDir: dir } });
    expect(distillation.counts).toMatchObject({
      images: 8,
      unlabelled: 4,
      matched: 8,
      pseudo: 8,
      ignored: 0,
      masks: 16,
    });
    const cfg = base("all", { distillation, epochs: 2, augment: { mosaic: 0, mixup: 0, copyPaste: 0 } });
    const { epochs } = await run(cfg);
    expect(Object.keys(epochs[1]!).sort()).toEqual(
      ["box", "cls", "dfl", "kd_box", "kd_cls", "kd_feat", "kd_grad_ratio", "kd_mask", "seg"].sort(),
    );
    for (const value of Object.values(epochs[1]!)) expect(value).toBeGreaterThan(0);
    const controller = new AbortController();
    const again = { ...cfg, directory: join(dir, "all-again") };
    for await (const event of trainStudent(again, { signal: controller.signal })) {
      if (event.type === "checkpoint" && event.epoch === 1) controller.abort();
    }
    await run({ ...again, resume: true });
    const bytes = (name: string) => readFileSync(join(dir, name, "weights", "student.safetensors"));
    expect(bytes("all-again").equals(bytes("all"))).toBe(true);
    distillation.close();
  }, 600_000);

  test("refuses data that do not fit before anything is trained", async () => {
    const first = (cfg: TrainStudentConfig) => trainStudent(cfg).next();
    const boxesOnly = await writeSyntheticSet({ dir, count: 1, side: 64, seed: 6, masks: false });
    await expect(first(base("e1", { train: { dataset: boxesOnly, imagesDir: dir } }))).rejects.toMatchObject({
      code: "distill/student-data-mismatch",
      masks: 0,
    });
    const nothing = { ...dataset, annotations: [] };
    await expect(first(base("e2", { train: { dataset: nothing, imagesDir: dir } }))).rejects.toMatchObject({
      code: "distill/student-data-mismatch",
    });
    const val = { dataset: { ...dataset, categories: [{ id: 4, name: "square" }] }, imagesDir: dir };
    await expect(first(base("e3", { val }))).rejects.toMatchObject({ code: "distill/class-mapping-mismatch" });
    const gone = { ...dataset, images: dataset.images.map((image) => ({ ...image, file_name: "gone.jpg" })) };
    const missing = { dataset: gone, imagesDir: dir };
    await expect(first(base("e4", { train: missing }))).rejects.toMatchObject({ code: "distill/bad-image" });
    await expect(first(base("e5", { train: missing, onBadImage: "skip" }))).rejects.toMatchObject({
      code: "distill/empty-split",
      split: "training",
    });
    await expect(first(base("e6", { imgsz: 65 }))).rejects.toMatchObject({ code: "distill/config", field: "imgsz" });
    expect(existsSync(join(dir, "e6"))).toBe(false);
    await expect(first(base("e7", { batch: 3, shards: 2 }))).rejects.toMatchObject({ field: "batch" });
    await expect(first(base("e8", { batch: 8, shards: 8 }))).rejects.toMatchObject({ field: "shards" });
  });

  test("a teacher that says nothing about the training objects is reported, not ignored", async () => {
    const detector = oracle({ known: new Map(), classes: 2 });
    const distillation = await prepare({ teachers: { detector } });
    const result = run(base("inactive", { distillation }));
    await expect(result).rejects.toMatchObject({ code: "distill/kd-inactive", term: "kd_cls" });
  });
});
