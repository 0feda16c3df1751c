import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createClassMapping } from "@seg/coco-dataset";
import {
  BatchLoader,
  buildTargets,
  createStudent,
  loadTrainingImages,
  modelAnchors,
  type StudentTargets,
  studentLoss,
} from "@seg/distill";
import { configure, engineInfo, selectEngine } from "@seg/tfjs-onnxruntime";
import { adamw, Ema, type LossFunction, paramGroups, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { writeShapes } from "../../scripts/student-shapes/shapes-set.js";
import type { BenchResult } from "./result.js";

/** Compilation and the settling of the runtime, steps. */
const WARM_UP = 3;

const CASES = [
  { size: 160, batch: 16, steps: 8 },
  { size: 320, batch: 8, steps: 6 },
  { size: 640, batch: 2, steps: 6 },
] as const;

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Milliseconds of CPU time per image. */
interface EpochTime {
  readonly decode: number;
  /** Augmentation, masks, targets. */
  readonly load: number;
  /** Upload, forward, losses, backward, clipping, AdamW, EMA. */
  readonly step: number;
}

async function measure({ size, batch, steps }: (typeof CASES)[number]): Promise<EpochTime> {
  const dir = mkdtempSync(join(tmpdir(), "seg-epoch-"));
  const count = batch * (steps + WARM_UP);
  const dataset = await writeShapes({ dir, count, side: size, seed: 1 });
  const mapping = createClassMapping(dataset);
  let start = cpuMs();
  const { images } = await loadTrainingImages({ dataset, imagesDir: dir, mapping, imgsz: size, withMasks: true });
  const decode = (cpuMs() - start) / count;
  rmSync(dir, { recursive: true });
  const loader = new BatchLoader(images, {
    batch,
    size,
    seed: 0,
    parts: { segment: true },
    augment: {},
    mixUntil: 1,
    distillation: null,
    featureStrides: [],
    temperature: 1,
  });
  const student = createStudent("yolov8n-seg", { classes: mapping.classes.length, imgsz: size });
  student.net.train();
  const training = new TrainingManager({
    model: student.net,
    optimizer: adamw({ weightDecay: 5e-4 }),
    groups: paramGroups(student.net),
    lr: 1e-4,
    clip: { maxNorm: 10 },
    ema: new Ema(student.net),
  });
  const anchors = modelAnchors(size, size);
  const losses = new Map<number, LossFunction>();
  const lossOf = (positives: number): LossFunction => {
    const known = losses.get(positives);
    if (known) return known;
    const loss: LossFunction = ({ images: pixels, ...tensors }) => {
      const targets = { ...tensors, positives } as unknown as StudentTargets;
      const outputs = student.forward(pixels as tf.Tensor4D);
      const { total, parts } = studentLoss({ outputs, targets, anchors, size: [size, size] });
      return { total, parts: parts as Record<string, tf.Scalar> };
    };
    losses.set(positives, loss);
    return loss;
  };
  let [load, step] = [0, 0];
  for (let k = 0; k < WARM_UP + steps; k++) {
    start = cpuMs();
    const loaded = loader.load(0, k);
    const afterLoad = cpuMs();
    const { positives, ...targets } = buildTargets(loaded.targets);
    const inputs = { images: tf.tensor4d(loaded.images, [batch, size, size, 3]), ...targets };
    await training.step(lossOf(positives), inputs);
    tf.dispose({ ...inputs });
    if (k < WARM_UP) continue;
    load += afterLoad - start;
    step += cpuMs() - afterLoad;
  }
  tf.dispose([anchors.centers, anchors.strides]);
  student.dispose();
  return { decode, load: load / (steps * batch), step: step / (steps * batch) };
}

/**
 * CPU time per image of an epoch of yolov8n-seg with its data loading (mosaic, mixup, copy-paste, colour, affine; masks and targets), one thread. Images
 * are decoded once per run; that time stands beside.
 */
export async function trainEpoch(): Promise<BenchResult[]> {
  const engine = await selectEngine();
  configure({ threads: 1 });
  const runtime = engine === "onnxruntime" ? `onnxruntime ${engineInfo().version}` : engine;
  const results: BenchResult[] = [];
  for (const entry of CASES) {
    const { decode, load, step } = await measure(entry);
    const share = load / (load + step);
    results.push({
      bench: "train-epoch",
      case: `yolov8n-seg ${entry.size} px batch ${entry.batch}, 1 thread`,
      value: load + step,
      unit: "CPU-ms/image",
      note: [
        `loading ${load.toFixed(2)} ms = ${(100 * share).toFixed(1)} %`,
        `step ${step.toFixed(1)} ms`,
        `decoding once ${decode.toFixed(2)} ms`,
        `${(1000 / (load + step)).toFixed(1)} images/s a core`,
        runtime,
      ].join(", "),
    });
  }
  return results;
}
