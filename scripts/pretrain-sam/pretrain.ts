/**
 * Pre-trains the small SAM of this repository from nothing on the synthetic shape world.
 *
 *   npm run pretrain:sam -- --steps 9000 --variant g --threads 2 --out packages/teachers/pretrained/sam-tiny-synthetic
 *   npm run pretrain:sam -- --from packages/teachers/pretrained/sam-tiny-synthetic --lr 4e-4 --steps 2200 --out DIR   a second, gentler stage
 *   ... --resume      continue after a kill; ends with the same bytes as an uninterrupted run on the same machine
 *
 * Recipe: 2 BCE + Dice + (IoU error)^2 on the single mask, 6 images x 5 jittered boxes, AdamW (.9, .98) weight decay .05 on matrices, warm-up of 100 steps,
 * ONE cosine to 2 %, gradient norm clipped at 1. Focal loss and warm restarts were tried for this recipe and lost.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { loadStateDict, readSafetensors, stateDict, writeFileAtomic, writeSafetensors } from "@seg/nn";
import {
  BAG_CLASSES,
  bagScene,
  countParameters,
  embeddingSide,
  evaluateSam,
  formatSamEvaluation,
  Sam,
  type SamEvaluation,
  type SamItem,
  SamTrainStep,
  SCRATCH_LOSS,
  samConfigJson,
  sceneItem,
  shapeScene,
  tinySamConfig,
  weightsHash,
} from "@seg/teachers";
import { configure, engineInfo } from "@seg/tfjs-onnxruntime";
import { adamw, clipCoefficient, gradStats, paramGroups } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { loadCheckpoint, type RunState, saveCheckpoint } from "../pretrain/checkpoint.js";
import { cpuSecondsNow, round } from "../pretrain/measure.js";
import { ScenePool } from "./scene-pool.js";

const { values: args } = parseArgs({
  options: {
    steps: { type: "string", default: "9000" },
    variant: { type: "string", default: "g" },
    lr: { type: "string" },
    batch: { type: "string", default: "6" },
    seed: { type: "string", default: "0" },
    threads: { type: "string" },
    backend: { type: "string", default: "onnxruntime" },
    out: { type: "string", default: "packages/teachers/pretrained/sam-tiny-synthetic" },
    "eval-every": { type: "string", default: "500" },
    "checkpoint-every": { type: "string", default: "200" },
    "eval-scenes": { type: "string", default: "80" },
    from: { type: "string" },
    resume: { type: "boolean", default: false },
  },
});
const variant = args.variant === "small" ? "small" : "g";
const steps = Number(args.steps);
const seed = Number(args.seed);
const images = Number(args.batch);
const baseLr = args.lr === undefined ? (variant === "g" ? 1e-3 : 1.6e-3) : Number(args.lr);
const evalEvery = Number(args["eval-every"]);
const checkpointEvery = Number(args["checkpoint-every"]);
const evalScenes = Number(args["eval-scenes"]);
const out = args.out;
const PROMPTS = 5;
const WARMUP_STEPS = 100;
const FINAL_LR = 0.02;
const CLIP = 1;

/** Rate of step s: linear warm-up, then one cosine down to 2 %. */
function learningRate(step: number): number {
  if (step < WARMUP_STEPS) return (baseLr * (step + 1)) / WARMUP_STEPS;
  const progress = Math.min((step - WARMUP_STEPS) / Math.max(steps - WARMUP_STEPS, 1), 1);
  return baseLr * (FINAL_LR + ((1 - FINAL_LR) * (1 + Math.cos(Math.PI * progress))) / 2);
}

function summary(
  { meanIou, baselines, instances, above75, bySize, perClass }: SamEvaluation,
  classes?: readonly string[],
) {
  const row = ({
    count,
    meanIou: iou,
    filledBox,
    ellipse,
  }: SamEvaluation["perClass"][number] | SamEvaluation["bySize"][number]) => ({
    count,
    meanIou: round(iou),
    filledBox: round(filledBox),
    ellipse: round(ellipse),
  });
  return {
    meanIou: round(meanIou),
    filledBox: round(baselines.filledBox),
    ellipse: round(baselines.ellipse),
    instances,
    above75: round(above75),
    bySize: bySize.map((size) => ({ from: size.from, to: size.to, ...row(size) })),
    ...(classes && { perClass: perClass.map((c) => ({ class: classes[c.classId], ...row(c) })) }),
  };
}

