// node lora-step-child.ts CASE lora|full IMAGES [HEIGHT WIDTH]: one training step for every line on stdin; see contestant.ts.
import process from "node:process";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { answerLines } from "./answer-lines.js";
import type { CreateStep, StepMode } from "./lora-step/step-case.js";

const cases: Record<string, () => Promise<CreateStep>> = {
  "sam-decoder": async () => (await import("./lora-step/sam-decoder.js")).samDecoder,
  "grounding-dino-decoder": async () => (await import("./lora-step/grounding-dino-decoder.js")).groundingDinoDecoder,
};

const [name = "", mode, images, height, width] = process.argv.slice(2);
tf.env().set("PROD", true);
await tf.setBackend("onnxruntime");
configure({ threads: 1 });
const create = await cases[name]!();
const { step, trainable } = create(
  mode as StepMode,
  Number(images),
  ...(height === undefined ? [] : ([[Number(height), Number(width)]] as const)),
);
await answerLines(step, () => ({ trainable }));
