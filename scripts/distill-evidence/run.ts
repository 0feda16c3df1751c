/**
 * What distillation is worth on synthetic circles, squares and triangles with a teacher of known quality (10 % of the objects missed, 5 % of the classes wrong, boxes off by 4 %, masks by a
 * pixel). Every run goes on where it was stopped; finished runs are not repeated.
 *
 *   node --conditions=@seg/source --import tsx scripts/distill-evidence/run.ts --case few-labels --out DIR
 *
 * Cases: few-labels: 48 labelled images, and with 152 more that the teacher names, arm by arm, against all 200 labels. full-labels: 200 labelled images with and without the teacher.
 * unlabelled: 200 images that only the teacher names, against the teacher itself.
 * As `seg train-student` does, the teacher's classes and boxes soften labels only when it reaches the gate on the held-out images; `--insist` lets it at any quality.
 * Recipe of `spec/students-distill.md` 5.2: yolov8p-seg at 128 px (`--student yolov8n-seg --size 160` for the nano network), batch 16, 30 epochs of 13 steps, 100 held-out images. One thread.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type CocoResult, completeDataset, evaluate, xyxyToXywh } from "@seg/coco-dataset";
import {
  type AblationArm,
  type AblationReport,
  ablate,
  bestClass,
  prepareDistillation,
  type StudentData,
  type StudentId,
  summarizeAblation,
  type TrainStudentConfig,
} from "@seg/distill";
import { writeFileAtomic } from "@seg/nn";
import { decodeImage } from "@seg/preprocess";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { GROUNDING_DINO_GATE } from "../../packages/cli/src/teacher/teacher-gate.js";
import { cpuSecondsNow } from "../pretrain/measure.js";
import { writeShapes } from "../student-shapes/shapes-set.js";
import { noisyTeacher } from "./noisy-teacher.js";

const { values: args } = parseArgs({
  options: {
    case: { type: "string" },
    out: { type: "string" },
    student: { type: "string", default: "yolov8p-seg" },
    size: { type: "string", default: "128" },
    epochs: { type: "string", default: "30" },
    seeds: { type: "string", default: "2" },
    arms: { type: "string" },
    insist: { type: "boolean", default: false },
  },
});
const CASES = ["few-labels", "full-labels", "unlabelled"] as const;
const name = args.case as (typeof CASES)[number];
if (!CASES.includes(name)) throw new Error(`Pass --case, one of ${CASES.join(", ")}.`);
if (args.out === undefined) throw new Error("Pass --out DIR, the folder of the runs.");
const out = args.out;
const [imgsz, epochs, count] = [args.size, args.epochs, args.seeds].map(Number) as [number, number, number];

/** Images of the training set, and those of them that are labelled in the few-labels case. */
const [IMAGES, LABELLED] = [200, 48];
const BATCH = 16;

configure({ threads: 1 });
await tf.setBackend("onnxruntime");

const setOf = async (part: string, size: number, seed: number): Promise<StudentData> => {
  const dir = join(out, "data", part);
  return { dataset: await writeShapes({ dir, count: size, side: imgsz, seed }), imagesDir: dir };
};
const all = await setOf("train", IMAGES, 11);
const val = await setOf("held-out", 100, 1_000_011);

/** The first images of a set, with or without their annotations. */
function part(
  { dataset, imagesDir }: StudentData,
  from: number,
  to: number,
  { labelled }: { labelled: boolean },
): StudentData {
  const images = dataset.images.slice(from, to);
  const ids = new Set(images.map(({ id }) => id));
  const annotations = labelled ? dataset.annotations.filter(({ image_id }) => ids.has(image_id)) : [];
  return { dataset: { ...dataset, images, annotations }, imagesDir };
}

const teacher = await noisyTeacher(all, { seed: 3 });

/** The teacher's own box mAP50 on the held-out images. */
async function teacherScore(): Promise<number> {
  const { detector } = await noisyTeacher(val, { seed: 3 });
  const categories = val.dataset.categories;
  const detections: CocoResult[] = [];
  for (const { id, file_name } of val.dataset.images) {
    const { boxes, logits } = await detector.detect(
      await decodeImage(join(val.imagesDir, file_name)),
      categories.map((c) => c.name),
    );
    boxes.forEach((box, i) => {
      const row = logits.subarray(i * categories.length, (i + 1) * categories.length);
      const best = bestClass(row);
      const score = 1 / (1 + Math.exp(-row[best]!));
      detections.push({ image_id: id, category_id: categories[best]!.id, score, bbox: xyxyToXywh(box) });
    });
  }
  const result = evaluate({ groundTruth: completeDataset(val.dataset).dataset, detections, iouType: "bbox" });
  return result.stats[result.names.indexOf("AP50")]!;
}

