import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "@seg/tfjs-onnxruntime";
import type { CocoDataset } from "@seg/coco-dataset";
import type { FitResult, TrainEvent } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSyntheticSet } from "../test/synthetic.js";
import { buildTeacherCache, type MaskTeacher } from "./teacher-cache.js";
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
  augment: { mosaic: 0, scale: 0.1 },
  optimizer: { kind: "adamw", lr: 2e-3 },
  bnMomentum: 0.1,
  ema: { tau: 20 },
  warmupEpochs: 1,
  ...over,
});

async function run(cfg: TrainStudentConfig, options: Parameters<typeof trainStudent>[1] = {}) {
  const events: TrainEvent[] = [];
  for await (const event of trainStudent(cfg, options)) events.push(event);
  const end = events.at(-1) as TrainEvent & { type: "end"; result: FitResult };
  const epochs = events.filter((event) => event.type === "epoch").map((event) => event.losses);
  return { events, result: end.result, epochs };
}

/** Knows the truth: logits +6 inside the prompt box, -6 outside, on a 32 x 32 grid of the 64 px image. */
const boxTeacher: MaskTeacher = {
  id: "box",
  hash: "1",
  async predict(_image, boxes) {
    const side = 32;
    const logits = boxes.map(([x1, y1, x2, y2]) =>
      Float32Array.from({ length: side * side }, (_, i) => {
        const [x, y] = [((i % side) + 0.5) * 2, (Math.floor(i / side) + 0.5) * 2];
        return x >= x1 && x < x2 && y >= y1 && y < y2 ? 6 : -6;
      }),
    );
    return { logits, side, iou: boxes.map(() => 0.95), toModel: [0.5, 0, 0, 0, 0.5, 0] };
  },
};

describe("trainStudent", () => {
  test("learns four images: the mask loss falls by 40 %, files are written, no tensor stays", async () => {
    const before = tf.memory().numTensors;
    const cfg = base("overfit", {
      epochs: 24,
      val: { dataset, imagesDir: dir },
      evaluation: { interval: 12, batch: 4 },
    });
    const { epochs, result, events } = await run({ ...cfg, checkpoint: { early_stopping: { enabled: false } } });
    expect(epochs.at(-1)!["seg"]).toBeLessThan(0.6 * epochs[0]!["seg"]!);
    expect(Object.values(epochs.at(-1)!).every(Number.isFinite)).toBe(true);
    expect(result.reason).toBe("completed");
    expect(events.filter((event) => event.type === "eval").length).toBe(2);
    expect(Object.keys(result.metrics!)).toContain("mask_IoU");
    const header = readFileSync(join(cfg.directory, "results.csv"), "utf8").split("\n")[0]!;
    expect(header).toContain("train/seg_loss");
    expect(header).toContain("metrics/mAP50(M)");
    expect(existsSync(join(cfg.directory, "weights", "student.safetensors"))).toBe(true);
    const mapping = JSON.parse(readFileSync(join(cfg.directory, "class_mapping.json"), "utf8"));
    expect([mapping.class_mapping, mapping.category_ids]).toEqual([{ 0: "square", 1: "triangle" }, [4, 9]]);
    expect(tf.memory().numTensors).toBe(before);
  }, 120_000);

  test("an aborted and resumed run ends with the bytes of an uninterrupted one", async () => {
    const whole = base("whole", { epochs: 3 });
    await run(whole);
    const parts = base("parts", { epochs: 3 });
    const controller = new AbortController();
    for await (const event of trainStudent(parts, { signal: controller.signal })) {
      if (event.type === "checkpoint" && event.epoch === 1) controller.abort();
    }
    await run({ ...parts, resume: true });
    const bytes = (name: string) => readFileSync(join(dir, name, "weights", "student.safetensors"));
    expect(bytes("parts").equals(bytes("whole"))).toBe(true);
  }, 120_000);

  test("distils from a mask teacher, also when masks were never annotated; weight 0 equals no teacher", async () => {
    const boxesOnly = await writeSyntheticSet({ dir, count: 4, side: 64, seed: 5, masks: false });
    const train = { dataset: boxesOnly, imagesDir: dir };
    const teacher = await buildTeacherCache({ teacher: boxTeacher, ...train, dir: join(dir, "cache") });
    const { epochs } = await run(base("kd", { train, teacher, epochs: 30 }));
    expect(epochs[0]!["seg"]).toBe(0);
    expect(epochs[0]!["kd_mask"]).toBeGreaterThan(0);
    expect(epochs[20]!["kd_mask"]).toBeLessThan(0.8 * epochs[2]!["kd_mask"]!);
    expect(epochs[20]!["kd_share"]).toBeGreaterThan(0);

    const full = await buildTeacherCache({
      teacher: boxTeacher,
      dataset,
      imagesDir: dir,
      dir: join(dir, "cache-full"),
    });
    const bytes = (name: string) => readFileSync(join(dir, name, "weights", "student.safetensors"));
    await run(base("none", { epochs: 2 }));
    await run(base("zero", { epochs: 2, teacher: full, gains: { kdMask: 0 } }));
    await run(base("some", { epochs: 2, teacher: full }));
    expect(bytes("zero").equals(bytes("none"))).toBe(true);
    expect(bytes("some").equals(bytes("none"))).toBe(false);
  }, 180_000);

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
  });

  test("a teacher cache of other annotations is reported, not ignored", async () => {
    const other = { ...dataset, annotations: dataset.annotations.map((a) => ({ ...a, id: a.id + 1000 })) };
    const teacher = await buildTeacherCache({
      teacher: boxTeacher,
      dataset: other,
      imagesDir: dir,
      dir: join(dir, "cache-other"),
    });
    const result = run(base("inactive", { teacher }));
    await expect(result).rejects.toMatchObject({ code: "distill/kd-inactive", term: "kd_mask" });
  });
});
