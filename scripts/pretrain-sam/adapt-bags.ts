/**
 * LoRA of the small SAM on the bag scene, which pre-training never saw: 40 images, tested on 80 others (seeds as in pre-training's own test).
 *
 *   node --conditions=@seg/source --import tsx scripts/pretrain-sam/adapt-bags.ts --threads 1
 *   ... --no-zoom     on whole images
 */
import { parseArgs } from "node:util";
import {
  BAG_CLASSES,
  bagScene,
  defaultZoom,
  fineTuneSam,
  formatSamEvaluation,
  pretrainedSamDirectory,
  Sam,
  sceneItem,
} from "@seg/teachers";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { cpuSecondsNow } from "../pretrain/measure.js";

const { values: args } = parseArgs({
  options: {
    base: { type: "string", default: pretrainedSamDirectory() },
    steps: { type: "string", default: "1600" },
    rank: { type: "string", default: "3" },
    lr: { type: "string", default: "3e-3" },
    jitter: { type: "string", default: "0.05" },
    seed: { type: "string", default: "0" },
    threads: { type: "string" },
    zoom: { type: "boolean", default: true },
  },
  allowNegative: true,
});
if (args.threads !== undefined) configure({ threads: Number(args.threads) });
await tf.setBackend("onnxruntime");
const seed = Number(args.seed);
const scenes = (split: "train" | "held-out", count: number) =>
  Array.from({ length: count }, (_, index) => sceneItem(bagScene({ seed, split, index, side: 128 }), BAG_CLASSES));
const sam = Sam.fromPretrained(args.base);
const started = cpuSecondsNow();
const { before, after, merge } = await fineTuneSam({
  sam,
  items: scenes("train", 40),
  validation: scenes("held-out", 80),
  steps: Number(args.steps),
  lr: Number(args.lr),
  lora: { r: Number(args.rank), loraAlpha: 2 * Number(args.rank) },
  zoom: args.zoom ? defaultZoom(sam) : null,
  // Annotated boxes, as the test has them, are exact to a pixel.
  jitter: { relative: Number(args.jitter), limit: 2.5 * Number(args.jitter) },
  seed,
  onEvent: (event) => {
    if (event.type === "start")
      console.log(
        `${event.trainable} trainable (${((100 * event.trainable) / (event.trainable + event.frozen)).toFixed(2)} %)`,
      );
    if (event.type === "evaluation")
      console.log(`${event.when}\n${formatSamEvaluation(event.evaluation, BAG_CLASSES)}`);
    if (event.type === "step" && event.step % 50 === 0)
      console.log(`step ${event.step}  loss ${event.loss.toFixed(3)}  dice ${event.parts.dice.toFixed(3)}`);
  },
});
const below = after!.perClass
  .filter(({ meanIou, ellipse }) => meanIou <= ellipse)
  .map(({ classId }) => BAG_CLASSES[classId]);
console.log(
  `mean ${before!.meanIou.toFixed(3)} -> ${after!.meanIou.toFixed(3)}, adapter against merged ${merge!.adapterVsMerged.toExponential(1)}, ${((cpuSecondsNow() - started) / 60).toFixed(1)} core-minutes`,
);
console.log(below.length === 0 ? "every class above the ellipse" : `below the ellipse: ${below.join(", ")}`);