const few = part(all, 0, LABELLED, { labelled: true });
const train = name === "few-labels" ? few : name === "full-labels" ? all : part(all, 0, IMAGES, { labelled: false });
const distillation = await prepareDistillation({
  teachers: teacher,
  train,
  unlabelled: name === "few-labels" ? part(all, LABELLED, IMAGES, { labelled: false }) : null,
  dir: join(out, name, "teacher_cache"),
});
const own = await teacherScore();
const config: TrainStudentConfig = {
  student: args.student as StudentId,
  train,
  val,
  directory: join(out, name),
  distillation,
  imgsz,
  epochs,
  batch: BATCH,
  stepsPerEpoch: Math.ceil(IMAGES / BATCH),
  warmupRatio: 0,
  augment: {
    ...{ mosaic: 0, mixup: 0, copyPaste: 0, scale: 0, translate: 0 },
    fliplr: 0.5,
    hsv: { hue: 0, saturation: 0, value: 0.3 },
  },
  evaluation: { interval: epochs },
  checkpoint: { save_interval: null },
  gains: args.insist || own > GROUNDING_DINO_GATE ? {} : { kdCls: 0, kdBox: 0 },
};
const ARMS: Readonly<Record<(typeof CASES)[number], readonly AblationArm[]>> = {
  "few-labels": ["gt", "hard", "cls", "box", "mask"],
  "full-labels": ["gt", "mask"],
  unlabelled: ["hard", "mask"],
};
const arms = (args.arms?.split(",") as AblationArm[] | undefined) ?? ARMS[name];

const before = cpuSecondsNow();
async function follow(events: ReturnType<typeof ablate>) {
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
    const { arm, seed, run, runs, event } = next.value;
    if (event.type === "epoch")
      process.stdout.write(
        `${arm} seed ${seed} (${run}/${runs}) epoch ${event.epoch} ${JSON.stringify(event.losses)}\n`,
      );
    if (event.type === "eval") process.stdout.write(`${arm} seed ${seed} ${JSON.stringify(event.metrics)}\n`);
  }
}
const seeds = Array.from({ length: count }, (_, k) => k + 1);
/** All 200 labels and no teacher: what the few labels are measured by, and where all labels start. */
async function allLabels(): Promise<AblationReport> {
  const { distillation: _teacher, ...labels } = config;
  return await follow(ablate({ ...labels, train: all, directory: join(out, "all-labels") }, { arms: ["gt"], seeds }));
}
async function taught(): Promise<AblationReport> {
  if (name !== "full-labels") return await follow(ablate(config, { arms, seeds }));
  const labels = await allLabels();
  const { runs } = await follow(ablate(config, { arms: arms.filter((arm) => arm !== "gt"), seeds }));
  return summarizeAblation({ runs: [...labels.runs, ...runs], metric: labels.metric });
}
const report = await taught();
const summary: Record<string, unknown> = {
  case: name,
  student: args.student,
  imgsz,
  epochs,
  teacher: distillation.counts,
  calibration: distillation.calibration?.ece ?? null,
  teacher_mAP50: own,
  gains: config.gains,
  arms: report.arms,
  verdict: report.verdict,
};
const meanOf = (arm: AblationArm) => report.arms.find((entry) => entry.arm === arm)?.mean ?? Number.NaN;
if (name === "few-labels") {
  const reference = await allLabels();
  const whole = reference.arms[0]!.mean;
  const best = meanOf(arms.at(-1)!);
  summary["allLabels"] = reference.arms[0];
  summary["gain"] = best - meanOf("gt");
  summary["shareOfAllLabels"] = best / whole;
  summary["passed"] = best - meanOf("gt") >= 0.15 && best >= 0.85 * whole;
} else if (name === "full-labels") {
  summary["difference"] = meanOf("mask") - meanOf("gt");
  summary["passed"] = meanOf("mask") - meanOf("gt") >= -0.02;
} else {
  summary["shareOfTeacher"] = meanOf("mask") / own;
  summary["passed"] = meanOf("mask") >= 0.8 * own;
}
const file = join(out, `${name}.json`);
const known = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { cpuSeconds?: number }) : {};
summary["cpuSeconds"] = Math.round((known.cpuSeconds ?? 0) + cpuSecondsNow() - before);
writeFileAtomic(file, [Buffer.from(`${JSON.stringify(summary, null, 2)}\n`)]);
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`);
process.exitCode = summary["passed"] === true ? 0 : 1;