/** The record of the run that made the weights in `dir`. */
function finishedStage(dir: string): unknown {
  return JSON.parse(readFileSync(join(dir, "metrics.json"), "utf8"));
}

interface CurvePoint {
  readonly step: number;
  readonly cpuSeconds: number;
  readonly lr: number;
  /** Mean over the steps since the previous point. */
  readonly loss: Readonly<Record<string, number>>;
  readonly scenes: ReturnType<typeof summary>;
  readonly bags: ReturnType<typeof summary>;
}

if (args.threads !== undefined) configure({ threads: Number(args.threads) });
await tf.setBackend(args.backend);
const config = tinySamConfig(variant);
// A second stage goes on from finished weights; its own moments start at zero.
const sam = args.from === undefined ? new Sam(config, { seed }) : Sam.fromPretrained(args.from);
const startedFrom = args.from === undefined ? null : { weights: weightsHash(sam), stage: finishedStage(args.from) };
const parameters = sam.namedParameters();
const trainStep = new SamTrainStep({ sam, parameters, weights: SCRATCH_LOSS });
const groups = paramGroups(sam); // weight decay on matrices only
const optimizer = adamw({ betas: [0.9, 0.98], weightDecay: 0.05 });
const current = new Map<string, { data: Float32Array }>();
for (const [name, p] of parameters) current.set(name, { data: Float32Array.from(p.data()) });
const state = optimizer.init(current);
const side = config.vision.imageSize;
// Another stage draws other scenes.
const pool = new ScenePool({ seed: startedFrom ? seed + 1 : seed, side, fine: 4 * embeddingSide(config) });
const options = { variant, steps, seed, batch: images, lr: baseLr, ...(startedFrom && { from: startedFrom.weights }) };

let done = 0;
let cpuSeconds = 0;
let curve: CurvePoint[] = [];
const metricsFile = join(out, "metrics.json");
if (args.resume) {
  const run: RunState | null = loadCheckpoint(out, sam, state);
  if (run) {
    if (JSON.stringify(run.options) !== JSON.stringify(options)) {
      throw new Error(
        `The checkpoint in ${out} was made with ${JSON.stringify(run.options)}, not ${JSON.stringify(options)}.`,
      );
    }
    done = run.step;
    cpuSeconds = run.cpuSeconds;
    for (const [name, p] of parameters) current.set(name, { data: Float32Array.from(p.data()) });
    pool.skipTo(done, images);
    if (existsSync(metricsFile)) {
      const stored = JSON.parse(readFileSync(metricsFile, "utf8")) as { curve: CurvePoint[] };
      curve = stored.curve.filter(({ step }) => step <= done);
    }
    console.log(`resumed at step ${done}`);
  }
}
const scenes: SamItem[] = Array.from({ length: evalScenes }, (_, index) =>
  sceneItem(shapeScene({ seed, split: "held-out", index, side })),
).filter(({ instances }) => instances.length > 0);
const bags: SamItem[] = Array.from({ length: Math.ceil(evalScenes / 2) }, (_, index) =>
  sceneItem(bagScene({ seed, split: "held-out", index, side }), BAG_CLASSES),
);

const header = {
  recipe: "BCE x2 + Dice + IoU MSE, AdamW (.9, .98), weight decay .05, warm-up 100, one cosine to 2 %, clip 1",
  parameters: countParameters(config),
  ...options,
  prompts: PROMPTS,
  backend: args.backend,
  heldOut: { scenes: scenes.length, bags: bags.length },
  ...(startedFrom && { startedFrom }),
};
const writeMetrics = (extra: object = {}): void =>
  writeFileAtomic(metricsFile, [
    new TextEncoder().encode(`${JSON.stringify({ ...header, ...extra, curve }, null, 2)}\n`),
  ]);
const save = (): void => saveCheckpoint(out, sam, state, { step: done, cpuSeconds, options });

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stopping = true;
  });
}

