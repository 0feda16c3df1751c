// node teacher-memory-child.ts TEACHER: peak bytes of a process that encodes one picture of 1024 px with random weights and then trains adapters of the decoder on four
// cached embeddings, as `seg train-teacher` does; a line of JSON on stdout.
import process from "node:process";
import { encodeImageOnce } from "@seg/teachers";
import { configure, selectEngine } from "@seg/tfjs-onnxruntime";
import { SAM_CONFIGS, samDecoder } from "./lora-step/sam-decoder.js";

const [teacher = ""] = process.argv.slice(2);
await selectEngine();
configure({ threads: 1 });
const size = 1024;
const image = {
  width: size,
  height: size,
  data: Uint8Array.from({ length: 3 * size * size }, (_, i) => (i * 7919) % 251),
};
const { sam, step } = samDecoder("lora", 4, SAM_CONFIGS[teacher]);
await encodeImageOnce(sam, image);
for (let i = 0; i < 5; i++) await step();
process.stdout.write(`${JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`);
