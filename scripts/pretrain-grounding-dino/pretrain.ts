/**
 * Pre-trains the small Grounding DINO of this repository from nothing on the synthetic shape world.
 *
 *   npm run pretrain:grounding-dino -- --steps 5000 --threads 1 --out packages/teachers/pretrained/grounding-dino-tiny-synthetic
 *   ... --resume      continue after a kill; ends with the same bytes as an uninterrupted run on the same machine
 *
 * Recipe: Hungarian matching; 2 focal + 5 L1 + 2 (1 - GIoU) for every decoder layer, for the selected encoder proposals with their gradient (without it nothing learns to
 * propose), and one-to-many for all encoder tokens (weight 1, .3 in the last fifth). AdamW (.9, .98), weight decay 1e-4 on matrices, warm-up of 100 steps, 60 % constant, then one
 * cosine to 3 %, gradient norm clipped at 1, batches of 8.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { loadStateDict, readSafetensors, stateDict, writeFileAtomic, writeSafetensors } from "@seg/nn";
import {
  countGroundingDinoParameters,
  DetectionStep,
  forwardHeads,
  GroundingDino,
  groundingDinoConfigJson,
  mapSizes,
  TINY_GROUNDING_DINO_SIDE,
  textBatch,
  textOf,
  textTensors,
  tinyGroundingDinoConfig,
} from "@seg/teachers";
import { compile, configure, engineInfo } from "@seg/tfjs-onnxruntime";
import { adamw, paramGroups, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import sharp from "sharp";
import { loadCheckpoint, type RunState, saveCheckpoint } from "../pretrain/checkpoint.js";
import { cpuSecondsNow, round } from "../pretrain/measure.js";
import { curveChart } from "./curve-chart.js";
import { type Answer, type PromptScores, type Question, questions, scorePrompts } from "./evaluate-prompts.js";
import { initialiseFromNothing } from "./initialise.js";
import { normalisedPixels, type SceneBatch, ScenePool } from "./scene-pool.js";
import { tokenizerFiles } from "./tokenizer-files.js";

const { values: args } = parseArgs({
  options: {
    steps: { type: "string", default: "5000" },
    lr: { type: "string", default: "8e-4" },
    batch: { type: "string", default: "8" },
    seed: { type: "string", default: "0" },
    threads: { type: "string" },
    backend: { type: "string", default: "onnxruntime" },
    out: { type: "string", default: "packages/teachers/pretrained/grounding-dino-tiny-synthetic" },
    "eval-every": { type: "string", default: "250" },
    "checkpoint-every": { type: "string", default: "100" },
    "eval-scenes": { type: "string", default: "60" },
    "final-scenes": { type: "string", default: "200" },
    resume: { type: "boolean", default: false },
    replan: { type: "boolean", default: false },
  },
});
const steps = Number(args.steps);
const seed = Number(args.seed);
const images = Number(args.batch);
const baseLr = Number(args.lr);
const evalEvery = Number(args["eval-every"]);
const checkpointEvery = Number(args["checkpoint-every"]);
const out = args.out;
const side = TINY_GROUNDING_DINO_SIDE;
const WARMUP_STEPS = 100;
const CONSTANT = 0.6;
const FINAL_LR = 0.03;
/** Most objects of a prompt: scenes have at most 7. */
const ROWS = 7;

/** Factor of the learning rate at step s. */
function rate(step: number): number {
  const warm = Math.min((step + 1) / WARMUP_STEPS, 1);
  const progress = Math.min(Math.max((step / steps - CONSTANT) / (1 - CONSTANT), 0), 1);
  return warm * (FINAL_LR + ((1 - FINAL_LR) * (1 + Math.cos(Math.PI * progress))) / 2);
}

interface CurvePoint {
  readonly step: number;
  readonly cpuSeconds: number;
  readonly lr: number;
  /** Mean over the steps since the previous point. */
  readonly loss: Readonly<Record<string, number>>;
  readonly heldOut: ReturnType<typeof summary>;
  readonly combinations: ReturnType<typeof summary>;
}

function summary({ mAP50, pooledAP50, proposalRecall, objects, perWord }: PromptScores) {
  return {
    mAP50: round(mAP50),
    pooledAP50: round(pooledAP50),
    proposalRecall: round(proposalRecall),
    objects,
    perWord: Object.fromEntries(Object.entries(perWord).map(([word, ap]) => [word, round(ap)])),
  };
}