console.log(
  `${header.parameters} parameters, ${steps} steps of ${images} x ${PROMPTS}, lr ${baseLr}, backend ${args.backend}`,
);
let sums: Record<string, number> = {};
let counted = 0;
let started = cpuSecondsNow();
let wall = performance.now();
while (done < steps && !stopping) {
  const batch = pool.batch(done, { images, prompts: PROMPTS });
  const result = await trainStep.run(batch);
  // The engine computes synchronously: give signal handlers their turn.
  await new Promise((resolve) => setImmediate(resolve));
  const { norm } = gradStats(result.grads);
  if (!Number.isFinite(result.total) || !Number.isFinite(norm)) {
    throw new Error(`Loss ${result.total}, gradient norm ${norm} at step ${done}: lower --lr and resume.`);
  }
  const lr = learningRate(done);
  const updated = optimizer.update({
    params: current,
    grads: result.grads,
    state,
    groups,
    lr: () => lr,
    gradScale: clipCoefficient(norm, CLIP),
  });
  for (const [name, data] of updated) {
    current.set(name, { data });
    // A copy: the engine may keep what it is given, and `data` is read by the next update.
    parameters.get(name)!.assign(Float32Array.from(data));
  }
  done++;
  for (const [key, value] of Object.entries({ total: result.total, ...result.parts, norm })) {
    sums[key] = (sums[key] ?? 0) + value;
  }
  counted++;
  if (done % 50 === 0) {
    const perStep = (performance.now() - wall) / 50;
    wall = performance.now();
    const means = Object.entries(sums).map(([key, sum]) => `${key} ${(sum / counted).toFixed(3)}`);
    console.log(
      `step ${done}  ${means.join("  ")}  lr ${lr.toExponential(2)}  ${perStep.toFixed(0)} ms/step  scenes ${pool.made}`,
    );
  }
  if (done % evalEvery === 0 || done === steps) {
    cpuSeconds += cpuSecondsNow() - started;
    const onScenes = await evaluateSam({ sam, items: scenes });
    const onBags = await evaluateSam({ sam, items: bags });
    const loss = Object.fromEntries(Object.entries(sums).map(([key, sum]) => [key, round(sum / counted)]));
    curve.push({
      step: done,
      cpuSeconds: round(cpuSeconds, 1),
      lr: round(lr, 7),
      loss,
      scenes: summary(onScenes),
      bags: summary(onBags, BAG_CLASSES),
    });
    writeMetrics();
    console.log(`-- step ${done}, ${(cpuSeconds / 60).toFixed(1)} core-min`);
    console.log(
      `scenes: ${formatSamEvaluation(onScenes).split("\n")[0]}\nbags:\n${formatSamEvaluation(onBags, BAG_CLASSES)}`,
    );
    sums = {};
    counted = 0;
    started = cpuSecondsNow();
    wall = performance.now();
  }
  if (done % checkpointEvery === 0 && done < steps) {
    cpuSeconds += cpuSecondsNow() - started;
    started = cpuSecondsNow();
    save();
  }
}
if (done < steps) {
  cpuSeconds += cpuSecondsNow() - started;
  save();
  console.log(`stopped at step ${done}; continue with --resume`);
  process.exit(130);
}

// What ships is the half-precision file, so that is what the last numbers are measured on.
const weightsFile = join(out, "model.safetensors");
writeSafetensors(weightsFile, stateDict(sam), { dtype: "F16", metadata: { format: "pt" } });
const json = (name: string, content: object): void =>
  writeFileAtomic(join(out, name), [new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`)]);
json("config.json", samConfigJson(config));
json("preprocessor_config.json", {
  do_convert_rgb: true,
  do_normalize: true,
  do_pad: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_processor_type: "SamImageProcessor",
  image_std: [0.229, 0.224, 0.225],
  mask_pad_size: { height: side / 2, width: side / 2 },
  mask_size: { longest_edge: side / 2 },
  pad_size: { height: side, width: side },
  processor_class: "SamProcessor",
  resample: 2,
  rescale_factor: 1 / 255,
  size: { longest_edge: side },
});
loadStateDict(sam, readSafetensors(weightsFile).toStateDict());
const finalScenes = await evaluateSam({ sam, items: scenes });
const finalBags = await evaluateSam({ sam, items: bags });
writeMetrics({
  cpuMinutes: round(cpuSeconds / 60, 1),
  distinctScenes: pool.made,
  engine: args.backend === "onnxruntime" ? { onnxruntime: engineInfo().version, threads: engineInfo().threads } : null,
  final: { scenes: summary(finalScenes), bags: summary(finalBags, BAG_CLASSES) },
});
rmSync(join(out, "checkpoint.safetensors"), { force: true });
console.log(`\nscenes\n${formatSamEvaluation(finalScenes)}\nbags\n${formatSamEvaluation(finalBags, BAG_CLASSES)}`);
console.log(`wrote ${weightsFile}`);