if (args.threads !== undefined) configure({ threads: Number(args.threads) });
await tf.setBackend(args.backend);
const config = tinyGroundingDinoConfig();
const length = config.maxTextLength;
const model = new GroundingDino(config, { seed });
initialiseFromNothing(model, { seed, textLayers: config.encoderLayers, heads: config.encoderAttentionHeads });
const files = tokenizerFiles(length);
const tokenizer = new Tokenizer(JSON.parse(files["tokenizer.json"]!), JSON.parse(files["tokenizer_config.json"]!));
const captionIds = (phrases: readonly string[]) => tokenizer.encode(`${phrases.join(". ")}.`).ids;

const training = new TrainingManager({
  model,
  optimizer: adamw({ betas: [0.9, 0.98], weightDecay: 1e-4 }),
  groups: paramGroups(model),
  lr: baseLr,
  schedule: rate,
  clip: { maxNorm: 1 },
});
const step = new DetectionStep({
  forward: (inputs) => forwardHeads(model, inputs, { encoder: true, dense: true }),
  rows: ROWS,
  denseLevels: mapSizes(config, { height: side, width: side }).map(({ height, width }) => [height, width] as const),
});
const pool = new ScenePool({ seed, side });
const options = { seed, batch: images, lr: baseLr };

async function trainOn({ pixels, phrases, targets }: SceneBatch, denseWeight: number) {
  const text = textBatch(phrases.map(captionIds), { length });
  const inputs = await step.prepare({
    inputs: { pixels: tf.tensor4d(pixels, [images, side, side, 3]), ...textTensors(text) },
    targets,
    phraseTokens: text.phrases.map((list) =>
      list.map(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
    ),
    textMask: text.textMask,
    denseWeight,
  });
  try {
    return await training.step(step.loss, inputs);
  } finally {
    tf.dispose({ ...inputs });
  }
}

const predict = compile(
  (inputs: { [name: string]: tf.Tensor }) =>
    tf.tidy(() => {
      const { layers, proposals } = model.forward({ pixels: inputs["pixels"] as tf.Tensor4D, text: textOf(inputs) });
      const { tokenLogits, boxes } = layers.at(-1)!;
      return { scores: tf.sigmoid(tokenLogits), boxes, proposals: proposals.boxes };
    }),
  { name: "the evaluation" },
);

/** Answers in pixels; the score of a phrase is the mean over its tokens. */
async function answer(asked: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let first = 0; first < asked.length; first += images) {
    // The last batch is filled up with its first question, so that one graph serves all.
    const batch = Array.from({ length: images }, (_, i) => asked[first + i] ?? asked[first]!);
    const text = textBatch(
      batch.map(({ prompt }) => captionIds(prompt.phrases.map((phrase) => phrase.text))),
      { length },
    );
    const pixels = new Float32Array(images * side * side * 3);
    for (const [i, { scene }] of batch.entries())
      pixels.set(normalisedPixels(scene.image.data, side), i * side * side * 3);
    const inputs = { pixels: tf.tensor4d(pixels, [images, side, side, 3]), ...textTensors(text) };
    const result = predict(inputs);
    const scores = (await result.scores.data()) as Float32Array;
    const rows = {
      boxes: result.boxes.dataSync() as Float32Array,
      proposals: result.proposals.dataSync() as Float32Array,
    };
    tf.dispose([inputs, result]);
    const queries = config.numQueries;
    const pixelBoxes = (values: Float32Array, i: number) =>
      Array.from({ length: queries }, (_, q) => {
        const [cx, cy, w, h] = values.subarray(4 * (i * queries + q), 4 * (i * queries + q) + 4) as unknown as [
          number,
          number,
          number,
          number,
        ];
        return [(cx - w / 2) * side, (cy - h / 2) * side, (cx + w / 2) * side, (cy + h / 2) * side] as const;
      });
    for (let i = 0; i < Math.min(images, asked.length - first); i++) {
      answers.push({
        scores: text.phrases[i]!.map(([start, end]) =>
          Array.from({ length: queries }, (_, q) => {
            let sum = 0;
            for (let column = start; column < end; column++) sum += scores[(i * queries + q) * length + column]!;
            return sum / (end - start);
          }),
        ),
        boxes: pixelBoxes(rows.boxes, i),
        proposals: pixelBoxes(rows.proposals, i),
      });
    }
  }
  return answers;
}

/** Planned total from each step on; one entry unless it was changed while the rate fell. */
let plan: [from: number, steps: number][] = [[0, steps]];
let done = 0;
let cpuSeconds = 0;
let curve: CurvePoint[] = [];
const metricsFile = join(out, "metrics.json");
if (args.resume) {
  const slots = new Map<string, Float32Array>();
  const run: RunState | null = loadCheckpoint(out, model, slots);
  if (run) {
    const { steps: _steps, plan: _plan, ...rest } = run.options;
    if (JSON.stringify(rest) !== JSON.stringify(options)) {
      throw new Error(
        `The checkpoint in ${out} was made with ${JSON.stringify(run.options)}, not ${JSON.stringify(options)}.`,
      );
    }
    plan = JSON.parse(String(run.options["plan"] ?? `[[0,${run.options["steps"]}]]`)) as [number, number][];
    if (plan.at(-1)![1] !== steps) {
      // While the rate is constant nothing depends on the total: then the run is the same as one that was planned so from the start.
      const isFree = run.step <= CONSTANT * Math.min(steps, plan.at(-1)![1]);
      if (!isFree && !args.replan) {
        throw new Error(
          `The checkpoint is at step ${run.step} of ${plan.at(-1)![1]}, where the rate falls already: --replan changes the total all the same and records it.`,
        );
      }
      plan = isFree ? [[0, steps]] : [...plan, [run.step, steps]];
    }
    done = run.step;
    cpuSeconds = run.cpuSeconds;
    training.restore({ scalars: { batches: done, updates: done, emaUpdates: null, scaler: null }, slots, ema: null });
    pool.skipTo(done, images);
    if (existsSync(metricsFile)) {
      const stored = JSON.parse(readFileSync(metricsFile, "utf8")) as { curve: CurvePoint[] };
      curve = stored.curve.filter((point) => point.step <= done);
    }
    console.log(`resumed at step ${done}`);
  }
}
const count = Number(args["eval-scenes"]);
const heldOut = questions("held-out", { seed, count, side });
const combinations = questions("combinations", { seed, count, side });

const header = {
  recipe:
    "2 focal + 5 L1 + 2 (1 - GIoU) on 3 decoder layers, selected proposals with gradient and all encoder tokens; AdamW (.9, .98), weight decay 1e-4, warm-up 100, 60 % constant, cosine to 3 %, clip 1",
  parameters: countGroundingDinoParameters(config),
  steps,
  plan,
  ...options,
  backend: args.backend,
};
const write = (name: string, content: string | Uint8Array): void =>
  writeFileAtomic(join(out, name), [typeof content === "string" ? new TextEncoder().encode(content) : content]);
const json = (name: string, content: object): void => write(name, `${JSON.stringify(content, null, 2)}\n`);
const save = (): void =>
  saveCheckpoint(out, model, training.slots, {
    step: done,
    cpuSeconds,
    options: { ...options, plan: JSON.stringify(plan) },
  });

async function writeCurve(extra: object = {}): Promise<void> {
  json("metrics.json", { ...header, ...extra, curve });
  const columns = [
    "step",
    "core_minutes",
    "lr",
    "loss",
    "held_out_mAP50",
    "held_out_pooled_AP50",
    "combinations_mAP50",
    "combinations_pooled_AP50",
    "proposal_recall",
  ];
  const rows = curve.map((p) =>
    [
      p.step,
      round(p.cpuSeconds / 60, 2),
      p.lr,
      p.loss["total"],
      p.heldOut.mAP50,
      p.heldOut.pooledAP50,
      p.combinations.mAP50,
      p.combinations.pooledAP50,
      p.heldOut.proposalRecall,
    ].join(","),
  );
  write("curve.csv", `${[columns.join(","), ...rows].join("\n")}\n`);
  const chart = curveChart(
    curve.map((p) => p.cpuSeconds / 60),
    [
      { name: "mAP50, held-out scenes", colour: "#1f77b4", values: curve.map((p) => p.heldOut.mAP50) },
      { name: "mAP50, held-out combinations", colour: "#d62728", values: curve.map((p) => p.combinations.mAP50) },
      { name: "proposal recall", colour: "#2ca02c", values: curve.map((p) => p.heldOut.proposalRecall) },
    ],
  );
  write("curve.png", new Uint8Array(await sharp(Buffer.from(chart)).png().toBuffer()));
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stopping = true;
  });
}

console.log(`${header.parameters} parameters, ${steps} steps of ${images}, lr ${baseLr}, backend ${args.backend}`);
let sums: Record<string, number> = {};
let counted = 0;
let started = cpuSecondsNow();
let lastPrint = cpuSecondsNow();
while (done < steps && !stopping) {
  const result = await trainOn(pool.batch(done, images), done / steps < 0.8 ? 1 : 0.3);
  done++;
  for (const [key, value] of Object.entries({ total: result.loss, ...result.parts, norm: result.gradNorm! })) {
    sums[key] = (sums[key] ?? 0) + value;
  }
  counted++;
  if (done % 50 === 0) {
    const perStep = ((cpuSecondsNow() - lastPrint) / 50) * 1000;
    lastPrint = cpuSecondsNow();
    const means = Object.entries(sums).map(([key, sum]) => `${key} ${(sum / counted).toFixed(3)}`);
    console.log(`step ${done}  ${means.join("  ")}  ${perStep.toFixed(0)} CPU-ms/step  scenes ${pool.made}`);
  }
  // Signal handlers need a turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  if (done % evalEvery === 0 || done === steps) {
    cpuSeconds += cpuSecondsNow() - started;
    const [onScenes, onPairs] = [
      scorePrompts(heldOut, await answer(heldOut)),
      scorePrompts(combinations, await answer(combinations)),
    ];
    const loss = Object.fromEntries(Object.entries(sums).map(([key, sum]) => [key, round(sum / counted)]));
    curve.push({
      step: done,
      cpuSeconds: round(cpuSeconds, 1),
      lr: round(baseLr * rate(done - 1), 7),
      loss,
      heldOut: summary(onScenes),
      combinations: summary(onPairs),
    });
    await writeCurve();
    console.log(
      `-- step ${done}, ${(cpuSeconds / 60).toFixed(1)} core-min: mAP50 ${onScenes.mAP50.toFixed(3)} held-out, ${onPairs.mAP50.toFixed(3)} combinations; pooled ${onScenes.pooledAP50.toFixed(3)} / ${onPairs.pooledAP50.toFixed(3)}; recall ${onScenes.proposalRecall.toFixed(3)}`,
    );
    sums = {};
    counted = 0;
    started = cpuSecondsNow();
    lastPrint = cpuSecondsNow();
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

// What ships is the half-precision file, so that is what the last numbers are measured on, with more scenes than the curve.
const weightsFile = join(out, "model.safetensors");
writeSafetensors(weightsFile, stateDict(model), { dtype: "F16", metadata: { format: "pt" } });
json("config.json", groundingDinoConfigJson(config));
for (const [name, content] of Object.entries(files)) write(name, content);
json("preprocessor_config.json", {
  do_convert_rgb: true,
  do_normalize: true,
  do_pad: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_processor_type: "GroundingDinoImageProcessor",
  image_std: [0.229, 0.224, 0.225],
  processor_class: "GroundingDinoProcessor",
  resample: 2,
  rescale_factor: 1 / 255,
  size: { longest_edge: side, shortest_edge: side },
});
loadStateDict(model, readSafetensors(weightsFile).toStateDict());
const finalCount = Number(args["final-scenes"]);
const final: Record<string, ReturnType<typeof summary>> = {};
for (const split of ["held-out", "combinations"] as const) {
  const asked = questions(split, { seed, count: finalCount, side });
  final[split === "held-out" ? "heldOut" : split] = summary(scorePrompts(asked, await answer(asked)));
}
await writeCurve({
  cpuMinutes: round(cpuSeconds / 60, 1),
  distinctScenes: pool.made,
  engine: args.backend === "onnxruntime" ? { onnxruntime: engineInfo().version, threads: engineInfo().threads } : null,
  finalScenes: finalCount,
  final,
});
rmSync(join(out, "checkpoint.safetensors"), { force: true });
console.log(JSON.stringify(final, null, 2));
console.log(`wrote ${weightsFile}`);
